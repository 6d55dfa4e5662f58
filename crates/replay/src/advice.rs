//! What may help a program, where a rule is known that does: each with the calls that it is concluded from.

use crate::cuts::{Cuts, Cutter};
use crate::replay::Played;
use crate::tally::{ProcessReport, Tally};
use crate::words::{counted, size_text};
use std::fmt::Write as _;

/// `vm.max_map_count`, where nobody sets it, and from how many mappings on that is worth a word.
const MAX_MAP_COUNT: u64 = 65_530;
const MANY: u64 = MAX_MAP_COUNT * 3 / 4;
/// All that can be said of a machine.
pub(crate) fn text(text: &mut String, played: &Played) {
    let tally = &played.tally;
    let mut lines = cut(tally);
    for process in tally.processes.iter().filter(|process| process.most_mappings >= MANY) {
        let who = process.pid.map_or_else(|| "the process".to_owned(), |pid| format!("process {pid}"));
        let (most, line) = (process.most_mappings, process.most_mappings_line);
        lines.push(format!(
            "{who} had {most} mappings at line {line}: at {MAX_MAP_COUNT}, unless vm.max_map_count is set, mmap and mprotect fail \
             with ENOMEM; neighbours of one protection are one mapping"
        ));
    }
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nWhat may help on {}{}:", played.machine(), tally.used.proviso());
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn cut(tally: &Tally) -> Vec<String> {
    let mut lines = Vec::new();
    for (cutter, cuts) in &tally.cuts {
        let Cuts { calls, huge_pages, blocks, line, call } = cuts;
        let parts = [(*huge_pages, "huge page"), (*blocks, "contiguous block")];
        let parts: Vec<String> =
            parts.iter().filter(|part| part.0 > 0).map(|part| counted(part.0, part.1)).collect();
        lines.push(format!(
            "{} cut {}, first line {line}: {call}\n    {}",
            counted(*calls, what(*cutter)),
            parts.join(" and "),
            remedy(*cutter)
        ));
    }
    let sum = |of: fn(&ProcessReport) -> u64| tally.processes.iter().map(of).sum::<u64>();
    let (whole, resident) =
        (sum(|process| process.folded + process.huge), sum(|process| process.resident.unwrap_or(0)));
    if whole > 0 && !lines.is_empty() {
        lines.push(format!(
            "{} of {} are in huge pages and blocks at the ends of their processes",
            size_text(whole),
            size_text(resident)
        ));
    }
    lines
}

const fn what(cutter: Cutter) -> &'static str {
    match cutter {
        Cutter::Guard => "guard page",
        Cutter::Dontneed => "MADV_DONTNEED",
        Cutter::Mprotect => "mprotect",
        Cutter::Munmap => "munmap",
        Cutter::Other => "other call",
    }
}

const fn remedy(cutter: Cutter) -> &'static str {
    match cutter {
        Cutter::Guard => "guard pages in blocks of their own leave the neighbours whole",
        Cutter::Dontneed => "giving back whole blocks leaves the others whole",
        Cutter::Mprotect => "change whole, aligned blocks, or keep such pages in a mapping of their own",
        Cutter::Munmap => "mappings that begin and end at blocks leave the others whole",
        Cutter::Other => "ranges that begin and end at blocks leave the others whole",
    }
}
