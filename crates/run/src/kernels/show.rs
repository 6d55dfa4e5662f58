//! What holds in a kernel, and what sets two apart, for people.

use super::named;
use ptelab_machine::{Change, KernelRules, changes, port_named};

/// A change that a kernel has, or by which it differs from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct Turned {
    /// Its name.
    pub id: &'static str,
    /// Whose it is: mm's, or a port's.
    pub owner: &'static str,
    /// Whether it holds in the kernel, or in the later of two.
    pub holds: bool,
    /// The commit since which that is so; nothing where none is known, or a kernel stands alone.
    pub commit: Option<&'static str>,
    /// What it is.
    pub what: String,
}

impl Turned {
    /// `  + mremap_batches  mm  ...`
    pub fn text(&self) -> String {
        let Self { id, owner, holds, commit, what } = self;
        let (sign, commit) = (if *holds { '+' } else { '-' }, commit.unwrap_or(""));
        format!("  {sign} {id:31}  {owner:6}  {commit:12}  {what}\n")
    }
}

/// What holds in a kernel, of all that ever changed for a port, or for all.
pub fn kernel_changes(rules: &KernelRules, port: Option<&str>) -> Vec<Turned> {
    changes()
        .filter(|(owner, change)| concerns(port, owner, change) && rules.has(change))
        .map(|(owner, change)| Turned {
            id: change.id,
            owner,
            holds: true,
            commit: None,
            what: change.what().to_string(),
        })
        .collect()
}

/// What begins and what ends to hold from one kernel to another, for a port, or for all.
pub fn turned_between(from: &KernelRules, to: &KernelRules, port: Option<&str>) -> Vec<Turned> {
    let turned = |(owner, change): (&'static str, &Change)| {
        let holds = to.has(change);
        Turned { id: change.id, owner, holds, commit: commit(change, holds), what: change.what().to_string() }
    };
    named::differences(from, to).filter(|(owner, change)| concerns(port, owner, change)).map(turned).collect()
}

/// Whether a row is one of mm's or of this port's; all rows are, where no port is meant.
pub(crate) fn concerns(port: Option<&str>, owner: &str, change: &Change) -> bool {
    let of_port =
        |name| port_named(name).is_some_and(|port| port.changes.iter().any(|row| row.id == change.id));
    owner == "mm" || port.is_none_or(of_port)
}

fn commit(change: &Change, holds: bool) -> Option<&'static str> {
    let turn = if holds { change.since } else { change.until };
    turn.and_then(|turn| turn.commit)
}
