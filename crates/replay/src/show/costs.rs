//! What calls took, for people.

use crate::replay::Played;
use crate::tally::{DearCall, ProcessReport};
use crate::words::{counted, size_text};
use ptelab_machine::Counter;
use ptelab_measure::cost::{LIMITS, before_after};
use ptelab_run::show::size;
use ptelab_run::{Cost, table};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Dear calls that are shown.
pub(super) const DEAREST_SHOWN: usize = 10;

pub(super) fn sizes(text: &mut String, first: &Played) {
    if first.tally.mprotect_sizes.is_empty() {
        return;
    }
    let sizes: Vec<String> = first
        .tally
        .mprotect_sizes
        .iter()
        .map(|(order, count)| format!("{} {count}", size(4096 << order)))
        .collect();
    let _ = writeln!(
        text,
        "\nmprotect calls by size (by powers of two: 4K is 4K up to 8K): {}",
        sizes.join(", ")
    );
}

/// The machines of each port.
pub(super) fn by_port(machines: &[Played]) -> impl Iterator<Item = &[Played]> {
    machines.chunk_by(|one, next| one.arch == next.arch)
}

/// What mprotect takes, then what everything takes: a table a port, its kernels side by side.
pub(super) fn costs(text: &mut String, machines: &[Played]) {
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
pub(super) fn predicted(text: &mut String, machines: &[Played]) {
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
pub(super) fn dearest(text: &mut String, port: &[Played]) {
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
            "\nThe most expensive calls on {arch}, in steps: reads and writes of entries, struct page look-ups, barriers, TLB \
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
pub(super) fn blocks(text: &mut String, played: &Played) {
    let sum = |f: fn(&ProcessReport) -> u64| played.tally.processes.iter().map(f).sum::<u64>();
    let (folded, resident) = (sum(|p| p.folded), sum(|p| p.resident.unwrap_or(0)));
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
