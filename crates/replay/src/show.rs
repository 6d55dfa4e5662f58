//! A replay as text, for people, and as JSON.

use crate::maps::MapsReport;
use crate::replay::{Played, Replay};
use crate::tally::{DearCall, ProcessReport, Tally};
use ptelab_machine::{Counter, HISTOGRAM};
use ptelab_measure::cost::{LIMITS, before_after};
use ptelab_run::show::{self, size};
use ptelab_run::{Cost, json as run_json, table};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Differences, processes and mistakes that are shown.
const SHOWN: usize = 20;
/// Dear calls that are shown.
const DEAREST_SHOWN: usize = 10;

/// The whole report. `pid` leaves out all processes but that one.
pub fn text(replay: &Replay, pid: Option<u32>) -> String {
    let mut text = String::new();
    let Some(first) = replay.machines.first() else { return text };
    let _ = writeln!(text, "{}", headline(replay, first));
    notes(&mut text, replay, first);
    for played in &replay.machines {
        differences(&mut text, played);
    }
    if let Some(maps) = &first.maps {
        maps_text(&mut text, maps);
    }
    let most = first.tally.processes.iter().map(|process| process.peak_resident).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "\nProcesses (on {}; at most {} resident in all of them{}):",
        first.machine(),
        size_text(most),
        first.tally.used.proviso()
    );
    let shown = |process: &&ProcessReport| pid.is_none_or(|pid| process.pid == Some(pid));
    let processes: Vec<_> = first.tally.processes.iter().filter(shown).collect();
    for process in processes.iter().take(SHOWN) {
        process_text(&mut text, process, first.tally.used.proviso());
    }
    more(&mut text, processes.len());
    sizes(&mut text, first);
    costs(&mut text, &replay.machines);
    predicted(&mut text, &replay.machines);
    for port in by_port(&replay.machines) {
        dearest(&mut text, port);
        for played in port {
            blocks(&mut text, played);
        }
    }
    for played in &replay.machines {
        if let Some(dump) = &played.dump {
            let _ = write!(
                text,
                "\n{}, {}..{}\n{}",
                played.machine(),
                dump.start,
                dump.end,
                show::SnapshotText(dump)
            );
        }
    }
    text
}

/// `288 lines: 12 not judged; 240 calls, 240 with the log's result; 3 ranges mapped before the log begins`
fn headline(replay: &Replay, first: &Played) -> String {
    let tally = &first.tally;
    let lines = counted(replay.stats.lines, "line");
    let not_judged = not_judged(replay, first);
    let not_judged = if not_judged > 0 { format!("{not_judged} not judged; ") } else { String::new() };
    let calls = counted(tally.calls, "call");
    let mut line = format!("{lines}: {not_judged}{calls}, {} with the log's result", tally.equal);
    let by_rule: u64 = tally.by_rule.values().sum();
    if by_rule > 0 {
        let _ = write!(line, ", {by_rule} with that of the release");
    }
    if tally.differences_count > 0 {
        let _ = write!(line, ", {} with another", tally.differences_count);
    }
    if tally.adopted > 0 {
        let _ = write!(line, "; {} mapped before the log begins", counted(tally.adopted, "range"));
    }
    if !replay.finished {
        line.push_str(" (stopped)");
    }
    line
}

/// Lines of calls about memory that nothing can be said of.
fn not_judged(replay: &Replay, first: &Played) -> u64 {
    let stats = &replay.stats;
    first.tally.skipped.values().sum::<u64>() + stats.orphans + stats.mistakes + stats.unfinished_count
}

/// Processes and threads that the log has no lines of.
fn silent(text: &mut String, tally: &Tally) {
    if !tally.silent.is_empty() {
        let pids: Vec<String> = tally.silent.iter().take(5).map(u32::to_string).collect();
        let more = if tally.silent.len() > 5 { ", ..." } else { "" };
        let _ = writeln!(
            text,
            "  no lines of {} that it shows being made ({}{more}): strace -f logs all of them; files of -ff are to be put \
             together by strace-log-merge",
            counted(tally.silent.len() as u64, "task"),
            pids.join(", ")
        );
    }
    if tally.freed_unseen > 0 {
        let ranges = counted(tally.freed_unseen, "range");
        let _ = writeln!(text, "  taken as unmapped by tasks that the log has no lines of: {ranges}");
    }
}

/// What was not replayed, and why.
fn notes(text: &mut String, replay: &Replay, first: &Played) {
    let stats = &replay.stats;
    let other: u64 = stats.skipped.values().sum::<u64>() + stats.skipped_other + stats.passed;
    if other > 0 {
        let mut names: Vec<(&String, &u64)> = stats.skipped.iter().collect();
        names.sort_by_key(|(_, count)| Reverse(**count));
        let names: Vec<String> =
            names.iter().take(5).map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(text, "  not about memory: {} ({})", counted(other, "call"), names.join(", "));
    }
    for (why, count) in &first.tally.skipped {
        let _ = writeln!(text, "  {} not judged: {why}", counted(*count, "call"));
    }
    silent(text, &first.tally);
    if stats.orphans > 0 {
        let _ = writeln!(
            text,
            "  {} not judged: of which the log has only the end",
            counted(stats.orphans, "call")
        );
    }
    if let Some(line) = stats.first_unrecognised {
        let _ = writeln!(
            text,
            "  not strace's: {}, the first of them line {line}",
            counted(stats.unrecognised, "line")
        );
    }
    if let Some(line) = stats.first_too_long {
        let _ =
            writeln!(text, "  too long: {}, the first of them line {line}", counted(stats.too_long, "line"));
    }
    if stats.unfinished_count > 0 {
        let _ = writeln!(text, "  never returned: {}", counted(stats.unfinished_count, "call"));
    }
    if let Some(cut) = stats.cut {
        let _ = writeln!(text, "  the log ends in the middle of line {}", cut.line);
    }
    for mistake in replay.mistakes.iter().take(SHOWN) {
        let _ = writeln!(text, "  {mistake}");
    }
    if stats.mistakes > SHOWN as u64 {
        let _ = writeln!(text, "  and {} more that cannot be read", stats.mistakes - SHOWN as u64);
    }
}

fn differences(text: &mut String, played: &Played) {
    let tally = &played.tally;
    for (rule, count) in &tally.by_rule {
        let calls = counted(*count, "call");
        let _ = writeln!(
            text,
            "  {}: {calls} with another result by a rule of that release: {rule}",
            played.machine()
        );
    }
    for difference in tally.differences.iter().take(SHOWN) {
        let (line, call) = (difference.line, &difference.call);
        let _ = writeln!(text, "  {}: line {line}: {call}: got {}", played.machine(), difference.got);
    }
    more(text, tally.differences_count as usize);
}

fn more(text: &mut String, count: usize) {
    if count > SHOWN {
        let _ = writeln!(text, "  and {} more", count - SHOWN);
    }
}

fn maps_text(text: &mut String, maps: &MapsReport) {
    let MapsReport { line, equal, missing, extra, left_out } = maps;
    let _ = writeln!(
        text,
        "maps at line {line}: {} equal, {} missing, {} that it does not have ({left_out} left out: from \
         before the log, or the kernel's own)",
        counted(*equal as u64, "mapping"),
        missing.len(),
        extra.len()
    );
    for line in missing.iter().take(SHOWN) {
        let _ = writeln!(text, "  missing  {line}");
    }
    more(text, missing.len());
    for line in extra.iter().take(SHOWN) {
        let _ = writeln!(text, "  too much {line}");
    }
    more(text, extra.len());
}

fn process_text(text: &mut String, process: &ProcessReport, proviso: &str) {
    let pid = process.pid.map_or_else(|| "(no number)".to_owned(), |pid| pid.to_string());
    let program = process.program.as_deref().unwrap_or("(a program that the log does not name)");
    let threads = if process.threads > 1 { format!(", {} threads", process.threads) } else { String::new() };
    let made_by = process.made_by.map(|pid| format!(" of {pid}")).unwrap_or_default();
    let born = process.born.map(|born| format!(" ({born}{made_by})")).unwrap_or_default();
    let end = process.end.as_deref().map(|end| format!("; {end}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "  {pid} {program}{born}: {}{threads}; at most {} mapped; at its end {} resident, {} in huge leaves{proviso}{end}",
        counted(process.calls, "call"),
        size_text(process.peak_mapped),
        size_text(process.resident),
        size_text(process.huge),
    );
}

/// `1 call`, `2 calls`
fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A size with one place: `64.0M`.
fn size_text(bytes: u64) -> String {
    let units = [(30, 'G'), (20, 'M'), (10, 'K')];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes}");
    };
    let tenths = (bytes * 10) >> shift;
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

fn sizes(text: &mut String, first: &Played) {
    if first.tally.mprotect_sizes.is_empty() {
        return;
    }
    let sizes: Vec<String> = first
        .tally
        .mprotect_sizes
        .iter()
        .map(|(order, count)| format!("{} {count}", size(4096 << order)))
        .collect();
    let _ = writeln!(text, "\nmprotect by size, each from this up to twice it: {}", sizes.join(", "));
}

/// The machines of each port.
fn by_port(machines: &[Played]) -> impl Iterator<Item = &[Played]> {
    machines.chunk_by(|one, next| one.arch == next.arch)
}

/// What mprotect takes, then what everything takes: a table a port, its kernels side by side.
fn costs(text: &mut String, machines: &[Played]) {
    let mprotect = |played: &Played| played.tally.costs.get("mprotect").copied().unwrap_or_default();
    let all = |played: &Played| played.tally.total();
    for (what, cost) in [("mprotect", &mprotect as &dyn Fn(&Played) -> Cost), ("all calls", &all)] {
        for port in by_port(machines) {
            let names: Vec<String> = port.iter().map(Played::machine).collect();
            let costs: Vec<Cost> = port.iter().map(cost).collect();
            if let Some(table) = table::costs_table(&names, what, &costs) {
                let proviso = port.first().map_or("", |played| played.tally.used.proviso());
                if let Some(proviso) = proviso.strip_prefix(", ") {
                    let _ = writeln!(text, "\nCounts, {proviso}:");
                }
                let _ = writeln!(text, "\n{}", table.trim_fmt());
            }
        }
    }
}

/// What all mprotects take on real kernels, as predicted.
fn predicted(text: &mut String, machines: &[Played]) {
    let mprotects =
        |port: &[Played]| before_after(&port.iter().filter_map(Played::mprotects).collect::<Vec<_>>());
    let lines: Vec<String> = by_port(machines).filter_map(mprotects).collect();
    if !lines.is_empty() {
        let proviso = machines.first().map_or("", |first| first.tally.used.proviso());
        let _ = writeln!(text, "\nPredicted, from measurements of real kernels{proviso}:");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "  {LIMITS}");
    }
}

/// The calls that took most on any kernel of a port, side by side.
fn dearest(text: &mut String, port: &[Played]) {
    let mut all: BTreeMap<(u64, &str), Vec<Option<&DearCall>>> = BTreeMap::new();
    for (i, played) in port.iter().enumerate() {
        for dear in &played.tally.dearest {
            let row = all.entry((dear.line, &dear.call)).or_insert_with(|| vec![None; port.len()]);
            row[i] = Some(dear);
        }
    }
    let mut rows: Vec<_> = all.into_iter().collect();
    rows.sort_by_key(|(_, dear)| Reverse(dear.iter().flatten().map(|dear| dear.steps).max()));
    rows.truncate(DEAREST_SHOWN);
    let names: Vec<String> = port.iter().map(|played| format!("{:>16}", played.machine())).collect();
    if let (Some(played), false) = (port.first(), rows.is_empty()) {
        let arch = played.arch;
        let _ = writeln!(
            text,
            "\nThe dearest calls on {arch}, in steps: reads and writes of entries, looks at page structs, barriers, TLB \
             instructions{}\n    line{}  call",
            played.tally.used.proviso(),
            names.concat()
        );
    }
    for ((line, call), dear) in rows {
        let numbers = |of: fn(&DearCall) -> Option<u64>| {
            let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
            let of = |dear: &Option<_>| format!("{:>16}", number(dear.and_then(of)));
            dear.iter().map(of).collect::<Vec<_>>().concat()
        };
        let _ = writeln!(text, "{line:>8}{}  {call}", numbers(|dear| Some(dear.steps)));
        if dear.iter().flatten().any(|dear| dear.instructions.is_some()) {
            let _ =
                writeln!(text, "{:8}{}  instructions, as predicted", "", numbers(|dear| dear.instructions));
        }
    }
}

/// What is in contiguous blocks at the end, and what took blocks apart.
fn blocks(text: &mut String, played: &Played) {
    let sum = |f: fn(&ProcessReport) -> u64| played.tally.processes.iter().map(f).sum::<u64>();
    let (folded, resident) = (sum(|p| p.folded), sum(|p| p.resident));
    let total = played.tally.total().counters;
    if folded == 0 && total.get(Counter::Unfolds) == 0 {
        return;
    }
    let (folded, resident) = (size_text(folded), size_text(resident));
    let _ = writeln!(
        text,
        "\n{}: {folded} of {resident} are in folded contiguous blocks at the ends of their processes{}",
        played.machine(),
        played.tally.used.proviso()
    );
    if played.tally.broke_count > 0 {
        let _ = writeln!(
            text,
            "  {} took blocks apart:\n    line  blocks  call",
            counted(played.tally.broke_count, "call")
        );
    }
    for DearCall { line, call, unfolds, .. } in &played.tally.broke {
        let _ = writeln!(text, "{line:>8}{unfolds:>8}  {call}");
    }
}

/// The report as JSON: the first machine's results, then what every machine's calls took.
pub fn json(replay: &Replay, pid: Option<u32>) -> Value {
    let Some(first) = replay.machines.first() else { return Value::Null };
    let tally = &first.tally;
    let stats = &replay.stats;
    let skipped = tally.skipped.values().sum::<u64>()
        + stats.skipped.values().sum::<u64>()
        + stats.skipped_other
        + stats.passed;
    let shown = |process: &&ProcessReport| pid.is_none_or(|pid| process.pid == Some(pid));
    json!({
        "calls": tally.calls,
        "equal": tally.equal,
        "adopted": tally.adopted,
        "adopted_ranges": tally.adopted_ranges,
        "skipped": skipped,
        "skipped_calls": stats.skipped,
        "not_judged": tally.skipped,
        "not_judged_count": not_judged(replay, first),
        "silent": tally.silent,
        "freed_unseen": tally.freed_unseen,
        "by_rule": tally.by_rule,
        "differences": tally.differences,
        "differences_count": tally.differences_count,
        "maps": first.maps,
        "used": tally.used.word(),
        "processes": tally.processes.iter().filter(shown).collect::<Vec<_>>(),
        "mprotect_sizes": mprotect_sizes(first),
        "machines": replay.machines.iter().map(machine).collect::<Vec<_>>(),
        "lines": stats.lines,
        "mistakes": replay.mistakes,
        "unfinished": stats.unfinished_count,
        "cut": stats.cut.map(|cut| cut.line),
        "finished": replay.finished,
    })
}

fn mprotect_sizes(played: &Played) -> Vec<Value> {
    let sizes = played.tally.mprotect_sizes.iter();
    sizes.map(|(order, count)| json!({"from": 4096_u64 << order, "calls": count})).collect()
}

fn machine(played: &Played) -> Value {
    let tally = &played.tally;
    let costs: Map<String, Value> =
        tally.costs.iter().map(|(name, cost)| ((*name).to_owned(), run_json::one(cost))).collect();
    let lengths = tally.total().counters.batch_lengths;
    debug_assert_eq!(lengths.len(), HISTOGRAM);
    json!({
        "arch": played.arch,
        "kernel": played.kernel,
        "calls": tally.calls,
        "equal": tally.equal,
        "differences": tally.differences,
        "maps": played.maps,
        "counters": costs,
        "mprotect_instructions": played.mprotects().and_then(|all| all.instructions()).map(f64::round),
        "first_uses": run_json::one(&tally.faults),
        "batch_lengths": lengths,
        "dearest": &tally.dearest[..tally.dearest.len().min(DEAREST_SHOWN)],
        "took_blocks_apart": {"calls": tally.broke_count, "first": tally.broke},
        "folded": tally.processes.iter().map(|p| p.folded).sum::<u64>(),
        "resident": tally.processes.iter().map(|p| p.resident).sum::<u64>(),
    })
}
