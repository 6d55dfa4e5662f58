//! Traces of scenarios and of logs.

use crate::trace::{Trace, Tracer};
use ptelab::exec::Watch;
use ptelab::observe;
#[cfg(feature = "logs")]
use ptelab::replay::{self, Options, Replay, ReplayError};
#[cfg(feature = "logs")]
use ptelab::scenario::strace::Reader;
use ptelab::scenario::{Line, Scenario};
use ptelab::uapi::{Call, Class};
use ptelab::{BuildError, CpuSwitch, HwKind, Matrix};
#[cfg(feature = "logs")]
use std::io::BufRead;

/// Bytes that the calls of a scenario name together, up to which every step of them is recorded.
const MAX_RECORDED: u128 = 4 << 30;

/// Runs a scenario on every machine of a matrix and traces it.
///
/// # Errors
/// Where a machine cannot be built.
pub fn trace_scenario(
    source: &str,
    scenario: &Scenario,
    matrix: Matrix,
    watch: Watch<'_>,
) -> Result<Trace, BuildError> {
    let recorded = can_be_recorded(scenario);
    let matrix = matrix.hw(if recorded { HwKind::Recording } else { HwKind::Counting });
    let switches = matrix.switches().to_vec();
    let (tracers, finished) = observe::scenario(&matrix, scenario, watch, Tracer::new)?;
    Ok(trace(source, &switches, tracers, (recorded, finished)))
}

/// Replays a log on every machine of a matrix and traces it.
///
/// # Errors
/// Where a machine cannot be built, or the input is not a log.
#[cfg(feature = "logs")]
pub fn trace_log<R: BufRead>(
    source: &str,
    reader: Reader<R>,
    matrix: Matrix,
    options: &Options,
    watch: Watch<'_>,
) -> Result<(Trace, Replay), ReplayError> {
    let matrix = matrix.hw(HwKind::Recording);
    let switches = matrix.switches().to_vec();
    let (tracers, replay) = replay::replay_observed(reader, &matrix, options, watch, Tracer::new)?;
    let judged = replay.machines.first().map(|played| played.tally.calls);
    let notes = replay.provisos();
    Ok((Trace { judged, notes, ..trace(source, &switches, tracers, (true, replay.finished)) }, replay))
}

/// Whether the steps of a scenario are few enough to record them all.
pub fn can_be_recorded(scenario: &Scenario) -> bool {
    scenario.step_sum(recorded_bytes) <= MAX_RECORDED
}

/// The same of its first calls.
pub fn can_be_recorded_up_to(scenario: &Scenario, calls: u64) -> bool {
    let mut bytes = 0_u128;
    scenario.steps().take_while(|step| step.index < calls).all(|step| {
        bytes += recorded_bytes(step.line);
        bytes <= MAX_RECORDED
    })
}

/// Bytes of entries that a call may go through.
fn recorded_bytes(line: &Line) -> u128 {
    match (line.call.form().class, &line.call) {
        // These take as long as what is there, however far they reach.
        (Class::Look | Class::Given, _)
        | (_, Call::Mmap { .. } | Call::Munmap { .. } | Call::Mremap { .. }) => 0,
        (_, call) => call.range().map_or(0, |(_, len)| len.into()),
    }
}

fn trace(
    source: &str,
    switches: &[CpuSwitch],
    tracers: Vec<Tracer>,
    (recorded, finished): (bool, bool),
) -> Trace {
    let mut lanes: Vec<_> = tracers.into_iter().map(Tracer::into_lane).collect();
    // Machines that were stopped may have come to different points, or not have begun.
    if !finished {
        lanes.retain(|lane| !lane.steps.is_empty());
    }
    let calls = lanes.iter().map(|lane| lane.steps.len()).min().unwrap_or(0);
    for lane in &mut lanes {
        lane.steps.truncate(calls);
        lane.calls.truncate(calls);
    }
    let switches = switches.iter().map(ToString::to_string).collect();
    let (source, rules, notes) = (source.to_owned(), Vec::new(), Vec::new());
    Trace { source, switches, lanes, recorded, finished, judged: None, rules, notes }
}
