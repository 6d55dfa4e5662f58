//! A replay as text, for people, and as JSON.

mod costs;
mod json;
mod sites;

use crate::advice;
use crate::maps::MapsReport;
use crate::options::Used;
use crate::replay::{Played, Replay};
use crate::tally::{ProcessReport, Tally};
use crate::words::{counted, size_text};
use costs::{blocks, by_port, dearest, predicted, sizes};
pub use json::json;
use ptelab_run::show;
use std::cmp::Reverse;
use std::fmt::Write as _;

/// Differences, processes and mistakes that are shown.
const SHOWN: usize = 20;

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
        "\nProcesses (on {}; peak {} resident in total{}):",
        first.machine(),
        size_text(most),
        first.tally.used.proviso()
    );
    let shown = |process: &&ProcessReport| pid.is_none_or(|pid| process.pid == Some(pid));
    let (processes, idle): (Vec<_>, Vec<_>) =
        first.tally.processes.iter().filter(shown).partition(|process| pid.is_some() || process.calls > 0);
    for process in processes.iter().take(SHOWN) {
        process_text(&mut text, process, first.tally.used);
    }
    more(&mut text, processes.len());
    if !idle.is_empty() {
        let (idle, s) = (idle.len(), if idle.len() == 1 { "" } else { "es" });
        let _ = writeln!(text, "  {idle} process{s} without a call about memory");
    }
    sizes(&mut text, first);
    costs::costs(&mut text, &replay.machines);
    predicted(&mut text, &replay.machines);
    for port in by_port(&replay.machines) {
        sites::text(&mut text, port);
        dearest(&mut text, port);
        for played in port {
            blocks(&mut text, played);
        }
        if let Some(last) = port.last() {
            advice::text(&mut text, last);
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

/// `288 lines: 12 not judged; 240 calls, 240 with the log's result; 3 address ranges used but never mapped in the log`
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
    let refused: u64 = tally.refused.values().sum();
    if refused > 0 {
        let _ = write!(line, ", {refused} refused by the log's system");
    }
    if tally.differences_count > 0 {
        let _ = write!(line, ", {} with another", tally.differences_count);
    }
    if tally.adopted > 0 {
        let _ =
            write!(line, "; {} used but never mapped in the log", counted(tally.adopted, "address range"));
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
            "  no lines of {} that it shows being made ({}{more}): strace -f logs all of them; files of -ff are replayed together, \
             by the name that -o was given",
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
    let other: u64 = stats.skipped.values().sum::<u64>() + stats.skipped_other;
    if other > 0 {
        let mut names: Vec<(&String, &u64)> = stats.skipped.iter().collect();
        names.sort_by_key(|(_, count)| Reverse(**count));
        let names: Vec<String> =
            names.iter().take(5).map(|(name, count)| format!("{name} {count}")).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        let _ = writeln!(text, "  not about memory: {}{names}", counted(other, "call"));
    }
    for (why, count) in &first.tally.skipped {
        let _ = writeln!(text, "  {} not judged: {why}", counted(*count, "call"));
    }
    for (by, count) in &first.tally.refused {
        let _ = writeln!(text, "  {} refused by what a log does not show: {by}", counted(*count, "call"));
    }
    silent(text, &first.tally);
    let (unseen, bytes) = first.tally.unseen;
    if unseen > 0 {
        let _ = writeln!(
            text,
            "  {} of {} went without a look that saw a page of theirs: unused, or used between two looks (`watch --every 1` looks more often)",
            counted(unseen, "writable mapping"),
            size_text(bytes)
        );
    }
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
    let MapsReport { line, equal, missing, extra, divided, left_out } = maps;
    let divided = match divided {
        0 => String::new(),
        n => format!("{n} in more or fewer mappings, by which of their pages were used; "),
    };
    let _ = writeln!(
        text,
        "maps at line {line}: {} equal, {} missing, {} extra ({divided}{left_out} left out: from \
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
        let _ = writeln!(text, "  extra    {line}");
    }
    more(text, extra.len());
}

fn process_text(text: &mut String, process: &ProcessReport, used: Used) {
    let proviso = used.proviso();
    let pid = process.pid.map_or_else(|| "(no number)".to_owned(), |pid| pid.to_string());
    let program = process.program.as_deref().unwrap_or("(a program that the log does not name)");
    let threads = if process.threads > 1 { format!(", {} threads", process.threads) } else { String::new() };
    let made_by = process.made_by.map(|pid| format!(" of {pid}")).unwrap_or_default();
    let born = process.born.map(|born| format!(" ({born}{made_by})")).unwrap_or_default();
    let end = process.end.as_deref().map(|end| format!("; {end}")).unwrap_or_default();
    let (calls, mapped) = (counted(process.calls, "call"), size_text(process.peak_mapped));
    let most = process.most_resident.map(|most| format!(" and {} resident", size_text(most)));
    let at_end = match (process.resident, &most) {
        (Some(resident), _) => {
            let (resident, huge) = (size_text(resident), size_text(process.huge));
            format!("at its end {resident} resident, {huge} in huge leaves{proviso}")
        }
        (None, Some(_)) => "its pages at its end were not seen".to_owned(),
        (None, None) => "its pages were not seen".to_owned(),
    };
    let most = most.unwrap_or_default();
    let _ = writeln!(
        text,
        "  {pid} {program}{born}: {calls}{threads}; at most {mapped} mapped{most}; {at_end}{end}"
    );
    if let (Used::Seen, Some(unseen)) = (used, process.unseen()) {
        let _ = writeln!(
            text,
            "    {} of what it had resident came and went between two looks, and is not counted below: `watch --every 1` looks more often",
            size_text(unseen)
        );
    }
}
