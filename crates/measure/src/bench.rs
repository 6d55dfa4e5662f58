//! How long mprotect takes: every layout on every port and kernel, and on the running kernel beside them.
//!
//! A sample is one change to read-only and back. Machines take turns, round by round, so that whatever else the host does
//! meets all of them alike; numbers to compare are those of one run.

mod layout;
mod sample;
mod scale;
mod subject;
mod table;
mod targets;

pub use layout::{LAYOUT_PAGES, LAYOUTS, Layout};
pub use sample::{Skip, Spread};
pub use scale::{ScaleRow, scale, sizes};
pub use table::{bench_table, scale_table, targets_table};
pub use targets::{Target, Targets, target_bench, targets};

use layout::Calls;
use ptelab_real::facts;
use ptelab_run::Subject;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};
use subject::{Emulated, Host};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Layouts, in the order in which they are shown.
    pub layouts: Vec<&'static Layout>,
    /// Machines, each with its primitives.
    pub machines: Vec<Subject>,
    /// Bytes that each maps.
    pub size: u64,
    /// Samples of each.
    pub rounds: u32,
    /// Whether the running kernel takes part.
    pub host: HostRuns,
}

/// Whether the running kernel takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRuns {
    /// It does, in turn with the emulated machines.
    Beside,
    /// It does not.
    LeftOut,
}

/// The host, as results name it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BenchHost {
    /// Operating system and release.
    pub kernel: String,
    /// Model of the CPU.
    pub cpu: Option<String>,
    /// CPUs that the program may use.
    pub cpus: usize,
    /// Day of the run, as `2026-11-24` (UTC).
    pub date: String,
}

impl BenchHost {
    /// Of this host, today.
    pub fn now() -> Self {
        let facts::Facts { kernel, cpu, cpus } = facts::facts();
        Self { kernel, cpu, cpus, date: today() }
    }
}

impl std::fmt::Display for BenchHost {
    /// `2026-11-24, AMD EPYC, 2 CPUs, Linux 6.18.44`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cpu = self.cpu.as_deref().unwrap_or("unknown CPU");
        write!(f, "{}, {cpu}, {} CPUs, {}", self.date, self.cpus, self.kernel)
    }
}

/// One layout on one machine.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct BenchRow {
    /// Name of the layout.
    pub layout: &'static str,
    /// Port.
    pub arch: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Primitives: `plain`, `counting`, `recording`.
    pub machine: &'static str,
    /// Present entries that one call changes.
    pub entries: u64,
    /// Nanoseconds an entry and call: the median.
    pub ns_per_entry: f64,
    /// The fastest round.
    pub ns_min: f64,
    /// The slowest round.
    pub ns_max: f64,
    /// The same on the running kernel, where it took part.
    pub host_ns_per_entry: Option<f64>,
    /// Every sample, in the order of the rounds.
    pub samples: Vec<f64>,
}

/// A layout that was not measured on some machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Skipped {
    /// Name of the layout.
    pub layout: &'static str,
    /// The machine, or `host`.
    pub machine: String,
    /// Why not.
    pub reason: String,
}

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct BenchReport {
    /// Where it ran.
    pub host: BenchHost,
    /// Bytes that each layout maps.
    pub size: u64,
    /// Samples behind each row.
    pub rounds: u32,
    /// What was measured.
    pub rows: Vec<BenchRow>,
    /// What was not.
    pub skipped: Vec<Skipped>,
    /// Whether it came to its end.
    pub finished: bool,
}

impl Bench {
    /// Rounds of one machine in all, for a progress bar.
    pub fn steps(&self) -> u64 {
        let machines = self.machines.len() + usize::from(self.host == HostRuns::Beside);
        (self.layouts.len() * machines) as u64 * u64::from(self.rounds + 1)
    }

    /// Measures. `tick` is called after every step; where `stop` is set, the report ends there.
    pub fn run(&self, stop: &AtomicBool, tick: &dyn Fn()) -> BenchReport {
        let mut report = BenchReport {
            host: BenchHost::now(),
            size: self.size,
            rounds: self.rounds,
            rows: Vec::new(),
            skipped: Vec::new(),
            finished: true,
        };
        for layout in &self.layouts {
            self.run_layout(layout, &mut report, &Steps { stop, tick });
        }
        report.finished = !stop.load(Ordering::Relaxed);
        report
    }

    fn run_layout(&self, layout: &'static Layout, report: &mut BenchReport, steps: &Steps<'_>) {
        let len = layout.size(self.size);
        let mut lanes = Vec::new();
        let mut skip = |machine: String, Skip(reason)| {
            report.skipped.push(Skipped { layout: layout.name, machine, reason });
        };
        for subject in &self.machines {
            if steps.stopped() {
                return;
            }
            match build(subject, layout, len) {
                Ok(machine) => lanes.push(Lane::new(Some(subject), Box::new(machine))),
                Err(why) => skip(subject.to_string(), why),
            }
            (steps.tick)();
        }
        if self.host == HostRuns::Beside && !steps.stopped() {
            match Host::build(layout, len) {
                Ok(host) => lanes.push(Lane::new(None, Box::new(host))),
                Err(why) => skip("host".to_owned(), why),
            }
            (steps.tick)();
        }
        let entries = layout.entries(len);
        for _ in 0..self.rounds {
            for lane in &mut lanes {
                if steps.stopped() {
                    break;
                }
                lane.sample(len, entries);
                (steps.tick)();
            }
        }
        report.add(layout, entries, &lanes);
    }
}

impl BenchReport {
    fn add(&mut self, layout: &'static Layout, entries: u64, lanes: &[Lane<'_>]) {
        let host = lanes.iter().find(|lane| lane.subject.is_none());
        let host = host.and_then(|lane| Spread::of(&lane.times)).map(|spread| spread.median);
        for lane in lanes {
            if let Some(Skip(reason)) = &lane.failed {
                let (machine, reason) = (lane.name(), reason.clone());
                self.skipped.push(Skipped { layout: layout.name, machine, reason });
            }
            let (Some(subject), Some(spread)) = (lane.subject, Spread::of(&lane.times)) else { continue };
            self.rows.push(BenchRow {
                layout: layout.name,
                arch: subject.arch,
                kernel: subject.kernel,
                machine: subject.hw.name(),
                entries,
                ns_per_entry: spread.median,
                ns_min: spread.min,
                ns_max: spread.max,
                host_ns_per_entry: host,
                samples: lane.times.clone(),
            });
        }
    }
}

struct Steps<'a> {
    stop: &'a AtomicBool,
    tick: &'a dyn Fn(),
}

impl Steps<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// An emulated machine with a layout in its memory.
fn build(subject: &Subject, layout: &Layout, len: u64) -> Result<Emulated, Skip> {
    let mut machine = Emulated::new(subject.builder.clone(), len)?;
    layout.build(&mut machine, len)?;
    Ok(machine)
}

/// One machine in a race of several.
struct Lane<'a> {
    /// `None` for the host.
    subject: Option<&'a Subject>,
    calls: Box<dyn Calls>,
    times: Vec<f64>,
    failed: Option<Skip>,
}

/// Entries that a sample goes over at least: shorter samples repeat their calls.
const SAMPLE_ENTRIES: u64 = 1 << 18;
/// Calls that a sample makes at most.
const SAMPLE_CALLS: u64 = 4096;

impl<'a> Lane<'a> {
    fn new(subject: Option<&'a Subject>, calls: Box<dyn Calls>) -> Self {
        Self { subject, calls, times: Vec::new(), failed: None }
    }

    fn name(&self) -> String {
        self.subject.map_or_else(|| "host".to_owned(), ToString::to_string)
    }

    /// Takes a sample: after one change that is not timed, enough of them for the clock.
    fn sample(&mut self, len: u64, entries: u64) {
        if self.failed.is_some() {
            return;
        }
        let repeats = (SAMPLE_ENTRIES / entries).clamp(1, SAMPLE_CALLS);
        match self.time(len, repeats) {
            #[expect(clippy::cast_precision_loss, reason = "shown with two places")]
            Ok(ns) => self.times.push(ns / (2 * repeats * entries) as f64),
            Err(why) => self.failed = Some(why),
        }
    }

    /// Nanoseconds that so many changes and changes back take.
    fn time(&mut self, len: u64, repeats: u64) -> Result<f64, Skip> {
        self.calls.toggle(len)?;
        let begin = Instant::now();
        for _ in 0..repeats {
            self.calls.toggle(len)?;
        }
        Ok(begin.elapsed().as_secs_f64() * 1e9)
    }
}

/// The day as `2026-11-24` (UTC).
fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}
