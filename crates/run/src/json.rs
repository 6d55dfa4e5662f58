//! Counters as JSON.

use crate::report::{Cost, LineCost, RunReport};
use serde_json::{Map, Value, json};

/// Counters by line of the source.
pub fn lines(report: &RunReport) -> Vec<Value> {
    let line = |(line, known): (&u32, &LineCost)| json!({"line": line, "call": known.text, "counters": one(&known.cost)});
    report.line_costs.iter().map(line).collect()
}

/// Counters by the name of the call.
pub fn counters(report: &RunReport) -> Value {
    report.costs.iter().map(|(name, cost)| ((*name).to_owned(), one(cost))).collect::<Map<_, _>>().into()
}

/// What some calls took.
pub fn one(cost: &Cost) -> Value {
    let mut sums: Map<String, Value> =
        cost.counters.nonzero().map(|(counter, n)| (counter.name().to_owned(), n.into())).collect();
    sums.insert("calls".to_owned(), cost.calls.into());
    sums.insert("batch lengths".to_owned(), json!(cost.counters.batch_lengths));
    sums.insert("folios by order".to_owned(), json!(cost.counters.allocs_by_order));
    sums.into()
}
