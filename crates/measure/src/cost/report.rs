//! Predictions of a scenario's calls, and predictions held against measurements, for people and as JSON.

use super::LIMITS;
use super::calls::{Alike, Calls};
use super::model::{Chosen, Model, Models};
use ptelab_machine::{Backend, KernelRules, Outcome};
use ptelab_run::agree::Agreeing;
use ptelab_run::compare::Differing;
use ptelab_run::exec::Watch;
use ptelab_run::{Cost, RunReport, json};
use ptelab_scenario::Scenario;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Shares of a call that are shown.
const MAX_SHARES: usize = 4;

/// No prediction is possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was measured on {0}, so its costs cannot be predicted: choose from arm64, x86_64")]
pub struct NoModel(pub String);

/// What every mprotect of a scenario takes on one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Port.
    pub arch: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// The model, which is that of another kernel where none of this one was measured.
    pub model: &'static Model,
    /// The calls.
    pub calls: Calls,
}

impl Prediction {
    /// Runs a scenario on a counting machine and predicts.
    ///
    /// # Errors
    /// Where there is no model of the port; then nothing has run.
    pub fn of(vm: &mut dyn Backend, scenario: &Scenario, watch: Watch<'_>) -> Result<Self, NoModel> {
        let (arch, rules) = (vm.arch(), *vm.rules());
        let chosen = Models::built_in().choose(arch, &rules).ok_or_else(|| NoModel(arch.to_owned()))?;
        Ok(Self { arch, kernel: rules.name, model: chosen.model, calls: Calls::of(vm, scenario, watch) })
    }

    /// Instructions of one call.
    pub fn instructions(&self, call: &Alike) -> u64 {
        self.model.predict(1, &call.counters).round() as u64
    }

    /// As JSON: the calls in the order they ran, loops unrolled.
    pub fn to_json(&self) -> Value {
        let alike: Vec<Value> = self.calls.alike.iter().map(|call| self.call_json(call)).collect();
        let calls: Vec<&Value> = self.calls.order.iter().map(|&i| &alike[i]).collect();
        json!({
            "arch": self.arch,
            "kernel": self.kernel,
            "model": self.model.kernel,
            "finished": self.calls.finished,
            "calls": calls,
            "calls_left_out": self.calls.len() - self.calls.order.len() as u64,
            "limits": LIMITS,
        })
    }

    fn call_json(&self, call: &Alike) -> Value {
        let tenth = |taken: f64| (taken * 10.0).round() / 10.0;
        let parts = self.model.parts(1, &call.counters);
        let by: Map<String, Value> =
            parts.iter().map(|(term, taken)| (term.name().to_owned(), tenth(*taken).into())).collect();
        let counts: Map<String, Value> = parts
            .iter()
            .map(|(term, _)| (term.name().to_owned(), term.count(&call.counters).into()))
            .collect();
        json!({
            "call": call.text,
            "line": call.line,
            "result": call.outcome.to_string(),
            "instructions": self.instructions(call),
            "by": by,
            "counts": counts,
        })
    }

    /// As text: a line for calls of one line that cost the same.
    pub fn to_text(&self) -> String {
        let total: u64 = self.calls.alike.iter().map(|call| call.times * self.instructions(call)).sum();
        let of = if self.model.kernel == self.kernel {
            String::new()
        } else {
            format!(" (none of {} was measured: by the costs of {})", self.kernel, self.model.kernel)
        };
        let (arch, kernel, n) = (self.arch, self.kernel, self.calls.len());
        let mut text = format!("{arch}, Linux {kernel}: mprotect x {n}, {total} instructions{of}\n");
        for call in &self.calls.alike {
            let failed = match call.outcome {
                Outcome::Value(_) => String::new(),
                other => format!(" = {other}"),
            };
            let (each, times, line) = (self.instructions(call), call.times, call.line);
            let _ = writeln!(text, "  {each:>10} x {times:<6} line {line}: {}{failed}", call.text);
            let _ = writeln!(text, "{:23}{}", "", self.shares(call));
        }
        text
    }

    /// What takes most of a call.
    fn shares(&self, call: &Alike) -> String {
        let mut parts = self.model.parts(1, &call.counters);
        let total: f64 = parts.iter().map(|(_, taken)| taken).sum();
        parts.sort_by(|x, y| y.1.total_cmp(&x.1));
        let shares: Vec<String> = parts
            .iter()
            .take(MAX_SHARES)
            .map(|(term, taken)| format!("{} {:.0}%", term.name(), 100.0 * taken / total))
            .collect();
        shares.join(", ")
    }
}

/// All mprotects of a run on one kernel.
#[derive(Clone, Copy, Debug)]
pub struct Mprotects<'a> {
    arch: &'static str,
    rules: &'static KernelRules,
    cost: &'a Cost,
}

impl<'a> Mprotects<'a> {
    /// Of what the calls of a run took, by name. `None` where there is no mprotect.
    pub fn of(
        arch: &'static str,
        rules: &'static KernelRules,
        costs: &'a BTreeMap<&'static str, Cost>,
    ) -> Option<Self> {
        Some(Self { arch, rules, cost: costs.get("mprotect")? })
    }

    /// Of a run; `None` where there is none, or its machine does not count.
    pub fn of_run(report: &'a RunReport) -> Option<Self> {
        Self::of(report.arch, report.rules, &report.costs)
    }

    /// What they take together. `None` where there is no model of the port.
    pub fn instructions(&self) -> Option<f64> {
        Some(self.chosen()?.model.predict(self.cost.calls, &self.cost.counters))
    }

    fn chosen(&self) -> Option<Chosen<'static>> {
        Models::built_in().choose(self.arch, self.rules)
    }

    /// The kernel, and by the costs of which other it is predicted where none of it was measured.
    fn name_and_model(&self) -> String {
        match self.chosen() {
            Some(Chosen { model, borrowed: true }) => {
                format!("{}, by the costs of {}", self.rules.name, model.kernel)
            }
            _ => self.rules.name.to_owned(),
        }
    }
}

/// What the mprotects of a run take on the kernels of a port, each held against the first, in a line that a cover letter can have.
/// `None` where there are no two kernels, or nothing to predict.
pub fn before_after(of_port: &[Mprotects<'_>]) -> Option<String> {
    let (first, rest) = of_port.split_first()?;
    let last = rest.last()?;
    // Where one was stopped, there is nothing to compare.
    if first.rules == last.rules || rest.iter().any(|one| one.cost.calls != first.cost.calls) {
        return None;
    }
    let before = first.instructions()?;
    let mut text =
        format!("{}, mprotect x {}: {before:.0} ({})", first.arch, first.cost.calls, first.name_and_model());
    for one in rest {
        let after = one.instructions()?;
        let (times, what) =
            if after <= before { (before / after, "fewer") } else { (after / before, "more") };
        let change =
            if times < 1.05 { "about the same".to_owned() } else { format!("{times:.1} times {what}") };
        let unit = if std::ptr::eq(one, last) { " instructions" } else { "" };
        let _ = write!(text, " -> {after:.0}{unit} ({}), {change}", one.name_and_model());
    }
    Some(text)
}

/// A comparison as JSON: what differs between ports and between kernels, and each machine's counters.
pub fn comparison_json(
    reports: &[RunReport],
    ports: &[Differing],
    kernels: &[Differing],
    agree: &[Agreeing],
) -> Value {
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
                "counters": json::counters(report),
                "lines_counters": json::lines(report),
                "mprotect_instructions": Mprotects::of_run(report).and_then(|all| all.instructions()).map(f64::round),
            })
        })
        .collect();
    json!({"machines": machines, "ports_differ": ports, "kernels_differ": kernels, "kernels_agree": agree})
}
