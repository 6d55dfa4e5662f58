//! Reports as JSON.

use crate::compare::Differing;
use crate::golden::{GoldenCall, GoldenDump};
use crate::report::{Cost, RunReport};
use crate::verdict::Verdict;
use ptelab_scenario::Scenario;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A report: its calls and dumps have the shape of golden files.
pub fn run(scenario: &Scenario, report: &RunReport) -> Value {
    let calls: Vec<GoldenCall> = scenario
        .steps()
        .zip(&report.results)
        .map(|(step, &outcome)| GoldenCall::new(step.line.to_string(), outcome))
        .collect();
    let dumps: Vec<GoldenDump> = report
        .dumps
        .iter()
        .map(|dump| GoldenDump::new(&dump.name, dump.pid, &dump.vmas, &dump.snapshot))
        .collect();
    let unexpected: Vec<Value> = report
        .unexpected
        .iter()
        .map(|u| json!({"line": u.line, "call": u.text, "got": u.outcome.to_string()}))
        .collect();
    json!({
        "arch": report.arch,
        "kernel": report.kernel,
        "finished": report.finished,
        "lines": report.lines,
        "calls": calls,
        "calls_left_out": report.lines - report.results.len() as u64,
        "unexpected": unexpected,
        "dumps": dumps,
        "counters": counters(report),
        "lines_counters": lines(report),
    })
}

/// Counters by line of the source.
fn lines(report: &RunReport) -> Vec<Value> {
    let line = |(line, known): (&u32, &crate::LineCost)| json!({"line": line, "call": known.text, "counters": one(&known.cost)});
    report.line_costs.iter().map(line).collect()
}

/// Counters by the name of the call.
fn counters(report: &RunReport) -> Value {
    report.costs.iter().map(|(name, cost)| ((*name).to_owned(), one(cost))).collect::<Map<_, _>>().into()
}

pub(crate) fn one(cost: &Cost) -> Value {
    let mut sums: Map<String, Value> =
        cost.counters.nonzero().map(|(counter, n)| (counter.name().to_owned(), n.into())).collect();
    sums.insert("calls".to_owned(), cost.calls.into());
    sums.insert("batch lengths".to_owned(), json!(cost.counters.batch_lengths));
    sums.insert("folios by order".to_owned(), json!(cost.counters.allocs_by_order));
    sums.into()
}

/// A comparison: what differs between ports and between kernels, and each machine's counters.
pub fn compare(reports: &[RunReport], ports: &[Differing], kernels: &[Differing]) -> Value {
    let machines: Vec<Value> = reports
        .iter()
        .map(|report| {
            json!({
                "arch": report.arch,
                "kernel": report.kernel,
                "finished": report.finished,
                "lines": report.lines,
                "failures": report.failures,
                "unexpected": report.unexpected_count,
                "counters": counters(report),
                "lines_counters": lines(report),
                "mprotect_instructions": report.mprotects().and_then(|all| all.instructions()).map(f64::round),
            })
        })
        .collect();
    json!({"machines": machines, "ports_differ": ports, "kernels_differ": kernels})
}

/// The sums of several verdicts.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Tally {
    /// File by file.
    pub files: Vec<Verdict>,
    /// Dumps in all.
    pub dumps: usize,
    /// Of these equal.
    pub dumps_equal: usize,
    /// Calls in all.
    pub calls: usize,
    /// Of these equal.
    pub calls_equal: usize,
}

impl Tally {
    /// Sums verdicts up.
    pub fn new(files: Vec<Verdict>) -> Self {
        let sum = |f: fn(&Verdict) -> usize| files.iter().map(f).sum();
        Self {
            dumps: sum(|v| v.dumps),
            dumps_equal: sum(|v| v.dumps_equal),
            calls: sum(|v| v.calls),
            calls_equal: sum(|v| v.calls_equal),
            files,
        }
    }
}

impl std::fmt::Display for Tally {
    /// `N of M dumps equal, R of S calls equal`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { dumps, dumps_equal, calls, calls_equal, .. } = self;
        write!(f, "{dumps_equal} of {dumps} dumps equal, {calls_equal} of {calls} calls equal")
    }
}
