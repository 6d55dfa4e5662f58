//! Counter tables.

use crate::report::{Cost, RunReport};
use comfy_table::{CellAlignment, Table, presets};
use ptelab_machine::{Counter, Counters, HISTOGRAM};

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
    let calls = costs.iter().map(|cost| cost.calls).max().filter(|&calls| calls > 0)?;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut head = vec![format!("{call} x {calls}")];
    head.extend(reports.iter().map(|report| report.machine()));
    let compares = reports.len() > 1;
    if compares {
        head.push("last/first".to_owned());
    }
    table.set_header(head);
    push_rows(&mut table, &costs.iter().collect::<Vec<_>>(), compares);
    Some(table)
}

/// A row for each counter that is not zero in every column, then the histogram of batch lengths.
fn push_rows(table: &mut Table, costs: &[&Cost], compares: bool) {
    for &counter in Counter::ALL {
        let sums: Vec<u64> = costs.iter().map(|cost| cost.counters.get(counter)).collect();
        push_row(table, counter.name().to_owned(), &sums, compares);
    }
    for bucket in 0..HISTOGRAM {
        let sums: Vec<u64> = costs.iter().map(|cost| cost.counters.batch_lengths[bucket]).collect();
        push_row(table, format!("batches of {}", bucket_name(bucket)), &sums, compares);
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

fn push_row(table: &mut Table, name: String, sums: &[u64], compares: bool) {
    if sums.iter().all(|&n| n == 0) {
        return;
    }
    let mut row = vec![name];
    row.extend(sums.iter().map(u64::to_string));
    if compares {
        row.push(ratio(sums[sums.len() - 1], sums[0]));
    }
    table.add_row(row);
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
