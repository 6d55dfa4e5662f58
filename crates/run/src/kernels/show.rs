//! What holds in a kernel, and what sets two apart, for people.

use super::named;
use ptelab_machine::{Change, KernelRules, changes, port_named};

/// What holds in a kernel, of all that ever changed for a port, or for all.
pub fn kernel_text(rules: &KernelRules, port: Option<&str>) -> String {
    changes()
        .filter(|(owner, change)| concerns(port, owner, change) && rules.has(change))
        .map(|(owner, change)| line('+', owner, change, ""))
        .collect()
}

/// What begins and what ends to hold from one kernel to another, for a port, or for all.
pub fn differences_text(from: &KernelRules, to: &KernelRules, port: Option<&str>) -> String {
    let sign = |change: &Change| if to.has(change) { '+' } else { '-' };
    let lines: String = named::differences(from, to)
        .filter(|(owner, change)| concerns(port, owner, change))
        .map(|(owner, change)| line(sign(change), owner, change, commit(change, to.has(change))))
        .collect();
    if lines.is_empty() { "no difference\n".to_owned() } else { lines }
}

/// Whether a row is one of mm's or of this port's; all rows are, where no port is meant.
pub(crate) fn concerns(port: Option<&str>, owner: &str, change: &Change) -> bool {
    let of_port =
        |name| port_named(name).is_some_and(|port| port.changes.iter().any(|row| row.id == change.id));
    owner == "mm" || port.is_none_or(of_port)
}

fn commit(change: &Change, holds: bool) -> &'static str {
    let turn = if holds { change.since } else { change.until };
    turn.and_then(|turn| turn.commit).unwrap_or("")
}

fn line(sign: char, owner: &str, change: &Change, commit: &str) -> String {
    format!("  {sign} {:31}  {owner:6}  {commit:12}  {}\n", change.id, change.what())
}
