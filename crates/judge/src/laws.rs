//! The laws of all ports, on one port.

use ptelab_machine::pgtable::laws::{self, Failure, PortFacts, Score, Setting};
use serde::Serialize;
use std::sync::atomic::AtomicBool;

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

/// Runs all laws on a port, also on one from outside; those that were done where it was stopped.
pub fn score_card<P: PortFacts>(stop: &AtomicBool) -> Vec<LawRow> {
    let scores = laws::score::<P>(&Setting::all::<P>(), &P::new, stop);
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
