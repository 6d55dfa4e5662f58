//! Checks of ports and of the emulator: the laws of all ports, and historical bugs that the checks must find again.

mod bugs;
mod needed;

pub use bugs::{BUGS, Bug, BugRow, Planted};
pub use needed::{NeededRow, needed};

pub use ptelab_machine::pgtable::laws::race::{AT_RANDOM, BOUND, LONG, RaceFailure, RaceReport};

pub use crate::faulty::{Fault, Faulty};
pub use crate::laws::{LawRow, score_card};
pub use crate::race::{RaceRow, Replayed};

use crate::ports::checked;
use ptelab_machine::KernelRules;
use ptelab_run::exec::Watch;
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// What `check` found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The score card: ports by law.
    pub laws: Vec<LawRow>,
    /// The historical bugs, and what found each.
    pub bugs: Vec<BugRow>,
    /// The checks of random programs, and a bug that goes unfound without each.
    pub checks: Vec<NeededRow>,
}

impl CheckReport {
    /// Whether every law holds, every bug was found, and every check is needed.
    pub fn is_fine(&self) -> bool {
        self.laws.iter().all(|row| row.passed)
            && self.bugs.iter().all(|row| row.found_by.is_some())
            && self.checks.iter().all(|row| row.seed.is_some())
    }
}

/// Runs all laws on the port of this name, those that were done where it was stopped; nothing where there is no such port.
pub fn laws_of(port: &str, stop: &AtomicBool) -> Vec<LawRow> {
    checked(port).map_or_else(Vec::new, |port| port.laws(stop))
}

/// Explores what hardware may do between the steps of a port's operations, on each of its CPUs (the usual one, and with each feature
/// switched), under this kernel, until it is stopped. It ticks for each of them.
pub fn race(port: &str, rules: &'static KernelRules, watch: Watch<'_>) -> Vec<RaceRow> {
    checked(port).map_or_else(Vec::new, |port| port.race(rules, watch))
}

/// How many CPUs of a port [`race`] explores.
pub fn race_settings(port: &str, rules: &'static KernelRules) -> usize {
    checked(port).map_or(0, |port| port.race_settings(rules))
}

/// Runs one schedule again on a port's usual CPU, by its id; nothing where there is no such port or schedule.
pub fn replay_race(port: &str, rules: &'static KernelRules, id: &str) -> Option<Replayed> {
    checked(port)?.replay_race(rules, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stopped_says_only_what_is_known() {
        let stop = AtomicBool::new(true);
        assert_eq!(laws_of("arm64", &stop).len(), 0);
        assert_eq!(race("arm64", KernelRules::DEFAULT, Watch { stop: &stop, tick: &|_| () }).len(), 0);
        let row = BUGS[0].find(1, 10, &stop);
        assert_eq!((row.found_by, row.fuzz.is_some()), (None, false));
    }
}
