//! Running scenario lines on a machine.

use ptelab_machine::uapi::Class;
use ptelab_machine::{Advice, Backend, Call, CallError, Counters, Errno, Outcome, Pid, Record, Snapshot};
use ptelab_scenario::{Expect, Line, Scenario};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who watches a run: it can be stopped, and says how far it has come.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Where this is set, the run ends before the next line, or inside a line that writes a lot.
    pub stop: &'a AtomicBool,
    /// Called with the steps that were made since the last call; see [`steps`].
    pub tick: &'a (dyn Fn(u64) + Sync),
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("stop", self.stop).finish_non_exhaustive()
    }
}

impl Watch<'static> {
    /// Nobody.
    pub fn nobody() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { stop: &NEVER, tick: &|_| () }
    }
}

impl Watch<'_> {
    /// Whether the run is to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Bytes that are written or touched between two looks at the watch.
const PIECE: u64 = 1 << 30;

/// The steps of a scenario, for a progress bar: one a line, and one more for every full gibibyte that a line writes or
/// touches.
pub fn steps(scenario: &Scenario) -> u128 {
    scenario.step_sum(|line| {
        let accessed = line.call.range().filter(|_| line.call.form().class == Class::Access);
        1 + u128::from(accessed.map_or(0, |(_, len)| len / PIECE))
    })
}

/// Whether this is the result that a line expects; a line that says nothing expects only that `check` reads its byte, the process
/// lives, and nothing waits for what never comes.
pub fn meets(outcome: Outcome, line: &Line) -> bool {
    match (line.expect, outcome) {
        (
            _,
            Outcome::Mismatch(_)
            | Outcome::Failed(
                CallError::NoProcess(_)
                | CallError::Migrating
                | CallError::NotMigrating
                | CallError::NotEmulated(_),
            ),
        ) => false,
        (None, Outcome::Failed(_)) => !matches!(line.call, Call::Check { .. }),
        (None, _) => true,
        (Some(Expect::Value(want)), Outcome::Value(got)) => want == got,
        (Some(Expect::Errno(want)), Outcome::Failed(CallError::Errno(got))) => want == got,
        (Some(Expect::Errno(want)), Outcome::Failed(CallError::OutOfMemory)) => want == Errno::ENOMEM,
        (Some(Expect::Signal(want)), Outcome::Failed(CallError::Signal(got))) => want == got.signal,
        _ => false,
    }
}

/// A line that ran.
#[derive(Clone, Debug)]
pub struct Done<'a> {
    /// How many lines ran before it.
    pub index: u64,
    /// The line.
    pub line: &'a Line,
    /// What it came to.
    pub outcome: Outcome,
    /// Whether that is what the line expects.
    pub as_expected: bool,
    /// The state it dumped.
    pub snapshot: Option<Snapshot>,
    /// What it took, on a machine that keeps an account.
    pub counters: Option<Counters>,
    /// What it did, step by step, on a recording machine.
    pub records: Vec<Record>,
}

/// Runs a scenario to its end, or until it is stopped; shows every line that ran. Says whether it reached the end.
pub fn run<'a>(
    vm: &mut dyn Backend,
    scenario: &'a Scenario,
    watch: Watch<'_>,
    mut each: impl FnMut(&dyn Backend, Done<'a>),
) -> bool {
    let mut meter = Meter::new(vm);
    for step in scenario.steps() {
        if watch.stopped() {
            return false;
        }
        let Some((outcome, snapshot)) = run_watched(vm, step.line, watch) else { return false };
        let Taken { counters, records } = meter.take(vm);
        let as_expected = meets(outcome, step.line);
        each(
            vm,
            Done { index: step.index, line: step.line, outcome, as_expected, snapshot, counters, records },
        );
    }
    true
}

/// What was taken between two looks.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Its sums; nothing where the machine keeps no account.
    pub counters: Option<Counters>,
    /// Its steps, on a recording machine.
    pub records: Vec<Record>,
}

/// What a machine takes, call by call: a counting machine says it, a recording machine's records are counted.
#[derive(Clone, Debug)]
pub struct Meter {
    before: Option<Counters>,
}

impl Meter {
    /// From now on.
    pub fn new(vm: &mut dyn Backend) -> Self {
        vm.take_records();
        Self { before: vm.counters() }
    }

    /// What was taken since last asked.
    pub fn take(&mut self, vm: &mut dyn Backend) -> Taken {
        if vm.about().records {
            let records = vm.take_records();
            let mut counters = Counters::default();
            for record in &records {
                counters.record(record);
            }
            return Taken { counters: Some(counters), records };
        }
        let after = vm.counters();
        let counters = after.zip(self.before).map(|(after, before)| after - before);
        self.before = after;
        Taken { counters, records: Vec::new() }
    }
}

/// Runs one line.
///
/// # Panics
/// Never: only a watch stops a line, and nobody watches.
pub fn run_line(vm: &mut dyn Backend, line: &Line) -> (Outcome, Option<Snapshot>) {
    run_watched(vm, line, Watch::nobody()).expect("nobody stops it")
}

/// Runs one line, in a tracing span of its own; `None` where it was stopped on the way.
fn run_watched(vm: &mut dyn Backend, line: &Line, watch: Watch<'_>) -> Option<(Outcome, Option<Snapshot>)> {
    let pid = line.pid.unwrap_or(1);
    let _span =
        tracing::debug_span!("call", arch = vm.arch(), kernel = vm.rules().name, line = line.line, pid, call = %line.call)
            .entered();
    if let Call::Dump { addr, len, .. } = &line.call {
        let (outcome, snapshot) = match vm.snapshot(pid, *addr, *len) {
            Ok(snapshot) => (Outcome::Value(0), Some(snapshot)),
            Err(error) => (Outcome::Failed(error), None),
        };
        tracing::debug!(%outcome);
        return Some((outcome, snapshot));
    }
    let outcome = in_pieces(vm, pid, &line.call, watch)?;
    tracing::debug!(%outcome);
    Some((outcome, None))
}

/// Makes a call; accesses to a large range piece by piece, upwards as one call would.
fn in_pieces(vm: &mut dyn Backend, pid: Pid, call: &Call, watch: Watch<'_>) -> Option<Outcome> {
    let range = if call.form().class == Class::Access { call.range() } else { None };
    let Some((mut addr, mut len)) = range.filter(|&(_, len)| len > PIECE) else {
        return Some(vm.call(pid, call));
    };
    while len > PIECE {
        let outcome = vm.call(pid, &call.with_range((addr, PIECE)));
        if let Outcome::Failed(_) = outcome {
            return Some(outcome);
        }
        (addr, len) = (addr.saturating_add(PIECE), len - PIECE);
        (watch.tick)(1);
        if watch.stopped() {
            return None;
        }
    }
    Some(vm.call(pid, &call.with_range((addr, len))))
}

/// Whether a call takes memory back: where there is swap all kinds, and what `MADV_FREE` gave up.
pub fn reclaims(call: &Call) -> bool {
    match *call {
        Call::Reclaim { .. } => true,
        Call::Madvise { advice, .. } => advice == Advice::PAGEOUT,
        _ => false,
    }
}
