//! Random programs, held against a model, against invariants, and against one another on several machines.
//!
//! A case is one program on three machines: one of a port and a kernel, the same with one entry at a time where the kernel
//! takes batches, and another port under the same kernel. After every call each machine is held against a model that knows
//! pages only, and its tables, page structs, VMAs and memory against each other; at the end the machines are held against
//! one another, and nothing may be left when all processes have ended.

mod case;
mod coverage;
mod emit;
mod invariants;
mod judge;
mod model;
mod program;
mod shrink;

pub use case::{Found, Plan, Planned};
pub use coverage::{Coverage, Kind};
pub(crate) use judge::{Judged, OnTrial};

pub use emit::{c_program, scenario_text};
pub use program::{BASE, ELSEWHERE, Size, program};
pub use shrink::shrink;

use ptelab_scenario::Line;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One thing that is held true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// A call comes to what the model says.
    Results,
    /// Memory holds what was written.
    Contents,
    /// A page is mapped as often as its map count says, a slot of swap is named so, and sizes add up.
    Mapcount,
    /// A page is `AnonExclusive` only where one entry maps it.
    Exclusive,
    /// A private page is writable only where it is its process's own.
    Writable,
    /// VMAs are as the model says, and entries allow no more than their VMA.
    Vma,
    /// Entries lie in VMAs.
    Outside,
    /// Contiguous blocks are whole.
    Blocks,
    /// What was written is dirty.
    Dirty,
    /// What was written is soft-dirty, and nothing is when that was cleared.
    SoftDirty,
    /// What userfaultfd write-protects says so, and nothing else does.
    Protected,
    /// No translation that may be cached allows what its entry does not.
    Stale,
    /// Batches come to what single entries come to.
    Batched,
    /// Ports come to the same in what every architecture has.
    Ports,
    /// All memory is free in the end.
    Leaks,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 15] = [
        Self::Results,
        Self::Contents,
        Self::Mapcount,
        Self::Exclusive,
        Self::Writable,
        Self::Vma,
        Self::Outside,
        Self::Blocks,
        Self::Dirty,
        Self::SoftDirty,
        Self::Protected,
        Self::Stale,
        Self::Batched,
        Self::Ports,
        Self::Leaks,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Contents => "contents",
            Self::Mapcount => "map-counts",
            Self::Exclusive => "exclusive",
            Self::Writable => "writable",
            Self::Vma => "vma",
            Self::Outside => "outside",
            Self::Blocks => "blocks",
            Self::Dirty => "dirty",
            Self::SoftDirty => "soft-dirty",
            Self::Protected => "uffd-wp",
            Self::Stale => "stale-translation",
            Self::Batched => "single-batched",
            Self::Ports => "ports",
            Self::Leaks => "leaks",
        }
    }

    /// What it holds true, in a sentence.
    pub const fn law(self) -> &'static str {
        match self {
            Self::Results => "a call comes to what the page-by-page model says",
            Self::Contents => "memory holds what was written to it",
            Self::Mapcount => "map counts, slot counts and resident sizes are those of the entries",
            Self::Exclusive => "AnonExclusive is never set on a page that two entries map",
            Self::Writable => "a private page is writable only where it is its process's own",
            Self::Vma => "VMAs are as the calls made them, and entries allow no more",
            Self::Outside => "no entry lies outside a VMA",
            Self::Blocks => "contiguous blocks are whole, aligned, valid and within a folio",
            Self::Dirty => "a page that was written is dirty, in its entry or folio",
            Self::SoftDirty => {
                "a page that was written since clear_refs(4) is soft-dirty, and none is right after it"
            }
            Self::Protected => {
                "what userfaultfd write-protects says so and is not writable, and nothing else says so"
            }
            Self::Stale => "after a call no cached translation allows what its entry forbids",
            Self::Batched => "batched and single changes come to the same",
            Self::Ports => "all ports come to the same in what every architecture has",
            Self::Leaks => "no folio, table or slot of swap is left when all processes have ended",
        }
    }
}

/// Checks that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks(u32);

impl Checks {
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    const PANICS: u32 = 1 << 31;

    /// All but one.
    #[must_use]
    pub const fn without(self, check: Check) -> Self {
        Self(self.0 & !(1 << check as u32))
    }

    /// With panics passed over: they are assertions of a build, which not every build has.
    #[must_use]
    pub const fn without_panics(self) -> Self {
        Self(self.0 & !Self::PANICS)
    }

    /// Whether a program that panics is one that broke a check.
    pub(crate) const fn minds_panics(self) -> bool {
        self.0 & Self::PANICS != 0
    }

    /// Whether one is made.
    pub const fn has(self, check: Check) -> bool {
        self.0 & 1 << check as u32 != 0
    }
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub check: Check,
    /// What shows it.
    pub text: String,
}

impl Violation {
    pub(crate) const fn new(check: Check, text: String) -> Self {
        Self { check, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check.law(), self.text)
    }
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Fuzz {
    /// The first case's number; a case is the same for the same number.
    pub seed: u64,
    /// Cases, at most.
    pub cases: u64,
    /// Time, at most.
    pub time: Option<Duration>,
    /// How large programs are.
    pub size: Size,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Cases that ran.
    pub cases: u64,
    /// How long they took.
    pub time: Duration,
    /// The first case, by number, that broke a check.
    pub found: Option<Found>,
    /// The changes of state that were made.
    pub coverage: Coverage,
}

/// The program of a case.
///
/// # Panics
/// Never: a generator that wants more bytes takes the smallest choice.
pub fn program_of(seed: u64, case: u64, size: Size) -> Vec<Line> {
    let size = size.of_case(case);
    let mut rng = fastrand::Rng::with_seed(mix(seed, case));
    let mut bytes = vec![0; size.bytes()];
    rng.fill(&mut bytes);
    program(&bytes, size).expect("the generator makes do with any bytes")
}

/// A seed for one case of a run: neighbours have nothing in common (the finisher of `splitmix64`).
const fn mix(seed: u64, case: u64) -> u64 {
    let mut z = seed.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Cases that a thread takes at a time.
const CHUNK: u64 = 64;

impl Fuzz {
    /// Runs cases on all CPUs until one breaks a check, the time is over, or `stop` is set. `tick` is told of cases that ran,
    /// and of the changes of state so far. The case that is found is the first by number whatever the number of CPUs is,
    /// unless time ran out.
    pub fn run(&self, plan: &dyn Planned, stop: &AtomicBool, tick: &(dyn Fn(u64, usize) + Sync)) -> Outcome {
        let begun = Instant::now();
        let next = AtomicU64::new(0);
        let first_found = AtomicU64::new(u64::MAX);
        let all = Mutex::new((0, None::<Found>, Coverage::default()));
        let over = || stop.load(Ordering::Relaxed) || self.time.is_some_and(|time| begun.elapsed() >= time);
        rayon::broadcast(|_| {
            while !over() {
                let from = next.fetch_add(CHUNK, Ordering::Relaxed);
                if from >= self.cases.min(first_found.load(Ordering::Relaxed)) {
                    break;
                }
                let to = self.cases.min(from + CHUNK);
                let mut coverage = Coverage::default();
                let mut ran = 0;
                let mut found = None;
                for case in from..to {
                    ran += 1;
                    let lines = program_of(self.seed, case, self.size);
                    if let Err(new) = plan.run(case, &lines, &mut coverage) {
                        first_found.fetch_min(case, Ordering::Relaxed);
                        found = Some(new);
                        break;
                    }
                }
                let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                all.0 += ran;
                all.2.add(&coverage);
                if let Some(new) = found
                    && all.1.as_ref().is_none_or(|old| new.case < old.case)
                {
                    all.1 = Some(new);
                }
                tick(ran, all.2.transitions());
            }
        });
        let (cases, found, coverage) = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Outcome { cases, time: begun.elapsed(), found, coverage }
    }
}
