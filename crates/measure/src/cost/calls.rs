//! What every mprotect of a scenario counts.

use ptelab_machine::{Backend, Call, Counters, Outcome, Timing};
use ptelab_run::exec::{self, Watch};
use ptelab_scenario::{Line, Scenario};
use std::collections::BTreeMap;

/// Calls whose order is kept; those after are only summed.
pub const MAX_CALLS: usize = 1 << 20;

/// Calls of one line of the source that came to the same and counted the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    /// Line in the source, from 1.
    pub line: u32,
    /// The call's text, with its process where that is not the first.
    pub text: String,
    /// What it came to.
    pub outcome: Outcome,
    /// Whether the first process made it between `time("on")` and `time("off")`.
    pub timed: bool,
    /// What one of them counted.
    pub counters: Counters,
    /// How many there were.
    pub times: u64,
}

/// Every mprotect of a scenario on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// What was called, in the order of the first of each.
    pub alike: Vec<Alike>,
    /// The first [`MAX_CALLS`] calls in the order they ran, loops unrolled: indices into `alike`.
    pub order: Vec<usize>,
    /// Whether the scenario ran to its end.
    pub finished: bool,
}

impl Calls {
    /// Runs a scenario on a machine that counts.
    pub fn of(vm: &mut dyn Backend, scenario: &Scenario, watch: Watch<'_>) -> Self {
        let mut calls = Self::default();
        let mut by_line: BTreeMap<(u32, bool), Vec<usize>> = BTreeMap::new();
        let mut timing = false;
        calls.finished = exec::run(vm, scenario, watch, |_, done| {
            (watch.tick)(1);
            match done.line.call {
                Call::Time { on } => timing = on == Timing::On,
                Call::Mprotect { .. } => {
                    let timed = timing && done.line.pid.unwrap_or(1) == 1;
                    let known = by_line.entry((done.line.line, timed)).or_default();
                    calls.add(done.line, timed, done.outcome, &done.counters.unwrap_or_default(), known);
                }
                _ => {}
            }
        });
        calls
    }

    fn add(
        &mut self,
        line: &Line,
        timed: bool,
        outcome: Outcome,
        counters: &Counters,
        known: &mut Vec<usize>,
    ) {
        let same = |&i: &usize| self.alike[i].outcome == outcome && self.alike[i].counters == *counters;
        let at = known.iter().copied().find(same).unwrap_or_else(|| {
            let text = Line { expect: None, comment: None, ..line.clone() }.to_string();
            self.alike.push(Alike { line: line.line, text, outcome, timed, counters: *counters, times: 0 });
            known.push(self.alike.len() - 1);
            self.alike.len() - 1
        });
        self.alike[at].times += 1;
        if self.order.len() < MAX_CALLS {
            self.order.push(at);
        }
    }

    /// How many calls there were.
    pub fn len(&self) -> u64 {
        self.alike.iter().map(|alike| alike.times).sum()
    }

    /// Whether there were none.
    pub const fn is_empty(&self) -> bool {
        self.alike.is_empty()
    }
}
