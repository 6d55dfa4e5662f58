//! Calibration: from measured files to coefficients.
//!
//! Least squares of relative errors, so that a call of a thousand instructions counts as much as one of a million, over costs
//! that cannot be negative (Lawson and Hanson's NNLS). Counters often go up and down together, and some occur in few files.
//! So coefficients are held, weakly, to what is known otherwise: first those of a port, all its kernels together, to
//! [`Term::typical`](super::model::Term); then those of each kernel to its port's.

use super::file::{Measured, Sample};
use super::model::{Model, Models, TERMS};
use ndarray::{Array1, Array2};
use ptelab_machine::{Counters, KernelRules, ports};

/// How strongly a coefficient is held: being off by its own size weighs as much as one measurement off by the root of this.
const HOLD: f64 = 1e-3;

/// Fits a model for every port and kernel that `files` have data of.
pub fn calibrate(files: &[&Measured]) -> Models {
    let mut workloads: Vec<String> = files.iter().map(|file| file.workload.clone()).collect();
    workloads.sort();
    workloads.dedup();
    let mut models = Vec::new();
    for port in ports() {
        let of_port: Vec<&Measured> = files.iter().copied().filter(|file| file.arch == port.name).collect();
        let typical: Vec<f64> = TERMS.iter().map(|term| f64::from(term.typical)).collect();
        let shared = fit(&of_port, &typical);
        for rules in KernelRules::ALL {
            let own: Vec<&Measured> =
                of_port.iter().copied().filter(|file| file.kernel == rules.name).collect();
            if !own.is_empty() {
                models.push(Model::new(port.name, rules.name, &fit(&own, &shared)));
            }
        }
    }
    Models { workloads, models }
}

/// The costs of all terms that fit the files best, held to `near`.
fn fit(files: &[&Measured], near: &[f64]) -> Vec<f64> {
    let samples: Vec<&Sample> = files.iter().flat_map(|file| &file.samples).collect();
    let n = TERMS.len();
    let mut a = Array2::<f64>::zeros((samples.len() + n, n));
    let mut b = Array1::<f64>::zeros(samples.len() + n);
    for (row, sample) in samples.iter().enumerate() {
        let measured = sample.measured as f64;
        let counters = cheapest(sample, near);
        for (column, term) in TERMS.iter().enumerate() {
            a[(row, column)] = term.count(counters) as f64 / measured;
        }
        b[row] = 1.0;
    }
    for (column, (&cost, term)) in near.iter().zip(TERMS).enumerate() {
        let row = samples.len() + column;
        let size = cost.max(f64::from(term.typical) / 4.0);
        a[(row, column)] = HOLD.sqrt() / size;
        b[row] = HOLD.sqrt() * cost / size;
    }
    nnls::nnls(a.view(), b.view()).0.to_vec()
}

/// Of what the calls of one line counted, that which costs least: the measurement is of the cheapest call.
fn cheapest<'a>(sample: &'a Sample, costs: &[f64]) -> &'a Counters {
    let cost = |counters: &Counters| -> f64 {
        TERMS.iter().zip(costs).map(|(term, cost)| term.count(counters) as f64 * cost).sum()
    };
    let least = sample.counters.iter().min_by(|x, y| cost(x).total_cmp(&cost(y)));
    least.expect("a line that was timed was called")
}
