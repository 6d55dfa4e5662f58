//! `ptelab compare`

use crate::args;
use crate::output::{Failed, Out};
use crate::{DIFFERS, FINE, input, run};
use ptelab::compare::{self, Differing};
use ptelab::{RunReport, json, show, table};

pub(crate) fn compare(args: &args::Scenario, out: &mut Out) -> Result<u8, Failed> {
    let matrix = args.matrix("all", "all")?;
    let scenario = input::scenario(&args.file)?;
    let reports = run::reports(&matrix, &scenario)?;
    let (ports, kernels) = compare::compare(&scenario, &reports);
    if args.json {
        out.json(&json::compare(&reports, &ports, &kernels))?;
    } else {
        print(&reports, &ports, &kernels, out)?;
    }
    let status = run::status(&reports);
    let differs = !ports.is_empty() || !kernels.is_empty();
    Ok(if status == FINE && differs { DIFFERS } else { status })
}

fn print(
    reports: &[RunReport],
    ports: &[Differing],
    kernels: &[Differing],
    out: &mut Out,
) -> Result<(), Failed> {
    for report in reports {
        out.text(show::summary(report))?;
    }
    out.line("")?;
    out.heading("Between ports, in what every architecture has:")?;
    differing(ports, out)?;
    out.heading("Between kernels of one port, word for word:")?;
    differing(kernels, out)?;
    let mut seen: Vec<&str> = Vec::new();
    for report in reports {
        if !seen.contains(&report.arch) {
            seen.push(report.arch);
            tables(reports, report.arch, out)?;
        }
    }
    Ok(())
}

fn differing(all: &[Differing], out: &mut Out) -> Result<(), Failed> {
    if all.is_empty() {
        out.line("  no difference")?;
    }
    for pair in all {
        let plural = if pair.count == 1 { "" } else { "s" };
        out.differing(format!("  {} and {}: {} difference{plural}", pair.left, pair.right, pair.count))?;
        for text in &pair.differences {
            out.line(format!("    {text}"))?;
        }
        let more = pair.count - pair.differences.len();
        if more > 0 {
            out.line(format!("    and {more} more"))?;
        }
    }
    Ok(out.line("")?)
}

/// What mprotect takes on each kernel of a port; where the scenario has none, all its calls.
fn tables(reports: &[RunReport], arch: &str, out: &mut Out) -> Result<(), Failed> {
    let of_port: Vec<&RunReport> = reports.iter().filter(|report| report.arch == arch).collect();
    let all: Vec<&str> = of_port.iter().flat_map(|report| report.costs.keys().copied()).collect();
    let names = if all.contains(&"mprotect") { vec!["mprotect"] } else { all };
    let mut shown: Vec<&str> = Vec::new();
    for name in names {
        if shown.contains(&name) {
            continue;
        }
        shown.push(name);
        if let Some(table) = table::cost_table(&of_port, name) {
            out.line(table.trim_fmt())?;
            out.line("")?;
        }
    }
    Ok(())
}
