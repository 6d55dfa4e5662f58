//! Tables of counters.

use crate::agree::ranges;
use crate::report::{Cost, LineCost, RunReport};
use comfy_table::{CellAlignment, Table, presets};
use ptelab_machine::{Counter, Counters, HISTOGRAM};
use std::fmt::Write as _;

/// What the calls of one machine took: a row a counter, a column a kind of call. Calls that took nothing are left out.
pub fn calls_table(report: &RunReport) -> Option<Table> {
    let costs: Vec<(&str, &Cost)> = report
        .costs
        .iter()
        .filter(|(_, cost)| cost.counters != Counters::default())
        .map(|(name, cost)| (*name, cost))
        .collect();
    if costs.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let head = costs.iter().map(|(name, cost)| format!("{name} x {}", cost.calls));
    table.set_header(std::iter::once(report.machine()).chain(head));
    let costs: Vec<&Cost> = costs.iter().map(|(_, cost)| *cost).collect();
    push_rows(&mut table, &costs, false);
    Some(table)
}

/// What the calls of one name took on several machines: a row a counter, a column a machine, and the ratio of the last to
/// the first. `None` where none of them counted such a call.
pub fn cost_table(reports: &[&RunReport], call: &str) -> Option<Table> {
    let costs: Vec<Cost> = reports.iter().map(|r| r.costs.get(call).copied().unwrap_or_default()).collect();
    side_by_side(reports, call, &costs)
}

/// The same for one line of the scenario.
pub fn line_table(reports: &[&RunReport], line: u32) -> Option<Table> {
    let of = |r: &&RunReport| r.line_costs.get(&line).map_or_else(Cost::default, |line| line.cost);
    let costs: Vec<Cost> = reports.iter().map(of).collect();
    if costs.iter().all(|cost| cost.counters == Counters::default()) {
        return None;
    }
    side_by_side(reports, &format!("line {line}"), &costs)
}

/// Columns in which every machine has one of its own; where there are more, neighbours that took the same share one.
const MOST_COLUMNS: usize = 4;

fn side_by_side(reports: &[&RunReport], what: &str, costs: &[Cost]) -> Option<Table> {
    if reports.len() <= MOST_COLUMNS {
        let machines: Vec<String> = reports.iter().map(|report| report.machine()).collect();
        return costs_table(&machines, what, costs);
    }
    let columns: Vec<(&RunReport, Cost)> = reports.iter().copied().zip(costs.iter().copied()).collect();
    let alike = |a: &(&RunReport, Cost), b: &(&RunReport, Cost)| a.0.arch == b.0.arch && a.1 == b.1;
    let kernels: Vec<&str> = reports.iter().map(|report| report.kernel).collect();
    let (machines, costs): (Vec<String>, Vec<Cost>) = columns
        .chunk_by(alike)
        .map(|chunk| {
            let names: Vec<&str> = chunk.iter().map(|(report, _)| report.kernel).collect();
            (format!("{} {}", chunk[0].0.arch, ranges(&names, &kernels)), chunk[0].1)
        })
        .unzip();
    costs_table(&machines, what, &costs)
}

/// What some calls took on several machines: a row a counter, a column a machine, and the ratio of the last to the first.
/// `None` where there were no calls.
pub fn costs_table(machines: &[String], what: &str, costs: &[Cost]) -> Option<Table> {
    let calls = costs.iter().map(|cost| cost.calls).max().filter(|&calls| calls > 0)?;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut head = vec![format!("{what} x {calls}")];
    head.extend(machines.iter().cloned());
    let compares = machines.len() > 1;
    if compares {
        head.push("last/first".to_owned());
    }
    table.set_header(head);
    push_rows(&mut table, &costs.iter().collect::<Vec<_>>(), compares);
    Some(table)
}

/// What each line took, in a few words each: `line 6 x 40  mprotect(...)`, then its counters.
pub fn lines_text(report: &RunReport) -> String {
    let mut text = String::new();
    for (line, LineCost { text: call, cost }) in &report.line_costs {
        if cost.counters == Counters::default() {
            continue;
        }
        let times = if cost.calls == 1 { String::new() } else { format!(" x {}", cost.calls) };
        let counted: Vec<String> = rows(&[cost]).map(|(name, sums)| format!("{} {name}", sums[0])).collect();
        let _ = writeln!(text, "  line {line}{times}: {call}\n      {}", counted.join(", "));
    }
    text
}

/// The counters that are not zero in every column, the lengths of batches and the orders of folios, each with its sums.
fn rows<'a>(costs: &'a [&Cost]) -> impl Iterator<Item = (String, Vec<u64>)> + 'a {
    let sums = move |f: &dyn Fn(&Counters) -> u64| costs.iter().map(|cost| f(&cost.counters)).collect();
    let counters =
        Counter::ALL.iter().map(move |&counter| (counter.name().to_owned(), sums(&|c| c.get(counter))));
    let batches = (0..HISTOGRAM)
        .map(move |i| (format!("batches of {}", bucket_name(i)), sums(&|c| c.batch_lengths[i])));
    let folios =
        (0..HISTOGRAM).map(move |i| (format!("folios of order {i}"), sums(&|c| c.allocs_by_order[i])));
    counters.chain(batches).chain(folios).filter(|(_, sums): &(String, Vec<u64>)| sums.iter().any(|&n| n > 0))
}

/// Rows that are alike on all machines and are shown all the same.
const FEW_ALIKE: usize = 4;

/// A row for each counter that is not zero in every column. Where machines are compared, those that are alike are only counted, if
/// they are many.
fn push_rows(table: &mut Table, costs: &[&Cost], compares: bool) {
    let is_alike = |sums: &[u64]| compares && sums.iter().all(|sum| *sum == sums[0]);
    let alike = rows(costs).filter(|(_, sums)| is_alike(sums)).count();
    let folds = alike > FEW_ALIKE;
    for (name, sums) in rows(costs).filter(|(_, sums)| !(folds && is_alike(sums))) {
        let mut row = vec![name];
        row.extend(sums.iter().map(u64::to_string));
        if compares {
            row.push(ratio(sums[sums.len() - 1], sums[0]));
        }
        table.add_row(row);
    }
    if folds {
        table.add_row([format!("{alike} counters alike")]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn bucket_name(bucket: usize) -> String {
    let from = 1usize << bucket;
    if bucket == 0 {
        "1".to_owned()
    } else if bucket == HISTOGRAM - 1 {
        format!("{from}")
    } else {
        format!("{from} to {}", 2 * from - 1)
    }
}

/// `0.06`, or `-` where there is nothing to compare with.
fn ratio(last: u64, first: u64) -> String {
    if first == 0 {
        return "-".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two places")]
    let ratio = last as f64 / first as f64;
    format!("{ratio:.2}")
}
