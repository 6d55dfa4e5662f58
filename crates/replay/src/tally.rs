//! What a replay adds up to on one machine.

use crate::call::Caller;
use crate::cuts::{self, CutsByKind};
use crate::options::{Thp, Used};
use crate::sites::{Site, Sites};
use ptelab_machine::{Counter, Counters, Pid};
use ptelab_measure::cost::Model;
use ptelab_run::Cost;
use ptelab_scenario::strace::LoggedCall;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Differences, adopted ranges and dear calls that are kept one by one.
const MAX_DIFFERENCES: usize = 1000;
const MAX_ADOPTED: usize = 100;
const MAX_BROKEN: usize = 10;
/// Bytes by which the kernel's count of what is resident may be wrong.
const MISCOUNTED: u64 = 1 << 20;
/// More than are shown, as another kernel may have others.
const DEAREST: usize = 40;

/// A call whose result is not the log's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogDifference {
    /// Line of the log, from 1.
    pub line: u64,
    /// The call as the log has it.
    pub call: String,
    /// What the log says it returned.
    pub expected: String,
    /// What it returned here.
    pub got: String,
}

/// Memory that the log shows in use and nowhere being mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdoptedRange {
    /// Line of the call that used it.
    pub line: u64,
    /// First address.
    pub start: u64,
    /// End, exclusive.
    pub end: u64,
}

/// A call and what it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DearCall {
    /// Line of the log.
    pub line: u64,
    /// The call as the log has it.
    pub call: String,
    /// Steps: see [`work`].
    pub steps: u64,
    /// Contiguous blocks that it took apart.
    pub unfolds: u64,
    /// Instructions that it takes on a real kernel, as predicted; nothing where that cannot be said of such a call.
    pub instructions: Option<u64>,
}

/// The work that counters add up to: reads and writes of entries, struct page look-ups, barriers, TLB instructions.
pub fn work(counters: &Counters) -> u64 {
    const STEPS: [Counter; 11] = [
        Counter::Loads,
        Counter::Stores,
        Counter::Exchanges,
        Counter::CompareExchanges,
        Counter::PageLookups,
        Counter::ExclusiveReads,
        Counter::DsbIshst,
        Counter::DsbIsh,
        Counter::DsbNsh,
        Counter::Isb,
        Counter::TlbiOps,
    ];
    STEPS.into_iter().map(|counter| counters.get(counter)).sum()
}

/// What a process of the log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// Its number in the log; nothing where the log names none.
    pub pid: Option<u32>,
    /// Its number on the emulated machine.
    #[serde(skip)]
    pub emulated: Pid,
    /// The last program that it executed.
    pub program: Option<String>,
    /// How it was made: `fork`, `vfork`; nothing where it was there when the log began.
    pub born: Option<&'static str>,
    /// The process that made it, by its number in the log.
    pub made_by: Option<u32>,
    /// How it ended, in the log's words: `exited with 0`, `killed by SIGKILL`; nothing where the log does not say.
    pub end: Option<String>,
    /// Calls that were judged.
    pub calls: u64,
    /// Of these equal.
    pub equal: u64,
    /// The most that it had mapped, in bytes.
    pub peak_mapped: u64,
    /// The most mappings that it had, and after which line.
    pub most_mappings: u64,
    /// The line of those.
    pub most_mappings_line: u64,
    /// The most that it had resident itself: as the log says it (`ptelab watch`), else as far as that was looked at, when a few
    /// percent have come in. Nothing where that was never seen.
    pub most_resident: Option<u64>,
    /// The most that all processes together had resident while it made its calls, in bytes.
    pub peak_resident: u64,
    /// Resident at its end, in bytes; nothing where that was not seen.
    pub resident: Option<u64>,
    /// Of that in folded contiguous blocks, in bytes.
    pub folded: u64,
    /// Of that in huge leaves, in bytes.
    pub huge: u64,
    /// Threads that it had, all in all.
    pub threads: u64,
}

impl ProcessReport {
    /// How much more it had resident, as the log says, than all processes of the machine ever had, in bytes. Nothing where that is
    /// little: the kernel does not count exactly.
    pub fn unseen(&self) -> Option<u64> {
        let more = self.most_resident?.saturating_sub(self.peak_resident);
        (more > MISCOUNTED + self.peak_resident / 8).then_some(more)
    }
}

/// What a replay adds up to on one machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// What mprotect is predicted by; nothing where there is no model of the port.
    pub(crate) model: Option<&'static Model>,
    /// How it is known which pages were used.
    pub used: Used,
    /// What the machines allow of huge pages.
    pub(crate) thp: Thp,
    /// Calls that were judged.
    pub calls: u64,
    /// Of these with the log's result.
    pub equal: u64,
    /// Ranges that were adopted.
    pub adopted: u64,
    /// Ranges that the log shows to be free again, and not who unmapped them.
    pub freed_unseen: u64,
    /// Where looks say which pages are in use: writable mappings that were unmapped before one saw a page of theirs, and their bytes.
    pub unseen: (u64, u64),
    /// Processes and threads that the log shows being made, and has no line of.
    pub silent: BTreeSet<u32>,
    /// The first of them.
    pub adopted_ranges: Vec<AdoptedRange>,
    /// Calls that could not be judged, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Calls with other results by what a release does otherwise, by what that is.
    pub by_rule: BTreeMap<&'static str, u64>,
    /// Calls that the log's system refused for what a log does not show, by what that is.
    pub refused: BTreeMap<&'static str, u64>,
    /// Calls with other results: the first of them.
    pub differences: Vec<LogDifference>,
    /// How many there are.
    pub differences_count: u64,
    /// What calls took, by name.
    pub costs: BTreeMap<&'static str, Cost>,
    /// What the first uses of memory took.
    pub faults: Cost,
    /// The calls that took most.
    pub dearest: Vec<DearCall>,
    /// The first calls that took contiguous blocks apart.
    pub broke: Vec<DearCall>,
    /// How many did.
    pub broke_count: u64,
    /// What calls took apart, by their kind.
    pub cuts: CutsByKind,
    /// What calls took by where they are made.
    pub sites: Sites,
    /// Calls of mprotect by size: bucket `i` holds those of `1 << i` pages and more, less than twice that.
    pub mprotect_sizes: BTreeMap<u32, u64>,
    /// Processes, in the order in which they came.
    pub processes: Vec<ProcessReport>,
}

impl Tally {
    /// The number that the log gives a process, or else the machine.
    pub(crate) fn number_of(&self, caller: Caller) -> u32 {
        self.processes[caller.process].pid.unwrap_or(caller.pid)
    }

    pub(crate) fn skip(&mut self, why: &'static str) {
        *self.skipped.entry(why).or_default() += 1;
    }

    pub(crate) fn adopt(&mut self, range: AdoptedRange) {
        self.adopted += 1;
        if self.adopted_ranges.len() < MAX_ADOPTED {
            self.adopted_ranges.push(range);
        }
    }

    pub(crate) fn differ(&mut self, difference: LogDifference) {
        self.differences_count += 1;
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(difference);
        }
    }

    /// Adds what a call took.
    pub(crate) fn cost(&mut self, line: u64, made: &LoggedCall, counters: &Counters) {
        let (name, text) = (made.name, &made.text);
        cuts::note(&mut self.cuts, (line, text), &made.call, counters);
        self.costs.entry(name).or_default().add(counters);
        let steps = work(counters);
        self.sites.made(line, name, steps);
        let unfolds = counters.get(Counter::Unfolds);
        let model = self.model.filter(|_| name == "mprotect");
        let call = || {
            let instructions = model.map(|model| model.predict(1, counters).round() as u64);
            DearCall { line, call: text.clone(), steps, unfolds, instructions }
        };
        if unfolds > 0 {
            self.broke_count += 1;
            if self.broke.len() < MAX_BROKEN {
                self.broke.push(call());
            }
        }
        let dear = steps > 0 && (self.dearest.len() < DEAREST || self.dearest[DEAREST - 1].steps < steps);
        if dear {
            let at = self.dearest.partition_point(|dear| dear.steps >= steps);
            self.dearest.insert(at, call());
            self.dearest.truncate(DEAREST);
        }
    }

    /// Calls and their steps, by name.
    pub(crate) fn steps_by_name(&self) -> BTreeMap<&'static str, Site> {
        let site = |cost: &Cost| Site { calls: cost.calls, steps: work(&cost.counters) };
        self.costs.iter().map(|(name, cost)| (*name, site(cost))).collect()
    }

    /// What all calls took together.
    pub fn total(&self) -> Cost {
        self.costs.values().sum()
    }
}
