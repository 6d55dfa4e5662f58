//! The table of changes, for people.

use super::named;
use ptelab_machine::pgtable::Turn;
use ptelab_machine::{Change, KernelRules, Release, changes};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything that changed, by the release that first has it; then the kernels that are known.
pub fn changes_text() -> String {
    let mut turns: BTreeMap<Release, Vec<String>> = BTreeMap::new();
    for (owner, change) in changes() {
        for (sign, turn) in [('+', change.since), ('-', change.until)] {
            if let Some(turn) = turn {
                turns.entry(turn.first).or_default().push(turn_line(sign, owner, change, &turn));
            }
        }
    }
    let mut text = String::new();
    for (release, lines) in turns {
        let _ = writeln!(text, "{release}\n{}", lines.concat());
    }
    text.push_str("Known: ");
    let known: Vec<String> = KernelRules::ALL.iter().map(known).collect();
    let _ = writeln!(text, "{}", known.join(", "));
    text
}

/// What holds in a kernel, of all that ever changed.
pub fn kernel_text(rules: &KernelRules) -> String {
    changes()
        .filter(|(_, change)| rules.has(change))
        .map(|(owner, change)| line('+', owner, change, ""))
        .collect()
}

/// What begins and what ends to hold from one kernel to another.
pub fn differences_text(from: &KernelRules, to: &KernelRules) -> String {
    let sign = |change: &Change| if to.has(change) { '+' } else { '-' };
    let lines: String = named::differences(from, to)
        .map(|(owner, change)| line(sign(change), owner, change, commit(change, to.has(change))))
        .collect();
    if lines.is_empty() { "no difference\n".to_owned() } else { lines }
}

fn known(rules: &KernelRules) -> String {
    let default = if rules == KernelRules::DEFAULT { ", the default" } else { "" };
    if rules.is_asked() {
        format!("{} (as {}{default})", rules.name, rules.release)
    } else {
        format!("{} (from its patches{default})", rules.name)
    }
}

fn commit(change: &Change, holds: bool) -> &'static str {
    let turn = if holds { change.since } else { change.until };
    turn.and_then(|turn| turn.commit).unwrap_or("")
}

fn line(sign: char, owner: &str, change: &Change, commit: &str) -> String {
    format!("  {sign} {:31}  {owner:6}  {commit:12}  {}\n", change.id, change.what())
}

fn turn_line(sign: char, owner: &str, change: &Change, turn: &Turn) -> String {
    let mut text = line(sign, owner, change, turn.commit.unwrap_or(""));
    let mut more = Vec::new();
    if let Some(last) = turn.last_without {
        more.push(format!("after {last}: what is between was not asked"));
    }
    if !turn.backports.is_empty() {
        more.push(format!("also in {}", turn.backports.join(", ")));
    }
    if !more.is_empty() {
        let _ = writeln!(text, "{:59}({})", "", more.join("; "));
    }
    text
}
