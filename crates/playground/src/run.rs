//! Scenarios on machines.

use crate::machines::{Machines, Refused};
use ptelab::exec::Watch;
use ptelab::scenario::parse;
use ptelab::{Backend, HwKind, VirtAddr, observe};
use ptelab_report::{Explainer, can_be_recorded_up_to, data_json, trace_scenario};
use serde::Serialize;
use serde_json::value::RawValue;

/// What the page is called in the data of its report.
const SOURCE: &str = "playground";

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct Ran {
    /// The data of its report.
    data: Box<RawValue>,
    /// What is to be known of the machines.
    notes: Vec<String>,
}

pub(crate) fn run(scenario: &str, machines: &Machines) -> Result<Ran, Refused> {
    let scenario = parse(scenario)?;
    let matrix = machines.matrix_for(&scenario)?;
    let notes = matrix.notes().to_vec();
    let trace = trace_scenario(SOURCE, &scenario, matrix, Watch::nobody())?;
    let data = data_json(&trace).and_then(RawValue::from_string);
    Ok(Ran { data: data.map_err(|error| Refused::Other(error.to_string()))?, notes })
}

/// What the entry of a process for an address goes through, up to a call.
pub(crate) fn explain(
    scenario: &str,
    machines: &Machines,
    (pid, address): (u32, u64),
    call: u64,
) -> Result<String, Refused> {
    let scenario = parse(scenario)?;
    let matrix = machines.matrix_for(&scenario)?.hw(HwKind::Recording);
    if !can_be_recorded_up_to(&scenario, call) {
        let text =
            "the calls up to this one name more than 4G of memory together, too much to record every step";
        return Err(Refused::Other(text.to_owned()));
    }
    let explainer = |vm: &dyn Backend| Explainer::new(vm, pid, VirtAddr::new(address), call);
    let (told, _) = observe::scenario(&matrix, &scenario, Watch::nobody(), explainer)?;
    let texts: Vec<String> = told.iter().map(Explainer::text).collect();
    Ok(texts.join("\n"))
}
