//! A scenario and what it comes to, as text that can stand in a mail.

use crate::machines::{Machines, Refused};
use ptelab::compare::{self, Differing};
use ptelab::exec::Watch;
use ptelab::scenario::parse;
use ptelab::{HwKind, RunReport, show, table};
use std::fmt::Write as _;

pub(crate) fn mail(source: &str, machines: &Machines) -> Result<String, Refused> {
    let scenario = parse(source)?;
    let matrix = machines.matrix_for(&scenario)?.hw(HwKind::Counting);
    let notes = matrix.notes().to_vec();
    let reports = matrix.run(&scenario, Watch::nobody())?;
    let (ports, kernels) = compare::compare(&scenario, &reports);
    let mut text = format!("{}\n\n", source.trim_end());
    for note in notes {
        let _ = writeln!(text, "{note}");
    }
    for report in &reports {
        text.push_str(&show::summary(report));
    }
    differing(&mut text, "Between ports, in what every architecture has:", &ports);
    differing(&mut text, "Between kernels of one port, word for word:", &kernels);
    let mut shown: Vec<&str> = Vec::new();
    for report in &reports {
        if shown.contains(&report.arch) {
            continue;
        }
        shown.push(report.arch);
        let of_port: Vec<&RunReport> = reports.iter().filter(|other| other.arch == report.arch).collect();
        for &name in report.costs.keys() {
            if let Some(table) = table::cost_table(&of_port, name).filter(|table| table.row_count() > 0) {
                let _ = writeln!(text, "\n{}", table.trim_fmt());
            }
        }
    }
    let _ = writeln!(
        text,
        "\nptelab {}, arch {}, kernel {}",
        env!("CARGO_PKG_VERSION"),
        machines.ports,
        machines.kernels
    );
    Ok(text)
}

fn differing(text: &mut String, heading: &str, all: &[Differing]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}");
    for pair in all {
        let _ = writeln!(text, "  {} and {}: {}", pair.left, pair.right, pair.count);
        for difference in &pair.differences {
            let _ = writeln!(text, "    {difference}");
        }
        if pair.count > pair.differences.len() {
            let _ = writeln!(text, "    and {} more", pair.count - pair.differences.len());
        }
    }
}
