//! Tables of times.

use super::scale::ScaleRow;
use super::targets::Target;
use super::{BenchReport, BenchRow};
use comfy_table::{CellAlignment, Table, presets};
use ptelab_run::show::size;

/// Times by layout, port and machine: a column a kernel, then the running kernel and how often it goes into the last column.
pub fn bench_table(report: &BenchReport) -> Table {
    let mut kernels: Vec<&str> = Vec::new();
    let mut lines: Vec<Vec<&BenchRow>> = Vec::new();
    for row in &report.rows {
        if !kernels.contains(&row.kernel) {
            kernels.push(row.kernel);
        }
        let same = |line: &&mut Vec<&BenchRow>| {
            let first = line[0];
            (first.layout, first.arch, first.machine) == (row.layout, row.arch, row.machine)
        };
        match lines.iter_mut().find(same) {
            Some(line) => line.push(row),
            None => lines.push(vec![row]),
        }
    }
    let has_host = report.rows.iter().any(|row| row.host_ns_per_entry.is_some());
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut head: Vec<String> = ["layout", "port", "machine"].map(str::to_owned).into();
    head.extend(kernels.iter().map(|kernel| (*kernel).to_owned()));
    if has_host {
        head.extend([report.host.kernel.clone(), "host/last".to_owned()]);
    }
    table.set_header(head);
    for line in lines {
        table.add_row(bench_row(&line, &kernels, has_host));
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn bench_row(line: &[&BenchRow], kernels: &[&str], has_host: bool) -> Vec<String> {
    let first = line[0];
    let mut cells = [first.layout, first.arch, first.machine].map(str::to_owned).to_vec();
    for kernel in kernels {
        let row = line.iter().find(|row| row.kernel == *kernel);
        cells.push(row.map_or_else(String::new, |row| {
            format!("{:.2} ({:.2}..{:.2})", row.ns_per_entry, row.ns_min, row.ns_max)
        }));
    }
    if has_host {
        let last = line[line.len() - 1];
        let host = last.host_ns_per_entry;
        cells.push(host.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.2}")));
        cells.push(host.map_or_else(|| "-".to_owned(), |ns| format!("{:.0}", ns / last.ns_per_entry)));
    }
    cells
}

/// Numbers to reach, and what was measured: a row a number.
pub fn targets_table(targets: &[Target]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["what", "to reach", "measured", "reached"]);
    for target in targets {
        let measured = target.measured.map_or_else(|| "-".to_owned(), |n| format!("{n:.2} {}", target.unit));
        let reached = match (target.measured, target.met) {
            (None, _) => "not measured",
            (_, true) => "yes",
            (_, false) => "no",
        };
        let to_reach = format!("{} {}", target.target, target.unit);
        table.add_row([target.what.clone(), to_reach, measured, reached.to_owned()]);
    }
    table
}

/// What grows with size: a row a size.
pub fn scale_table(rows: &[ScaleRow]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["mapped", "page entries", "first write", "mprotect", "dump", "bytes a page"]);
    for row in rows {
        table.add_row([
            size(row.size),
            row.entries.to_string(),
            format!("{:.1}", row.fill_ns_per_entry),
            format!("{:.2}", row.mprotect_ns_per_entry),
            format!("{:.1}", row.dump_ns_per_entry),
            row.bytes_per_page.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1}")),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
