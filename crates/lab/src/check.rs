//! Checks of ports and of the emulator: the laws of all ports, and historical bugs that the checks must find again.

mod bugs;
mod faulty;
mod needed;

pub use bugs::{BUGS, Bug, BugRow, Planted};
pub use faulty::{Fault, Faulty};
pub use needed::{NeededRow, needed};

pub use ptelab_machine::pgtable::laws::race::{AT_RANDOM, BOUND, LONG, RaceFailure, RaceReport};

use crate::ports::{Checked, checked};
use ptelab_machine::KernelRules;
use ptelab_machine::pgtable::laws::{self, Failure, PortFacts, Score, Setting, race};
use serde::Serialize;

/// One law on one port.
#[derive(Clone, Debug, Serialize)]
pub struct LawRow {
    /// The law's number.
    pub id: &'static str,
    /// The port.
    pub port: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// Cases looked at, over all kernels and CPU features.
    pub cases: u64,
    /// What holds.
    pub name: &'static str,
    /// What broke it, for people.
    pub failure: Option<String>,
}

/// What `check` found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The score card: ports by law.
    pub laws: Vec<LawRow>,
    /// The historical bugs, and what found each.
    pub bugs: Vec<BugRow>,
    /// The checks of random programs, and a bug that goes unfound without each.
    pub checks: Vec<NeededRow>,
}

impl Report {
    /// Whether every law holds, every bug was found, and every check is needed.
    pub fn is_fine(&self) -> bool {
        self.laws.iter().all(|row| row.passed)
            && self.bugs.iter().all(|row| row.found_by.is_some())
            && self.checks.iter().all(|row| row.seed.is_some())
    }
}

/// Runs all laws on the port of this name; nothing where there is none.
pub fn laws_of(port: &str) -> Vec<LawRow> {
    checked(port).map_or_else(Vec::new, Checked::laws)
}

/// Runs all laws on a port, also on one from outside.
pub fn score_card<P: PortFacts>() -> Vec<LawRow> {
    let scores = laws::score::<P>(&Setting::all::<P>(), &P::new);
    scores.into_iter().map(|score| row(P::NAME, score)).collect()
}

fn row(port: &'static str, score: Score) -> LawRow {
    let Score { id, name, cases, failure } = score;
    LawRow {
        id,
        port,
        passed: failure.is_none(),
        cases,
        name,
        failure: failure.as_ref().map(Failure::to_string),
    }
}

/// One port in one setting, with hardware that interferes.
#[derive(Clone, Debug)]
pub struct RaceRow {
    /// The port.
    pub port: &'static str,
    /// The kernel, and the CPU's features that are not as usual.
    pub setting: String,
    /// What was explored, and what went wrong.
    pub report: RaceReport,
}

/// Explores what hardware may do between the steps of a port's operations, on each of its CPUs, under this kernel.
pub fn race(port: &str, rules: &'static KernelRules) -> Vec<RaceRow> {
    checked(port).map_or_else(Vec::new, |port| port.race(rules))
}

/// The same of a port by its type.
pub(crate) fn race_of<P: PortFacts>(rules: &'static KernelRules) -> Vec<RaceRow> {
    let on_one = |on: Setting| {
        let report = race::explore(&P::new(on.cpu(), on.rules), &on);
        RaceRow { port: P::NAME, setting: on.to_string(), report }
    };
    Setting::with::<P>(rules).into_iter().map(on_one).collect()
}

/// What a schedule does that was run again: what goes wrong, if anything, and the steps of both sides.
pub type Replayed = (Option<&'static str>, String);

/// Runs one schedule again on a port's usual CPU, by its id; nothing where there is no such port or schedule.
pub fn replay_race(port: &str, rules: &'static KernelRules, id: &str) -> Option<Replayed> {
    checked(port)?.replay_race(rules, id)
}
