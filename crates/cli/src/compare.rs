//! `ptelab compare`

use crate::args;
use crate::defaults::COMPARE;
use crate::exit::{DIFFERS, FINE};
use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{machines, run};
use ptelab::agree::{Agreeing, agreeing, ranges};
use ptelab::compare::{self, Differing};
use ptelab::deciding::name_rules;
use ptelab::exec::Watch;
use ptelab::{RunReport, cost, show, table};

pub(crate) fn compare(args: &args::Scenario, out: &mut Out) -> Result<u8, Failed> {
    let (scenario, matrix, reports) = run::all_reports(args, &COMPARE)?;
    let (ports, mut kernels) = compare::compare(&scenario, &reports);
    if args.images().is_empty() && !progress::stopped() {
        let watch = Watch { stop: &STOP, tick: &|_| () };
        name_rules(&mut kernels, (&matrix, &scenario), &reports, watch)?;
    }
    let agree = agreeing(&scenario, &reports);
    if args.json {
        out.json(&cost::comparison_json(&reports, &ports, &kernels, &agree))?;
    } else {
        machines::print_switches(matrix.switches(), out)?;
        print(&reports, (&ports, &kernels, &agree), args.per_call, out)?;
    }
    let status = run::status(&reports);
    let differs = !ports.is_empty() || !kernels.is_empty();
    Ok(if status == FINE && differs { DIFFERS } else { status })
}

fn print(
    reports: &[RunReport],
    (ports, kernels, agree): (&[Differing], &[Differing], &[Agreeing]),
    per_call: bool,
    out: &mut Out,
) -> Result<(), Failed> {
    summaries(reports, out)?;
    out.line("")?;
    out.heading("Between ports, in what every architecture has:")?;
    for line in compare::unlike_pages(reports) {
        out.line(format!("  {line}"))?;
    }
    let looked = reports.iter().any(|report| !report.dumps.is_empty());
    differing(ports, looked, out)?;
    out.heading("Between kernels of one port, word for word:")?;
    groups(reports, agree, out)?;
    differing(kernels, looked, out)?;
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

/// A line a machine; kernels of one port of which the same is to be said share one, where they are several neighbours.
fn summaries(reports: &[RunReport], out: &mut Out) -> Result<(), Failed> {
    let rest = |report: &RunReport| show::summary(report).replacen(report.kernel, "", 1);
    let alike = |a: &RunReport, b: &RunReport| a.arch == b.arch && rest(a) == rest(b);
    for chunk in reports.chunk_by(alike) {
        let names: Vec<&str> = chunk.iter().map(|report| report.kernel).collect();
        match chunk {
            [first, _, _, ..] => {
                out.text(show::summary(first).replacen(first.kernel, &ranges(&names, &names), 1))?;
            }
            few => few.iter().try_for_each(|report| out.text(show::summary(report)))?,
        }
    }
    Ok(())
}

/// Which kernels agree, where that is more than what differs between neighbours.
fn groups(reports: &[RunReport], agree: &[Agreeing], out: &mut Out) -> Result<(), Failed> {
    for of_port in agree {
        let kernels: Vec<&str> =
            reports.iter().filter(|report| report.arch == of_port.arch).map(|report| report.kernel).collect();
        if kernels.len() > 2 && of_port.groups.len() > 1 {
            out.line(format!("  {}", of_port.text(&kernels)))?;
        }
    }
    Ok(())
}

/// What differs; `looked` says whether tables were looked at, which takes a dump.
fn differing(all: &[Differing], looked: bool, out: &mut Out) -> Result<(), Failed> {
    if all.is_empty() {
        let of = if looked { "" } else { " in results (without a dump no entries are compared)" };
        out.line(format!("  no difference{of}"))?;
    }
    for pair in all {
        let count = show::counted(pair.count as u64, "difference");
        out.differing(format!("  {} and {}: {count}", pair.left, pair.right))?;
        for text in &pair.differences {
            out.line(format!("    {text}"))?;
        }
        let more = pair.count - pair.differences.len();
        if more > 0 {
            out.line(format!("    and {more} more"))?;
        }
        for rule in &pair.rules {
            out.line(format!("    by {rule}"))?;
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
