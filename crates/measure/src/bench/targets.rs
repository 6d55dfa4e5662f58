//! The numbers that this project set itself, measured in one run.

use super::layout::Layout;
use super::sample::Skip;
use super::{Bench, BenchReport, BenchRow, HostRuns, ScaleRow, scale};
use ptelab_machine::mm::Rules;
use ptelab_machine::{Builder, HwKind, KernelRules, ports};
use ptelab_real::facts;
use ptelab_run::exec::Watch;
use ptelab_run::{Matrix, SelectError, compare, kernels, port_names};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// One number: what was to be reached, and what was.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// What was to be reached.
    pub target: String,
    /// What was measured; nothing where it could not be.
    pub measured: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// Whether it was reached.
    pub met: bool,
}

impl Target {
    fn at_most(what: &str, bound: f64, unit: &'static str, measured: Option<f64>) -> Self {
        let met = measured.is_some_and(|n| n <= bound);
        Self { what: what.to_owned(), target: format!("at most {bound}"), measured, unit, met }
    }

    fn at_least(what: &str, bound: f64, unit: &'static str, measured: Option<f64>) -> Self {
        let met = measured.is_some_and(|n| n >= bound);
        Self { what: what.to_owned(), target: format!("at least {bound}"), measured, unit, met }
    }
}

/// All targets, and the results behind them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Targets {
    /// The targets.
    pub targets: Vec<Target>,
    /// Times by layout.
    pub layouts: BenchReport,
    /// Times and memory by size.
    pub scale: Vec<ScaleRow>,
}

/// The program of the series on 64K folios at 1 GiB.
const T2: &str = r#"
thp("64kB", "always")
mmap(0x40000000, 1G, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x40000000
memset(0x40000000, 0, 1G)
madvise(0x40000000, 1G, MADV_NOHUGEPAGE) = 0
explicit_bzero(0x40000000, 1G)
repeat 40 {
  mprotect(0x40000000, 1G, PROT_READ) = 0
  mprotect(0x40000000, 1G, PROT_READ|PROT_WRITE) = 0
  explicit_bzero(0x40000000, 1G)
}
dump(0x40000000, 1G, "T2")
"#;

/// Bytes that the largest mapping has, and the host's memory that it takes.
const LARGEST: u64 = 1 << 40;
const LARGEST_TAKES: u64 = 10 << 30;

/// The machines that are compared unless told otherwise.
fn compared() -> Result<Matrix, SelectError> {
    Matrix::new().kernels(&kernels::listed(kernels::compared()))
}

/// The measurement of layouts that the targets are about.
///
/// # Errors
/// Where there is none of the kernels that the targets are about.
pub fn target_bench() -> Result<Bench, Skip> {
    let matrix = compared()?;
    let kinds = [HwKind::Plain, HwKind::Counting];
    Ok(Bench {
        layouts: ["t1", "t2", "t3"].into_iter().filter_map(Layout::by_name).collect(),
        machines: kinds.into_iter().flat_map(|hw| matrix.clone().hw(hw).subjects()).collect(),
        size: 1 << 30,
        rounds: 9,
        host: HostRuns::Beside,
    })
}

/// Measures everything; `None` where it was stopped.
///
/// # Errors
/// Where a machine cannot be built.
pub fn targets(watch: Watch<'_>) -> Result<Option<Targets>, Skip> {
    let layouts = target_bench()?.run(watch.stop, &|| (watch.tick)(1));
    let mut sizes = vec![1 << 30];
    if facts::available().is_none_or(|free| free > LARGEST_TAKES) {
        sizes.push(LARGEST);
    }
    let mut rows = Vec::new();
    for size in sizes {
        match scale(&Builder::new("arm64"), size, watch.stop, &|| (watch.tick)(1))? {
            Some(row) => rows.push(row),
            None => return Ok(None),
        }
    }
    if !layouts.finished {
        return Ok(None);
    }
    let seconds = compare_seconds()?;
    let targets = judge(&layouts, &rows, seconds);
    Ok(Some(Targets { targets, layouts, scale: rows }))
}

/// How long the program of the series takes on all ports and these kernels, side by side, with what differs between them.
fn compare_seconds() -> Result<f64, Skip> {
    let scenario = ptelab_scenario::parse(T2)?;
    let begin = Instant::now();
    let reports = compared()?.run(&scenario, Watch::nobody())?;
    let (ports, _) = compare::compare(&scenario, &reports);
    if let Some(differing) = ports.first() {
        return Err(Skip(format!("{} and {} differ", differing.left, differing.right)));
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn judge(layouts: &BenchReport, scale: &[ScaleRow], compare_seconds: f64) -> Vec<Target> {
    let times = Times(layouts);
    let large = scale.iter().find(|row| row.size == LARGEST);
    let [before, after] = kernels::before_and_after().map(|rules| rules.name);
    let slower = large
        .zip(scale.first())
        .map(|(large, first)| large.mprotect_ns_per_entry / first.mprotect_ns_per_entry);
    vec![
        Target::at_most(
            "T1, T2: an entry, slowest port and kernel that batches",
            0.5,
            "ns",
            times.slowest(&["t1", "t2"], batches),
        ),
        Target::at_least(
            "T1, T2: faster than the running kernel",
            25.0,
            "times",
            times.host_ratio(&["t1", "t2"]),
        ),
        Target::at_most("T3: an entry, slowest port and kernel", 1.5, "ns", times.slowest(&["t3"], |_| true)),
        Target::at_least("T3: faster than the running kernel", 20.0, "times", times.host_ratio(&["t3"])),
        Target::at_least(
            &format!("arm64 T1, T2: {before} against {after}"),
            3.0,
            "times",
            times.kernels(&["t1", "t2"], "arm64"),
        ),
        Target::at_least(
            &format!("T3: {after} against {before}, least of all ports"),
            1.0,
            "times",
            times.look_up(),
        ),
        Target::at_most("counting machine against plain, T1 to T3", 2.0, "times", times.counting()),
        Target::at_most(
            "memory a 4K page, 1 TiB mapped",
            32.0,
            "bytes",
            large.and_then(|row| row.bytes_per_page),
        ),
        Target::at_most("T3: an entry, 1 TiB against 1 GiB", 3.0, "times", slower),
        Target::at_most(
            &format!("compare T2, {} ports x {} kernels", ports().len(), kernels::compared().count()),
            1.0,
            "s",
            Some(compare_seconds),
        ),
    ]
}

fn batches(kernel: &str) -> bool {
    KernelRules::by_name(kernel).is_some_and(|rules| rules.has(Rules::mprotect_batches))
}

/// The times of a report, for looking up.
struct Times<'a>(&'a BenchReport);

impl Times<'_> {
    fn rows<'b>(
        &'b self,
        layouts: &'b [&str],
        machine: &'b str,
    ) -> impl Iterator<Item = &'b BenchRow> + Clone {
        self.0.rows.iter().filter(move |row| layouts.contains(&row.layout) && row.machine == machine)
    }

    fn time(&self, layout: &str, arch: &str, kernel: &str) -> Option<f64> {
        let mut rows = self.0.rows.iter();
        let found = rows
            .find(|row| (row.layout, row.arch, row.kernel, row.machine) == (layout, arch, kernel, "plain"));
        found.map(|row| row.ns_per_entry)
    }

    fn slowest(&self, layouts: &[&str], kernel: impl Fn(&str) -> bool) -> Option<f64> {
        let rows = self.rows(layouts, "plain").filter(|row| kernel(row.kernel));
        rows.map(|row| row.ns_per_entry).max_by(f64::total_cmp)
    }

    /// The least of all ports, under the newest kernel.
    fn host_ratio(&self, layouts: &[&str]) -> Option<f64> {
        let newest = |row: &&BenchRow| row.kernel == KernelRules::DEFAULT.name;
        let ratio = |row: &BenchRow| row.host_ns_per_entry.map(|host| host / row.ns_per_entry);
        self.rows(layouts, "plain").filter(newest).filter_map(ratio).min_by(f64::total_cmp)
    }

    fn kernels(&self, layouts: &[&str], arch: &str) -> Option<f64> {
        let [before, after] = kernels::before_and_after().map(|rules| rules.name);
        let ratio = |layout: &&str| Some(self.time(layout, arch, before)? / self.time(layout, arch, after)?);
        layouts.iter().filter_map(ratio).min_by(f64::total_cmp)
    }

    fn look_up(&self) -> Option<f64> {
        let [before, after] = kernels::before_and_after().map(|rules| rules.name);
        let ratio = |arch: &str| Some(self.time("t3", arch, after)? / self.time("t3", arch, before)?);
        port_names().into_iter().filter_map(ratio).min_by(f64::total_cmp)
    }

    fn counting(&self) -> Option<f64> {
        let ratio = |row: &BenchRow| Some(row.ns_per_entry / self.time(row.layout, row.arch, row.kernel)?);
        self.rows(&["t1", "t2", "t3"], "counting").filter_map(ratio).max_by(f64::total_cmp)
    }
}
