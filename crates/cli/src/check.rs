//! `ptelab check`

use crate::args;
use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{DIFFERS, FINE, STOPPED};
use ptelab::Matrix;
use ptelab::check::{self, BUGS, BugRow, LawRow, NOT_YET, Report};
use rayon::prelude::*;
use std::sync::atomic::Ordering;

pub(crate) fn check(args: &args::Check, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let ports = Matrix::new().ports(&args.port)?.port_list();
    let laws =
        if args.bugs { Vec::new() } else { ports.par_iter().flat_map(|port| check::laws_of(port)).collect() };
    let of_ports = BUGS.iter().filter(|bug| ports.contains(&bug.port) && !args.laws);
    let bar = progress::bar(of_ports.clone().count() as u128, "bugs");
    let find = |bug: &check::Bug| {
        let row = bug.find(args.seed, args.cases, &STOP);
        bar.inc(1);
        row
    };
    let bugs = of_ports.take_while(|_| !STOP.load(Ordering::Relaxed)).map(find).collect();
    bar.finish_and_clear();
    let report = Report { laws, bugs };
    if args.json {
        out.json(&report)?;
    } else {
        print(&report, args, out)?;
    }
    Ok(match () {
        () if STOP.load(Ordering::Relaxed) => STOPPED,
        () if report.is_fine() => FINE,
        () => DIFFERS,
    })
}

fn print(report: &Report, args: &args::Check, out: &mut Out) -> Result<(), Failed> {
    for row in &report.laws {
        let LawRow { id, port, passed, cases, name, failure } = row;
        let line = format!("{id}  {port:8}  {cases:>8} cases  {name}");
        if *passed {
            out.line(line)?;
        } else {
            out.differing(line)?;
            out.text(failure.as_deref().unwrap_or_default())?;
        }
    }
    if !report.laws.is_empty() {
        let passed = report.laws.iter().filter(|row| row.passed).count();
        out.heading(format!("{passed} of {} laws hold", report.laws.len()))?;
    }
    if args.laws {
        return Ok(());
    }
    for row in &report.bugs {
        print_bug(row, args.programs, out)?;
    }
    for (what, why) in NOT_YET {
        out.line(format!("{what}: not tried, {why}"))?;
    }
    let found = report.bugs.iter().filter(|row| row.found_by.is_some()).count();
    out.heading(format!("{found} of {} bugs found", report.bugs.len()))?;
    Ok(())
}

fn print_bug(row: &BugRow, programs: bool, out: &mut Out) -> Result<(), Failed> {
    let BugRow { name, what, found_by, cases, fuzz } = row;
    let Some(found_by) = found_by else {
        out.differing(format!("{name:22} not found: {what}"))?;
        return Ok(());
    };
    let program = fuzz.as_ref().map_or_else(String::new, |found| {
        format!("; {} after {} programs, {} lines", found.check, found.cases, found.lines)
    });
    out.line(format!("{name:22} {found_by} after {cases} cases{program}: {what}"))?;
    if let Some(found) = fuzz.as_ref().filter(|_| programs) {
        found.scenario.lines().try_for_each(|line| out.line(format!("    {line}")))?;
    }
    Ok(())
}
