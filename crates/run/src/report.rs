//! What a scenario came to on one machine.

use crate::exec;
use ptelab_machine::{Backend, Call, Counters, KernelRules, Outcome, Snapshot, VmaFacts};
use ptelab_scenario::{Line, Scenario};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::Sum;

/// Results that are kept one by one; of those after, a digest is kept.
pub const MAX_RESULTS: usize = 1 << 20;
/// Lines whose cost is kept line by line: the first ones.
pub const MAX_LINES: usize = 4 * 1024;
/// Unexpected results that are kept.
const MAX_UNEXPECTED: usize = 100;

/// A result that is not the one the scenario expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// Line in the source, from 1.
    pub line: u32,
    /// The line's text, with what it expects.
    pub text: String,
    /// What it came to.
    pub outcome: Outcome,
}

/// A dump that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Its name.
    pub name: String,
    /// The process.
    pub pid: u32,
    /// The state.
    pub snapshot: Snapshot,
    /// All VMAs of the process.
    pub vmas: Vec<VmaFacts>,
}

/// What the calls of one name took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many there were.
    pub calls: u64,
    /// What they took.
    pub counters: Counters,
}

impl Cost {
    /// Adds a call.
    pub fn add(&mut self, counters: &Counters) {
        self.calls += 1;
        self.counters += counters;
    }
}

impl<'a> Sum<&'a Self> for Cost {
    fn sum<I: Iterator<Item = &'a Self>>(costs: I) -> Self {
        let mut sum = Self::default();
        for cost in costs {
            sum.calls += cost.calls;
            sum.counters += &cost.counters;
        }
        sum
    }
}

/// What one line took, over all times that it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineCost {
    /// The line's text.
    pub text: String,
    /// What it took.
    pub cost: Cost,
}

/// What a scenario came to on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Port.
    pub arch: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Its rules.
    pub rules: &'static KernelRules,
    /// Lines that ran.
    pub lines: u64,
    /// Whether the scenario ran to its end.
    pub finished: bool,
    /// How many lines failed, by errno or signal.
    pub failures: BTreeMap<String, u64>,
    /// Results that are not what the scenario expects, the first ones.
    pub unexpected: Vec<Unexpected>,
    /// How many there were.
    pub unexpected_count: u64,
    /// Results of the first lines, in order.
    pub results: Vec<Outcome>,
    /// Digest of the results after these.
    pub rest_digest: u64,
    /// Dumps, in order.
    pub dumps: Vec<Dump>,
    /// What calls took, by name; empty where the machine does not count.
    pub costs: BTreeMap<&'static str, Cost>,
    /// The same by line of the source, for the first lines.
    pub line_costs: BTreeMap<u32, LineCost>,
}

impl RunReport {
    /// Runs a scenario on a machine.
    pub fn of(vm: &mut dyn Backend, scenario: &Scenario, watch: exec::Watch<'_>) -> Self {
        let mut report = Self::new(vm);
        let mut digest = DefaultHasher::new();
        report.finished = exec::run(vm, scenario, watch, |vm, done| {
            report.add(vm, done, &mut digest);
            (watch.tick)(1);
        });
        report.rest_digest = digest.finish();
        report
    }

    fn new(vm: &dyn Backend) -> Self {
        Self {
            arch: vm.arch(),
            kernel: vm.rules().name,
            rules: vm.rules(),
            lines: 0,
            finished: false,
            failures: BTreeMap::new(),
            unexpected: Vec::new(),
            unexpected_count: 0,
            results: Vec::new(),
            rest_digest: 0,
            dumps: Vec::new(),
            costs: BTreeMap::new(),
            line_costs: BTreeMap::new(),
        }
    }

    fn add(&mut self, vm: &dyn Backend, done: exec::Done<'_>, digest: &mut DefaultHasher) {
        self.lines += 1;
        if self.results.len() < MAX_RESULTS {
            self.results.push(done.outcome);
        } else {
            done.outcome.hash(digest);
        }
        if let Outcome::Failed(error) = done.outcome {
            *self.failures.entry(error.to_string()).or_default() += 1;
        }
        if !done.as_expected {
            self.add_unexpected(done.line, done.outcome);
        }
        if let Some(counters) = &done.counters {
            self.costs.entry(done.line.call.name()).or_default().add(counters);
            self.add_line_cost(done.line, counters);
        }
        if let (Call::Dump { name, .. }, Some(snapshot)) = (&done.line.call, done.snapshot) {
            let pid = done.line.pid.unwrap_or(1);
            let vmas = vm.vmas(pid, 0, u64::MAX).unwrap_or_default();
            self.dumps.push(Dump { name: name.clone(), pid, snapshot, vmas });
        }
    }

    fn add_line_cost(&mut self, line: &Line, counters: &Counters) {
        if let Some(known) = self.line_costs.get_mut(&line.line) {
            known.cost.add(counters);
        } else if self.line_costs.len() < MAX_LINES {
            let mut cost = Cost::default();
            cost.add(counters);
            self.line_costs.insert(line.line, LineCost { text: line.to_string(), cost });
        }
    }

    fn add_unexpected(&mut self, line: &Line, outcome: Outcome) {
        self.unexpected_count += 1;
        if self.unexpected.len() < MAX_UNEXPECTED {
            self.unexpected.push(Unexpected { line: line.line, text: line.to_string(), outcome });
        }
    }

    /// The machine, as headings name it: `arm64 6.17`.
    pub fn machine(&self) -> String {
        format!("{} {}", self.arch, self.kernel)
    }

    /// What all calls took together.
    pub fn total(&self) -> Cost {
        self.costs.values().sum()
    }
}
