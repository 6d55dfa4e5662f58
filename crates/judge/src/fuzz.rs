//! Random programs, held against a model, against invariants, and against one another on several machines.
//!
//! A case is one program on three machines: one of a port and a kernel, the same with one entry at a time where the kernel
//! takes batches, and another port under the same kernel. After every call each machine is held against a model that knows
//! pages only, and its tables, page structs, VMAs and memory against each other; at the end the machines are held against
//! one another, and nothing may be left when all processes have ended.

#[cfg(all(feature = "real", target_os = "linux"))]
mod batches;
mod case;
mod caught;
mod checks;
mod coverage;
mod emit;
mod invariants;
mod judge;
mod model;
mod program;
mod shrink;
mod state;
#[cfg(all(feature = "real", target_os = "linux"))]
mod vary;

#[cfg(all(feature = "real", target_os = "linux"))]
pub(crate) use case::is_kernels_own;
pub use case::{Found, Plan, Planned, by_page_size, one_page_size};
pub use checks::{Check, Checks, Violation};
pub use coverage::Coverage;
#[cfg(all(feature = "real", target_os = "linux"))]
pub(crate) use judge::result_is_right;
pub(crate) use judge::{Judged, OnTrial};
pub use model::is_modelled;
#[cfg(all(feature = "real", target_os = "linux"))]
pub(crate) use model::{Expected, Model, Page, State, says_protected};

pub use emit::{c_program, scenario_file, scenario_text};
pub use program::{BASE, ELSEWHERE, Size, program};
pub use shrink::shrink;
pub use state::EntryKind;
#[cfg(all(feature = "real", target_os = "linux"))]
pub(crate) use vary::vary;

use ptelab_run::parallel;
use ptelab_scenario::Line;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
pub struct FuzzReport {
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
    made_by(program, seed, case, size)
}

/// The same, of all calls, not only those that the model knows.
///
/// # Panics
/// Never, as [`program_of`].
pub fn program_of_all(seed: u64, case: u64, size: Size) -> Vec<Line> {
    made_by(program::program_of_all_calls, seed, case, size)
}

/// The program about batches of a case.
#[cfg(all(feature = "real", target_os = "linux"))]
pub(crate) fn batches_of(seed: u64, case: u64, size: Size) -> Vec<Line> {
    made_by(batches::program_about_batches, seed, case, size)
}

fn made_by(
    generator: fn(&[u8], Size) -> arbitrary::Result<Vec<Line>>,
    seed: u64,
    case: u64,
    size: Size,
) -> Vec<Line> {
    let size = size.of_case(case);
    generator(&bytes_of(seed, case, size), size).expect("the generator makes do with any bytes")
}

fn bytes_of(seed: u64, case: u64, size: Size) -> Vec<u8> {
    let mut bytes = vec![0; size.bytes()];
    fastrand::Rng::with_seed(mix(seed, case)).fill(&mut bytes);
    bytes
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
    pub fn run(
        &self,
        plan: &dyn Planned,
        stop: &AtomicBool,
        tick: &(dyn Fn(u64, usize) + Sync),
    ) -> FuzzReport {
        let begun = Instant::now();
        let next = AtomicU64::new(0);
        let first_found = AtomicU64::new(u64::MAX);
        let all = Mutex::new((0, None::<Found>, Coverage::default()));
        let over = || stop.load(Ordering::Relaxed) || self.time.is_some_and(|time| begun.elapsed() >= time);
        parallel::on_every_cpu(|| {
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
        FuzzReport { cases, time: begun.elapsed(), found, coverage }
    }
}
