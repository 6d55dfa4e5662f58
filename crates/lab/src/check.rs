//! Checks of ports and of the emulator: the laws of all ports, and historical bugs that the checks must find again.

mod bugs;
mod faulty;

pub use bugs::{BUGS, Bug, BugRow, NOT_YET, Planted};
pub use faulty::{Fault, Faulty};

use ptelab_machine::pgtable::laws::{self, Failure, PortFacts, Score, Setting};
use ptelab_machine::{PortVisitor, visit_port};
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
}

impl Report {
    /// Whether every law holds and every bug was found.
    pub fn is_fine(&self) -> bool {
        self.laws.iter().all(|row| row.passed) && self.bugs.iter().all(|row| row.found_by.is_some())
    }
}

/// Runs all laws on the port of this name; nothing where there is none.
pub fn laws_of(port: &str) -> Vec<LawRow> {
    visit_port(port, Laws).unwrap_or_default()
}

struct Laws;

impl PortVisitor for Laws {
    type Out = Vec<LawRow>;

    fn visit<P: PortFacts>(self) -> Vec<LawRow> {
        score_card::<P>()
    }
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
