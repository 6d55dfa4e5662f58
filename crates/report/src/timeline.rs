//! A trace as a timeline for trace viewers (the JSON form that ui.perfetto.dev opens), and counters as a table.

use crate::events::TraceEvent;
use crate::trace::{Lane, Trace};
use ptelab::Counter;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Tracks of a machine.
const CALLS: u32 = 1;
const ENTRIES: u32 = 2;
const BLOCKS: u32 = 3;
const FLUSHES: u32 = 4;

/// Writes the timeline: a process of the viewer for each machine, with tracks for calls, entries, blocks and flushes. A microsecond of the
/// viewer is one tick of the machine's clock.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write_timeline(trace: &Trace, mut out: impl Write) -> std::io::Result<()> {
    let clocks: Map<String, Value> =
        trace.lanes.iter().map(|lane| (lane.machine(), lane.clock.to_string().into())).collect();
    let head = json!({ "source": trace.source, "microseconds": clocks, "recorded": trace.recorded, "finished": trace.finished, "calls_with_steps": trace.detailed() });
    write!(out, "{{\"otherData\":{head},\"traceEvents\":[")?;
    let mut first = true;
    let mut put = |event: &Value| {
        let comma = if std::mem::take(&mut first) { "\n" } else { ",\n" };
        write!(out, "{comma}{event}")
    };
    for (i, lane) in trace.lanes.iter().enumerate() {
        let machine = i as u32 + 1;
        put(&named("process_name", machine, 0, &format!("{}, Linux {}", lane.arch, lane.kernel)))?;
        for (track, name) in
            [(CALLS, "calls"), (ENTRIES, "entries"), (BLOCKS, "blocks"), (FLUSHES, "TLB flushes")]
        {
            put(&named("thread_name", machine, track, name))?;
        }
        write_lane(lane, machine, &mut put)?;
    }
    writeln!(out, "\n]}}")
}

fn named(kind: &str, machine: u32, track: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": kind, "pid": machine, "tid": track, "args": { "name": name } })
}

fn write_lane(
    lane: &Lane,
    machine: u32,
    put: &mut impl FnMut(&Value) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut now = 0;
    for (i, (step, call)) in lane.steps.iter().zip(&lane.calls).enumerate() {
        let ticks = step.ticks.max(1);
        put(&json!({
            "ph": "X", "name": call.name, "pid": machine, "tid": CALLS, "ts": now, "dur": ticks,
            "args": { "call": i + 1, "line": call.line, "process": call.pid, "text": call.text, "result": step.outcome },
        }))?;
        // Where in the call a thing happened is known in primitives.
        let primitives = step.primitives.max(1);
        let scale = |at: u64| now + at * ticks / primitives;
        for (j, &(at, event)) in step.events.iter().enumerate() {
            let next = step.events.get(j + 1).map_or(primitives, |&(next, _)| next);
            let (track, name, args) = drawn(&event);
            let start = scale(at);
            let dur = scale(next.max(at)).saturating_sub(start).max(1);
            put(&json!({
                "ph": "X", "name": name, "pid": machine, "tid": track, "ts": start, "dur": dur, "args": args,
            }))?;
        }
        now += ticks;
    }
    Ok(())
}

fn drawn(event: &TraceEvent) -> (u32, String, Value) {
    match *event {
        TraceEvent::Batch(addr, n) => {
            (ENTRIES, format!("batch of {n}"), json!({ "address": addr.to_string(), "entries": n }))
        }
        TraceEvent::Write(addr, n) => {
            (ENTRIES, format!("{n} written"), json!({ "address": addr.to_string(), "entries": n }))
        }
        TraceEvent::Fold(addr) => (BLOCKS, "fold".to_owned(), json!({ "address": addr.to_string() })),
        TraceEvent::Unfold(addr) => (BLOCKS, "unfold".to_owned(), json!({ "address": addr.to_string() })),
        TraceEvent::Flush(start, end, ops) => {
            let args = json!({ "start": start.to_string(), "end": end.to_string(), "instructions": ops });
            (FLUSHES, "flush".to_owned(), args)
        }
        TraceEvent::FlushAll => (FLUSHES, "flush of everything".to_owned(), json!({})),
    }
}

/// Writes what every call took on every machine, a line each.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write_csv(trace: &Trace, out: impl Write) -> std::io::Result<()> {
    write_rows(trace, csv::Writer::from_writer(out)).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    })
}

fn write_rows(trace: &Trace, mut out: csv::Writer<impl Write>) -> csv::Result<()> {
    let head = ["arch", "kernel", "call", "line", "process", "text", "result", "instructions"];
    out.write_record(head.into_iter().chain(Counter::ALL.iter().map(|counter| counter.name())))?;
    for lane in &trace.lanes {
        for (i, (step, call)) in lane.steps.iter().zip(&lane.calls).enumerate() {
            let sum = |wanted: &Counter| {
                step.counters.iter().find(|(counter, _)| counter == wanted).map_or(0, |(_, n)| *n).to_string()
            };
            let facts = [
                lane.arch.to_owned(),
                lane.kernel.to_owned(),
                (i + 1).to_string(),
                call.line.to_string(),
                call.pid.to_string(),
                call.text.clone(),
                step.outcome.clone(),
                step.instructions.map_or_else(String::new, |n| n.to_string()),
            ];
            out.write_record(facts.into_iter().chain(Counter::ALL.iter().map(sum)))?;
        }
    }
    Ok(out.flush()?)
}
