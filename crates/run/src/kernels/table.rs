//! The tables of changes, by row and release.

use super::show::concerns;
use ptelab_machine::pgtable::Turn;
use ptelab_machine::{Change, KernelRules, Release, changes};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything that changed between the kernels that are known, or what of it concerns one port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct ChangesTable {
    /// The kernels that are known, oldest first.
    pub kernels: Vec<KnownKernel>,
    /// These, and the other releases at which something came to be so or was not so yet; oldest first.
    pub releases: Vec<String>,
    /// The rows.
    pub changes: Vec<ChangeRow>,
}

/// A kernel that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct KnownKernel {
    /// Its name.
    pub name: &'static str,
    /// The release that was asked; nothing where its rows are those of its patches.
    pub asked: Option<String>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct ChangeRow {
    /// Its name.
    pub id: &'static str,
    /// Whose it is: mm's, or a port's.
    pub owner: &'static str,
    /// What is so where it holds.
    pub what: &'static str,
    /// Linux's file.
    pub file: &'static str,
    /// Since when.
    pub since: Option<RowTurn>,
    /// Until when.
    pub until: Option<RowTurn>,
    /// Whether it holds in each of the releases; nothing where that was not asked.
    pub holds: BTreeMap<String, Option<bool>>,
}

/// When a row came to hold, or not to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct RowTurn {
    /// The first release that is known to be so.
    pub first: String,
    /// The last before it that is known not to be, where there are others between.
    pub last_without: Option<String>,
    /// Stable releases of older series from which it is so, too.
    pub backports: &'static [&'static str],
    /// The commit, where it is known.
    pub commit: Option<&'static str>,
    #[cfg_attr(feature = "json", serde(skip))]
    order: Release,
}

impl RowTurn {
    fn new(turn: &Turn) -> Self {
        Self {
            first: turn.first.to_string(),
            last_without: turn.last_without.map(|last| last.to_string()),
            backports: turn.backports,
            commit: turn.commit,
            order: turn.first,
        }
    }

    /// What is to be said of it beside its release and commit; `also` is said of the backports.
    fn more(&self, also: &str) -> String {
        let between = self
            .last_without
            .iter()
            .map(|last| format!("after {last}; releases in between were not checked"));
        let also = (!self.backports.is_empty()).then(|| format!("{also} {}", self.backports.join(", ")));
        between.chain(also).collect::<Vec<_>>().join("; ")
    }
}

/// What is said of stable releases that have the beginning or the end of a row too.
const BEGINS: &str = "also in";
const ENDS: &str = "also gone from";

impl ChangeRow {
    /// `since 6.17, commit 018e9828eb52 (also in 6.12.117)`, with the commit between marks.
    fn turn_texts(&self, mark: &str) -> impl Iterator<Item = String> {
        let turns = [("since", BEGINS, &self.since), ("until", ENDS, &self.until)];
        turns.into_iter().filter_map(move |(word, also, turn)| {
            let turn = turn.as_ref()?;
            let commit =
                turn.commit.map_or_else(String::new, |commit| format!(", commit {mark}{commit}{mark}"));
            let more = turn.more(also);
            let more = if more.is_empty() { more } else { format!(" ({more})") };
            Some(format!("{word} {}{commit}{more}", turn.first))
        })
    }

    /// Of these signs the one for holding in a release, or the one for not holding.
    fn sign(&self, release: &str, [holds, not]: [&'static str; 2]) -> &'static str {
        match self.holds.get(release) {
            Some(Some(true)) => holds,
            Some(Some(false)) => not,
            _ => "?",
        }
    }
}

/// Whether a row holds in a release, where that was asked, or follows from what was.
fn holds(change: &Change, release: Release) -> Option<bool> {
    let unasked = |turn: &Turn| {
        turn.last_without.is_some_and(|last| release.series() > last.series()) && !turn.is_past(release)
    };
    let turns = [change.since, change.until];
    let asked = !turns.iter().flatten().any(unasked);
    asked.then(|| change.holds_in(release))
}

/// The known kernels, and the whole series that turns name, by their names; oldest first.
fn releases() -> BTreeMap<Release, String> {
    let turns = changes().flat_map(|(_, change)| [change.since, change.until]).flatten();
    let named = turns.flat_map(|turn| [Some(turn.first), turn.last_without]).flatten();
    let of_turns = named
        .filter(|release| release.is_whole_series() && KernelRules::of_series(*release).is_none())
        .map(|release| (release, release.to_string()));
    let known = KernelRules::ALL.iter().map(|rules| (rules.release, rules.name.to_owned()));
    known.chain(of_turns).collect()
}

impl ChangesTable {
    /// The rows of mm and of this port, or of all.
    pub fn new(port: Option<&str>) -> Self {
        let releases = releases();
        let kernel = |rules: &KernelRules| KnownKernel {
            name: rules.name,
            asked: rules.is_asked().then(|| rules.release.to_string()),
        };
        let row = |(owner, change): (&'static str, &'static Change)| ChangeRow {
            id: change.id,
            owner,
            what: change.what(),
            file: change.file,
            since: change.since.as_ref().map(RowTurn::new),
            until: change.until.as_ref().map(RowTurn::new),
            holds: releases.iter().map(|(at, name)| (name.clone(), holds(change, *at))).collect(),
        };
        Self {
            kernels: KernelRules::ALL.iter().map(kernel).collect(),
            changes: changes().filter(|(owner, change)| concerns(port, owner, change)).map(row).collect(),
            releases: releases.into_values().collect(),
        }
    }

    /// What changed by the release that first has it, then by row and release, then the kernels that are known.
    pub fn text(&self) -> String {
        // What a release has, its candidates have too: they say where they are otherwise, after it.
        let mut turns: BTreeMap<((u32, u32), bool, Release), String> = BTreeMap::new();
        for (sign, row, turn) in self.turns() {
            let key = (turn.order.series(), turn.order.is_candidate(), turn.order);
            let text = turns.entry(key).or_default();
            let (id, owner, commit) = (row.id, row.owner, turn.commit.unwrap_or(""));
            let _ = writeln!(text, "  {sign} {id:31}  {owner:7}  {commit:12}  {}", row.what);
            let more = turn.more(if sign == '+' { BEGINS } else { ENDS });
            if !more.is_empty() {
                let _ = writeln!(text, "{:60}({more})", "");
            }
        }
        let by_release = turns.iter().map(|((.., release), lines)| format!("{release}\n{lines}\n"));
        by_release.collect::<String>() + &self.grid() + "\n" + &self.known()
    }

    /// What one row says, and since when.
    pub fn row_text(&self, row: &ChangeRow) -> String {
        let mut text = format!("{}, {}: {}\n", row.id, row.owner, row.what);
        for turn in row.turn_texts("") {
            let _ = writeln!(text, "  {turn}");
        }
        let of = |wanted| {
            let held = self.releases.iter().filter(|name| row.holds.get(*name) == Some(&wanted));
            held.map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        for (word, releases) in [("holds in", of(Some(true))), ("does not hold in", of(Some(false)))] {
            if !releases.is_empty() {
                let _ = writeln!(text, "  {word} {releases}");
            }
        }
        let _ = writeln!(text, "  {}", row.file);
        text
    }

    fn turns(&self) -> impl Iterator<Item = (char, &ChangeRow, &RowTurn)> {
        self.changes.iter().flat_map(|row| {
            let signed = [('+', row.since.as_ref()), ('-', row.until.as_ref())];
            signed.into_iter().filter_map(move |(sign, turn)| Some((sign, row, turn?)))
        })
    }

    /// A line a row, a column a kernel.
    fn grid(&self) -> String {
        let names = || self.releases.iter().map(String::as_str);
        let mut text = format!("{:31}  {:7}  {}\n", "", "", self.releases.join("  "));
        for row in &self.changes {
            let sign = |name| row.sign(name, ["+", "-"]);
            let cells: Vec<String> =
                names().map(|name| format!("{:width$}", sign(name), width = name.len())).collect();
            let line = format!("{:31}  {:7}  {}", row.id, row.owner, cells.join("  "));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn known(&self) -> String {
        let known = |kernel: &KnownKernel| {
            let default = if kernel.name == KernelRules::DEFAULT.name { ", the default" } else { "" };
            let source =
                kernel.asked.as_ref().map_or("from its patches".to_owned(), |asked| format!("as {asked}"));
            format!("{} ({source}{default})", kernel.name)
        };
        format!("Known: {}\n", self.kernels.iter().map(known).collect::<Vec<_>>().join(", "))
    }

    /// The same as a page of documentation.
    pub fn markdown(&self) -> String {
        let mut text =
            "# Kernels and their changes\n\n<!-- Made by `ptelab kernels --markdown`. -->\n\n".to_owned();
        text += "How Linux's memory management differs between releases, as far as page tables, VMAs and results show. \
                 Each row was checked on real kernels with the scenario given beside it in the source.\n\n";
        text += "\u{25cf} holds, ? not checked. Each release stands for its newest stable version. Any other release gets the rules of its place \
                 in this order. \"Since 6.17\" includes the release candidates of 6.17, unless a row names one of them.\n\n| kernel | verified on |\n|---|---|\n";
        for kernel in &self.kernels {
            let _ = writeln!(
                text,
                "| {} | {} |",
                kernel.name,
                kernel.asked.as_deref().unwrap_or("no image: its patches")
            );
        }
        let mut owners: Vec<&str> = Vec::new();
        for row in &self.changes {
            if !owners.contains(&row.owner) {
                owners.push(row.owner);
                text += &self.markdown_of(row.owner);
            }
        }
        text
    }

    fn markdown_of(&self, owner: &str) -> String {
        let names = &self.releases;
        let rows = || self.changes.iter().filter(|row| row.owner == owner);
        let mut text =
            format!("\n## {owner}\n\n| row | {} |\n|---|{}\n", names.join(" | "), ":-:|".repeat(names.len()));
        for row in rows() {
            let cells: Vec<&str> = names.iter().map(|name| row.sign(name, ["●", ""])).collect();
            let _ = writeln!(text, "| [{id}](#{id}) | {} |", cells.join(" | "), id = row.id);
        }
        for row in rows() {
            let _ = write!(text, "\n### {}\n\n{}\n\n", row.id, row.what);
            for turn in row.turn_texts("`") {
                let _ = writeln!(text, "* {turn}");
            }
            let _ = writeln!(text, "* `{}`", row.file);
        }
        text
    }
}
