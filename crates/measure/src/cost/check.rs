//! Holding the predictions against measurements.

use super::file::{Measured, Sample};
use super::fit::calibrate;
use super::model::{Chosen, Models};
use ptelab_machine::KernelRules;
use ptelab_run::{kernels, parallel};
use serde::Serialize;
use std::collections::BTreeMap;

/// The largest median error, as a share of what was measured.
pub const MEDIAN_BAR: f64 = 0.05;
/// The largest error, as a share of what was measured.
pub const WORST_BAR: f64 = 0.15;

/// One measurement and its prediction.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CostRow {
    /// Name of the workload.
    pub workload: String,
    /// Port.
    pub arch: String,
    /// Kernel.
    pub kernel: &'static str,
    /// The call.
    pub call: String,
    /// Instructions on the real kernel.
    pub measured: u64,
    /// Predicted by the models in use; nothing where there is none of the port.
    pub predicted: Option<f64>,
    /// Predicted by models that did not see the workload: a calibration without it, or the models in use where they did not see
    /// it. Nothing where the files do not suffice for such a calibration.
    pub left_out: Option<f64>,
}

impl CostRow {
    /// How far a prediction is off, as a share of what was measured.
    pub fn error(&self, predicted: Option<f64>) -> Option<f64> {
        predicted.map(|predicted| predicted / self.measured as f64 - 1.0)
    }
}

/// Median and largest of some errors, without their signs.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub struct Errors {
    /// How many there are.
    pub measurements: usize,
    /// Median.
    pub median: f64,
    /// Largest.
    pub worst: f64,
}

impl Errors {
    fn of(errors: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sizes: Vec<f64> = errors.map(f64::abs).collect();
        sizes.sort_by(f64::total_cmp);
        let (measurements, worst) = (sizes.len(), *sizes.last()?);
        Some(Self { measurements, median: sizes[measurements / 2], worst })
    }

    /// Whether they are within the bars.
    pub fn within(&self) -> bool {
        self.median <= MEDIAN_BAR && self.worst <= WORST_BAR
    }
}

/// A finding of the series, predicted by models that saw none of its three cases.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Finding {
    /// What was found.
    pub text: String,
    /// How many times as many instructions one takes as the other: predicted.
    pub predicted: f64,
    /// The same, measured.
    pub measured: f64,
    /// The least that it is to be.
    pub at_least: f64,
}

/// Everything that a check says.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CostCheck {
    /// Every measurement.
    pub rows: Vec<CostRow>,
    /// Errors of the models in use.
    pub errors: Option<Errors>,
    /// Errors where the workload was left out.
    pub left_out: Option<Errors>,
    /// The findings of the series; none where the files do not have them.
    pub findings: Vec<Finding>,
}

/// The workloads of the series, and their names here.
const SERIES: [(&str, &str); 3] = [("T1", "t1-pmd-pte-mapped"), ("T2", "t2-64k"), ("T3", "t3-4k")];

impl CostCheck {
    /// Holds models against files.
    pub fn new(models: &Models, files: &[Measured]) -> Self {
        // A calibration without one workload is worth something only if it has all the others.
        let known = |name: &String| models.workloads.contains(name);
        let complete = models.workloads.iter().all(|name| files.iter().any(|file| file.workload == *name));
        let seen: Vec<&Measured> = files.iter().filter(|file| known(&file.workload)).collect();
        let without = |names: &[&str]| {
            let others = |file: &&Measured| !names.contains(&file.workload.as_str());
            calibrate(&seen.iter().copied().filter(others).collect::<Vec<_>>())
        };
        let left_out: BTreeMap<&str, Models> = if complete {
            parallel::map(&models.workloads, |name| (name.as_str(), without(&[name]))).into_iter().collect()
        } else {
            BTreeMap::new()
        };
        let mut rows = Vec::new();
        for file in files {
            let fresh = if known(&file.workload) { left_out.get(&*file.workload) } else { Some(models) };
            rows.extend(file.samples.iter().map(|sample| CostRow {
                workload: file.workload.clone(),
                arch: file.arch.clone(),
                kernel: file.kernel,
                call: sample.call.clone(),
                measured: sample.measured,
                predicted: predict(models, file, sample),
                left_out: fresh.and_then(|models| predict(models, file, sample)),
            }));
        }
        let findings =
            if complete { findings(&without(&SERIES.map(|(_, name)| name)), files) } else { Vec::new() };
        Self {
            errors: Errors::of(rows.iter().filter_map(|row| row.error(row.predicted))),
            left_out: Errors::of(rows.iter().filter_map(|row| row.error(row.left_out))),
            rows,
            findings,
        }
    }

    /// Whether the errors are within the bars, and the findings of the series come out.
    pub fn passed(&self) -> bool {
        let within = |errors: Option<Errors>| errors.is_none_or(|errors| errors.within());
        let unpredicted = self.rows.iter().any(|row| row.predicted.is_none());
        !unpredicted
            && within(self.errors)
            && within(self.left_out)
            && self.findings.iter().all(|finding| finding.predicted >= finding.at_least)
    }
}

/// What the cheapest call of a line takes.
fn predict(models: &Models, file: &Measured, sample: &Sample) -> Option<f64> {
    let rules = KernelRules::by_name(file.kernel)?;
    let Chosen { model, .. } = models.choose(&file.arch, rules)?;
    sample.counters.iter().map(|counters| model.predict(1, counters)).min_by(f64::total_cmp)
}

/// The findings of the series: large folios got cheaper on arm64, order-0 pages more expensive everywhere.
fn findings(models: &Models, files: &[Measured]) -> Vec<Finding> {
    let [before, after] = kernels::before_and_after();
    let pair = |workload: &str, arch: &str, kernel: &str| {
        let file = files.iter().find(|f| (&*f.workload, &*f.arch, f.kernel) == (workload, arch, kernel))?;
        let predicted: Option<f64> = file.samples.iter().map(|sample| predict(models, file, sample)).sum();
        Some((predicted?, file.samples.iter().map(|sample| sample.measured).sum::<u64>() as f64))
    };
    let finding = |(case, workload): (&str, &str), arch: &str, fewer: bool| {
        let (old, new) = (pair(workload, arch, before.name)?, pair(workload, arch, after.name)?);
        let (many, few, at_least) = if fewer { (old, new, 3.5) } else { (new, old, 1.5) };
        let what = if fewer { "fewer" } else { "more" };
        Some(Finding {
            text: format!("{arch}, {case}: times {what} in {} than in {}", after.name, before.name),
            predicted: many.0 / few.0,
            measured: many.1 / few.1,
            at_least,
        })
    };
    let [t1, t2, t3] = SERIES;
    let all = [(t1, "arm64", true), (t2, "arm64", true), (t3, "arm64", false), (t3, "x86_64", false)];
    all.into_iter().filter_map(|(case, arch, fewer)| finding(case, arch, fewer)).collect()
}
