//! What may help a program, where a rule is known that does: each with the calls that it is concluded from.

use crate::replay::Played;
use crate::show::{counted, size_text};
use crate::tally::Tally;
use ptelab_machine::{Advice, Counter, Counters, Prot};
use ptelab_scenario::strace::Syscall;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// `vm.max_map_count`, where nobody sets it, and from how many mappings on that is worth a word.
const MAX_MAP_COUNT: u64 = 65_530;
const MANY: u64 = MAX_MAP_COUNT * 3 / 4;
/// What makes memory accessible.
const ACCESS: Prot = Prot::READ.union(Prot::WRITE).union(Prot::EXEC);

/// What cut memory that hung together: a call of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Cutter {
    /// `mprotect` to `PROT_NONE`, or `MADV_GUARD_INSTALL`.
    Guard,
    /// `MADV_DONTNEED` and `MADV_FREE`.
    Dontneed,
    /// Any other `mprotect`.
    Mprotect,
    /// `munmap`, or a mapping over something.
    Munmap,
    /// Anything else.
    Other,
}

impl Cutter {
    /// What a call is.
    pub(crate) const fn of(call: &Syscall) -> Self {
        match *call {
            Syscall::Mprotect { prot, .. } if !prot.intersects(ACCESS) => Self::Guard,
            Syscall::Madvise { advice: Advice::GUARD_INSTALL, .. } => Self::Guard,
            Syscall::Madvise { advice: Advice::DONTNEED | Advice::FREE, .. } => Self::Dontneed,
            Syscall::Mprotect { .. } => Self::Mprotect,
            Syscall::Munmap { .. } | Syscall::Mmap { .. } => Self::Munmap,
            _ => Self::Other,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Guard => "guard page",
            Self::Dontneed => "MADV_DONTNEED",
            Self::Mprotect => "mprotect",
            Self::Munmap => "munmap",
            Self::Other => "other call",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Guard => "guards in blocks of their own leave the others whole",
            Self::Dontneed => "giving back whole blocks leaves the others whole",
            Self::Mprotect => "changing whole blocks, or memory apart from the rest, leaves the others whole",
            Self::Munmap => "mappings that begin and end at blocks leave the others whole",
            Self::Other => "ranges that begin and end at blocks leave the others whole",
        }
    }
}

/// How often, how much, and the first line and call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cuts {
    /// Calls.
    pub calls: u64,
    /// Huge pages that they took apart.
    pub huge_pages: u64,
    /// Contiguous blocks that they took apart.
    pub blocks: u64,
    /// The line of the first.
    pub line: u64,
    /// The first, as the log has it.
    pub call: String,
}

/// What calls cut, by their kind.
pub type CutsByKind = BTreeMap<Cutter, Cuts>;

/// Takes in what a call took.
pub(crate) fn note(cuts: &mut CutsByKind, (line, text): (u64, &str), call: &Syscall, counters: &Counters) {
    let (huge_pages, blocks) = (counters.get(Counter::HugeSplits), counters.get(Counter::Unfolds));
    if huge_pages + blocks == 0 {
        return;
    }
    let first = || Cuts { line, call: text.to_owned(), ..Cuts::default() };
    let cuts = cuts.entry(Cutter::of(call)).or_insert_with(first);
    cuts.calls += 1;
    cuts.huge_pages += huge_pages;
    cuts.blocks += blocks;
}

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
            counted(*calls, cutter.what()),
            parts.join(" and "),
            cutter.remedy()
        ));
    }
    let largest = tally.processes.iter().map(|process| process.resident).max().unwrap_or(0);
    let folded: u64 = tally.processes.iter().map(|process| process.folded + process.huge).sum();
    if folded > 0 && !lines.is_empty() {
        lines.push(format!(
            "{} of at most {} are left in huge pages and blocks",
            size_text(folded),
            size_text(largest)
        ));
    }
    lines
}
