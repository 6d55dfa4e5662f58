//! `ptelab compare`

use crate::args;
use crate::exit::{DIFFERS, FINE};
use crate::output::{Failed, Out};
use crate::run;
use ptelab::compare::{self, Differing};
use ptelab::{DEFAULT_PORTS, RunReport, cost, show, table};

pub(crate) fn compare(args: &args::Scenario, out: &mut Out) -> Result<u8, Failed> {
    let (scenario, reports) = run::all_reports(args, DEFAULT_PORTS, "all")?;
    let (ports, kernels) = compare::compare(&scenario, &reports);
    if args.json {
        out.json(&cost::comparison_json(&reports, &ports, &kernels))?;
    } else {
        print(&reports, &ports, &kernels, args.per_call, out)?;
    }
    let status = run::status(&reports);
    let differs = !ports.is_empty() || !kernels.is_empty();
    Ok(if status == FINE && differs { DIFFERS } else { status })
}

fn print(
    reports: &[RunReport],
    ports: &[Differing],
    kernels: &[Differing],
    per_call: bool,
    out: &mut Out,
) -> Result<(), Failed> {
    for report in reports {
        out.text(show::summary(report))?;
    }
    out.line("")?;
    out.heading("Between ports, in what every architecture has:")?;
    for line in compare::unlike_pages(reports) {
        out.line(format!("  {line}"))?;
    }
    differing(ports, out)?;
    out.heading("Between kernels of one port, word for word:")?;
    differing(kernels, out)?;
    let (mut seen, mut predicted): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    for report in reports {
        if !seen.contains(&report.arch) {
            seen.push(report.arch);
            let counted = |other: &&RunReport| other.finished && !other.costs.is_empty();
            let of_port = reports.iter().filter(|other| other.arch == report.arch);
            let of_port: Vec<&RunReport> = of_port.filter(counted).collect();
            let mprotects: Vec<_> =
                of_port.iter().filter_map(|report| cost::Mprotects::of_run(report)).collect();
            predicted.extend(cost::before_after(&mprotects));
            if per_call {
                line_tables(&of_port, out)?;
            } else {
                tables(&of_port, out)?;
            }
        }
    }
    if !predicted.is_empty() {
        out.heading("Predicted, from measurements of real kernels:")?;
        for line in predicted {
            out.line(format!("  {line}"))?;
        }
        out.line(format!("  {}", cost::LIMITS))?;
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
fn tables(of_port: &[&RunReport], out: &mut Out) -> Result<(), Failed> {
    let all: Vec<&str> = of_port.iter().flat_map(|report| report.costs.keys().copied()).collect();
    let names = if all.contains(&"mprotect") { vec!["mprotect"] } else { all };
    let mut shown: Vec<&str> = Vec::new();
    for name in names {
        if shown.contains(&name) {
            continue;
        }
        shown.push(name);
        if let Some(table) = table::cost_table(of_port, name) {
            out.line(table.trim_fmt())?;
            out.line("")?;
        }
    }
    Ok(())
}

/// What each line takes on each kernel of a port.
fn line_tables(of_port: &[&RunReport], out: &mut Out) -> Result<(), Failed> {
    let Some(first) = of_port.first() else { return Ok(()) };
    for (&line, known) in &first.line_costs {
        if let Some(table) = table::line_table(of_port, line) {
            out.heading(format!("{}, line {line}: {}", first.arch, known.text))?;
            out.line(table.trim_fmt())?;
            out.line("")?;
        }
    }
    Ok(())
}
