//! Running scenario lines on a machine.

use ptelab_machine::{
    Access, Advice, AnyVm, CallError, Counters, MapFlags, MremapFlags, PageCategories, Pid, PmScan,
    PmScanFlags, Prot, Record, Signal, Snapshot, ThpMode, UffdFeatures, Vm, WriteProtect,
};
use ptelab_scenario::{self as scn, Call, Expect, Line, Scenario, ThpKey};
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
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Bytes that are written or touched between two looks at the watch.
const PIECE: u64 = 1 << 30;

/// The steps of a scenario, for a progress bar: one a line, and one more for every full gibibyte that a line writes or
/// touches.
pub fn steps(scenario: &Scenario) -> u128 {
    scenario.step_sum(|line| {
        let len = match line.call {
            Call::Memset { len, .. } | Call::ExplicitBzero { len, .. } | Call::Touch { len, .. } => len,
            _ => 0,
        };
        1 + u128::from(len / PIECE)
    })
}

/// What a line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned this; `check` the byte it read.
    Value(u64),
    /// It failed.
    Failed(CallError),
    /// `check` read this byte, which is not what it wanted.
    Mismatch(u8),
}

impl fmt::Display for Outcome {
    /// As strace prints results: `0`, `0x40000000`, `-1 ENOMEM`, `SIGSEGV`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(n) if *n < 4096 => write!(f, "{n}"),
            Self::Value(n) => write!(f, "{n:#x}"),
            Self::Failed(error @ CallError::Errno(_)) => write!(f, "-1 {error}"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Mismatch(byte) => write!(f, "read {byte:#04x}"),
        }
    }
}

impl Outcome {
    /// Whether this is the result that a line expects; a line that says nothing expects only that `check` holds, the
    /// process lives, and nothing waits for what never comes.
    pub(crate) fn meets(self, expect: Option<Expect>) -> bool {
        match (expect, self) {
            (
                _,
                Self::Mismatch(_)
                | Self::Failed(CallError::NoProcess(_) | CallError::Migrating | CallError::NotMigrating),
            ) => false,
            (None, _) => true,
            (Some(Expect::Value(want)), Self::Value(got)) => want == got,
            (Some(Expect::Errno(want)), Self::Failed(CallError::Errno(got))) => want.name() == got.name(),
            (Some(Expect::Errno(want)), Self::Failed(CallError::OutOfMemory)) => want.name() == "ENOMEM",
            (Some(Expect::Signal(want)), Self::Failed(CallError::Signal(got))) => want.name() == got.name(),
            _ => false,
        }
    }
}

impl From<Result<u64, CallError>> for Outcome {
    fn from(result: Result<u64, CallError>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(error) => Self::Failed(error),
        }
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
    vm: &mut AnyVm,
    scenario: &'a Scenario,
    watch: Watch<'_>,
    mut each: impl FnMut(&AnyVm, Done<'a>),
) -> bool {
    let mut meter = Meter::new(vm);
    for step in scenario.steps() {
        if watch.stopped() {
            return false;
        }
        let Some((outcome, snapshot)) = run_watched(&mut **vm, step.line, watch) else { return false };
        let Taken { counters, records } = meter.take(vm);
        let as_expected = outcome.meets(step.line.expect);
        each(
            vm,
            Done { index: step.index, line: step.line, outcome, as_expected, snapshot, counters, records },
        );
    }
    true
}

/// What was taken between two looks.
#[derive(Default)]
pub(crate) struct Taken {
    /// Its sums; nothing where the machine keeps no account.
    pub(crate) counters: Option<Counters>,
    /// Its steps, on a recording machine.
    pub(crate) records: Vec<Record>,
}

/// What a machine takes, call by call: a counting machine says it, a recording machine's records are counted.
pub(crate) struct Meter {
    before: Option<Counters>,
}

impl Meter {
    pub(crate) fn new(vm: &mut AnyVm) -> Self {
        vm.take_records();
        Self { before: vm.counters() }
    }

    /// What was taken since last asked.
    pub(crate) fn take(&mut self, vm: &mut AnyVm) -> Taken {
        if vm.records() {
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
pub fn run_line(vm: &mut dyn Vm, line: &Line) -> (Outcome, Option<Snapshot>) {
    run_watched(vm, line, Watch::nobody()).expect("nobody stops it")
}

/// Runs one line, in a tracing span of its own; `None` where it was stopped on the way.
fn run_watched(vm: &mut dyn Vm, line: &Line, watch: Watch<'_>) -> Option<(Outcome, Option<Snapshot>)> {
    let pid = line.pid.unwrap_or(1);
    let _span =
        tracing::debug_span!("call", arch = vm.arch(), kernel = vm.rules().name, call = %line.call).entered();
    if let Call::Dump { addr, len, .. } = &line.call {
        let (outcome, snapshot) = match vm.snapshot(pid, *addr, *len) {
            Ok(snapshot) => (Outcome::Value(0), Some(snapshot)),
            Err(error) => (Outcome::Failed(error), None),
        };
        tracing::debug!(%outcome);
        return Some((outcome, snapshot));
    }
    let outcome = match run_call(vm, pid, &line.call, watch) {
        Ok(Ran::Value(value)) => Outcome::Value(value),
        Ok(Ran::Mismatch(byte)) => Outcome::Mismatch(byte),
        Ok(Ran::Stopped) => return None,
        Err(error) => Outcome::Failed(error),
    };
    tracing::debug!(%outcome);
    Some((outcome, None))
}

/// Makes accesses to a range piece by piece, upwards as one call would.
fn in_pieces(
    watch: Watch<'_>,
    addr: u64,
    len: u64,
    mut access: impl FnMut(u64, u64) -> Result<(), CallError>,
) -> Result<Ran, CallError> {
    let mut done = 0;
    while len - done > PIECE {
        access(addr.saturating_add(done), PIECE)?;
        done += PIECE;
        (watch.tick)(1);
        if watch.stopped() {
            return Ok(Ran::Stopped);
        }
    }
    access(addr.saturating_add(done), len - done)?;
    Ok(Ran::Value(0))
}

enum Ran {
    Value(u64),
    Mismatch(u8),
    Stopped,
}

fn run_call(vm: &mut dyn Vm, pid: Pid, call: &Call, watch: Watch<'_>) -> Result<Ran, CallError> {
    if !vm.processes().contains(&pid) {
        return Err(CallError::NoProcess(pid));
    }
    let zero = |()| 0;
    let value = match *call {
        Call::Mmap { addr, len, prot, flags, .. } => {
            vm.mmap(pid, addr, len, Prot::from_bits_retain(prot), placed(addr, flags))?
        }
        Call::Munmap { addr, len } => vm.munmap(pid, addr, len).map(zero)?,
        Call::Mprotect { addr, len, prot } => {
            vm.mprotect(pid, addr, len, Prot::from_bits_retain(prot)).map(zero)?
        }
        Call::Madvise { addr, len, advice } => vm.madvise(pid, addr, len, advice).map(zero)?,
        Call::Mremap { old_addr, old_len, new_len, flags, new_addr } => {
            vm.mremap(pid, old_addr, old_len, new_len, MremapFlags::from_bits_retain(flags), new_addr)?
        }
        Call::Memset { addr, byte, len } => {
            return in_pieces(watch, addr, len, |addr, len| vm.memset(pid, addr, byte, len));
        }
        Call::ExplicitBzero { addr, len } => {
            return in_pieces(watch, addr, len, |addr, len| vm.memset(pid, addr, 0, len));
        }
        Call::Touch { addr, len, access } => {
            return in_pieces(watch, addr, len, |addr, len| vm.touch(pid, addr, len, access_of(access)));
        }
        Call::Check { addr, byte } => match vm.read_byte(pid, addr)? {
            read if read == byte => read.into(),
            read => return Ok(Ran::Mismatch(read)),
        },
        Call::Fork => vm.fork(pid)?.into(),
        Call::ExitGroup { .. } => vm.exit(pid).map(zero)?,
        Call::ClearRefs { what } => vm.clear_refs(pid, what.into()).map(zero)?,
        Call::Uffd { addr, len, features } => {
            vm.uffd_register(pid, addr, len, UffdFeatures::from_bits_retain(features)).map(zero)?
        }
        Call::UffdUnregister { addr, len } => vm.uffd_unregister(pid, addr, len).map(zero)?,
        Call::UffdWp { addr, len, how } => vm.uffd_wp(pid, addr, len, write_protect_of(how)).map(zero)?,
        Call::UffdPoison { addr, len } => vm.uffd_poison(pid, addr, len).map(zero)?,
        Call::PagemapScan { addr, len, flags, mask, returned, max_pages } => {
            let scan = PmScan {
                flags: PmScanFlags::from_bits_retain(flags),
                mask: PageCategories::from_bits_retain(mask),
                returned: PageCategories::from_bits_retain(returned),
                max_pages,
                ..PmScan::default()
            };
            vm.pagemap_scan(pid, addr, len, &scan)?.regions.len() as u64
        }
        Call::Reclaim { addr, len } => vm.reclaim(pid, addr, len).map(zero)?,
        Call::SplitFolio { addr, order } => vm.split_folio(pid, addr, order.into()).map(zero)?,
        Call::Numa { nodes } => vm.numa(nodes).map(zero)?,
        Call::NumaAlloc { node } => vm.numa_alloc((node < 64).then_some(node)).map(zero)?,
        Call::NumaScan { addr, len } => vm.numa_scan(pid, addr, len).map(|_| 0)?,
        Call::Swapon { size } => vm.swapon(size).map(zero)?,
        Call::MigrateBegin { addr, len } => vm.migrate_begin(pid, addr, len).map(zero)?,
        Call::MigrateEnd { addr, len } => vm.migrate_end(pid, addr, len).map(zero)?,
        Call::DevicePrivate { addr, len } => vm.device_private(pid, addr, len).map(zero)?,
        Call::DeviceExclusive { addr } => vm.device_exclusive(pid, addr).map(zero)?,
        Call::Hwpoison { addr } => vm.hwpoison(pid, addr).map(zero)?,
        Call::Thp { size: ThpKey::Enabled, mode } => vm.thp_enabled(mode_of(mode)).map(zero)?,
        Call::Thp { size: ThpKey::Kb(kb), mode } => {
            vm.thp_size(kb.saturating_mul(1024), mode_of(mode)).map(zero)?
        }
        Call::Dump { .. } | Call::Time { .. } => 0,
    };
    Ok(Ran::Value(value))
}

/// Whether a call takes memory back: where there is swap all kinds, and what `MADV_FREE` gave up.
pub(crate) fn reclaims(call: &Call) -> bool {
    match *call {
        Call::Reclaim { .. } => true,
        Call::Madvise { advice, .. } => advice == Advice::Pageout as u64,
        _ => false,
    }
}

/// The flags of a scenario's mmap: a given address is meant exactly.
pub(crate) fn placed(addr: u64, flags: u64) -> MapFlags {
    let flags = MapFlags::from_bits_retain(flags);
    if addr != 0 && !flags.contains(MapFlags::FIXED) { flags | MapFlags::FIXED_NOREPLACE } else { flags }
}

const fn access_of(access: scn::Access) -> Access {
    match access {
        scn::Access::Read => Access::Read,
        scn::Access::Write => Access::Write,
    }
}

const fn write_protect_of(how: scn::Switch) -> WriteProtect {
    match how {
        scn::Switch::On => WriteProtect::On,
        scn::Switch::Off => WriteProtect::Off,
    }
}

const fn mode_of(mode: scn::ThpMode) -> ThpMode {
    match mode {
        scn::ThpMode::Always => ThpMode::Always,
        scn::ThpMode::Madvise => ThpMode::Madvise,
        scn::ThpMode::Inherit => ThpMode::Inherit,
        scn::ThpMode::Never => ThpMode::Never,
    }
}

/// The signal's name, or the errno's, as golden files have them.
pub(crate) const fn failure_names(error: CallError) -> (Option<&'static str>, Option<&'static str>) {
    match error {
        CallError::Errno(errno) => (Some(errno.name()), None),
        CallError::OutOfMemory => (Some("ENOMEM"), None),
        CallError::Signal(Signal::Segv) => (None, Some("SIGSEGV")),
        CallError::Signal(Signal::Bus) => (None, Some("SIGBUS")),
        CallError::NoProcess(_) => (Some("ESRCH"), None),
        // No kernel says this: it would wait, or there is no such call.
        CallError::Migrating | CallError::NotMigrating => (Some("EBUSY"), None),
    }
}
