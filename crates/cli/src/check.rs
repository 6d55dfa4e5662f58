//! `ptelab check`

use crate::args;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::machines;
use crate::output::{Failed, Out};
use crate::progress::{self, STOP, stopped};
use ptelab::check::{
    self, AT_RANDOM, BOUND, BUGS, BugRow, CheckReport, LONG, LawRow, NeededRow, RaceFailure, RaceReport,
    RaceRow,
};
use ptelab::exec::Watch;
use ptelab::{KernelRules, Matrix, parallel, show};

pub(crate) fn check(args: &args::Check, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let ports = Matrix::new().ports(&args.arch)?.port_list();
    if let Some(kernel) = &args.race {
        return race(args, &ports, kernel, out);
    }
    let laws_of = |port: &&'static str| check::laws_of(port, &STOP);
    let laws = if args.bugs { Vec::new() } else { parallel::map(&ports, laws_of).concat() };
    let of_ports = BUGS.iter().filter(|bug| ports.contains(&bug.port) && !args.laws);
    let bar = progress::bar(of_ports.clone().count() as u128, "bugs");
    let find = |bug: &check::Bug| {
        let row = bug.find(args.seed, args.cases, &STOP);
        bar.inc(1);
        row
    };
    // What was not found when the search was stopped may be there.
    let known = |row: &BugRow| row.found_by.is_some() || !stopped();
    let bugs = of_ports.take_while(|_| !stopped()).map(find).filter(known).collect();
    bar.finish_and_clear();
    let checks = if args.laws { Vec::new() } else { check::needed(&STOP) };
    let report = CheckReport { laws, bugs, checks };
    if args.json {
        out.json(&report)?;
    } else {
        print(&report, args, out)?;
    }
    Ok(match () {
        () if stopped() => STOPPED,
        () if report.is_fine() => FINE,
        () => DIFFERS,
    })
}

fn print(report: &CheckReport, args: &args::Check, out: &mut Out) -> Result<(), Failed> {
    for row in &report.laws {
        let LawRow { id, port, passed, cases, name, failure } = row;
        let line = format!("{id}  {port:8}  {cases:>8} cases  {name}");
        if *passed {
            out.line(line)?;
        } else {
            out.differing(format!("{line}: FAILS"))?;
            out.text(failure.as_deref().unwrap_or_default())?;
        }
    }
    if !report.laws.is_empty() {
        let passed = report.laws.iter().filter(|row| row.passed).count();
        let first = if stopped() { " of those that were tried" } else { "" };
        out.heading(format!("{passed} of {} laws hold{first}", report.laws.len()))?;
    }
    for row in &report.bugs {
        print_bug(row, args.programs, out)?;
    }
    // Nothing can be said about what the run did not reach.
    if stopped() {
        return Ok(out.line("stopped")?);
    }
    if args.laws {
        return Ok(());
    }
    let found = report.bugs.iter().filter(|row| row.found_by.is_some()).count();
    out.heading(format!("{found} of {} bugs found", report.bugs.len()))?;
    for row in &report.checks {
        let NeededRow { check, bug, seed, cases } = row;
        match seed {
            Some(seed) => {
                out.line(format!("{check:22} alone finds {bug} in {cases} programs of seed {seed}"))?;
            }
            None => out.differing(format!("{check:22} is not needed for {bug}"))?,
        }
    }
    let needed = report.checks.iter().filter(|row| row.seed.is_some()).count();
    out.heading(format!(
        "{needed} of {} checks are needed: without each, a bug goes unfound",
        report.checks.len()
    ))?;
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

fn race(args: &args::Check, ports: &[&str], kernel: &str, out: &mut Out) -> Result<u8, Failed> {
    let kernels = machines::of(Matrix::new(), kernel)?.kernel_list();
    if let Some(id) = &args.replay {
        return replay(ports, kernels[0], id, out);
    }
    let pairs: Vec<_> =
        ports.iter().flat_map(|port| kernels.iter().map(move |rules| (*port, *rules))).collect();
    let settings = pairs.iter().map(|(port, rules)| check::race_settings(port, rules));
    let bar = progress::bar(settings.sum::<usize>() as u128, "settings");
    let watch = Watch { stop: &STOP, tick: &|n| bar.inc(n) };
    let explore = |&(port, rules): &(_, _)| check::race(port, rules, watch);
    let rows: Vec<RaceRow> = parallel::map(&pairs, explore).concat();
    bar.finish_and_clear();
    let short = format!(
        "up to {BOUND} accesses by another CPU, or one by a device, within operations of up to {LONG} steps; one access within \
         longer ones, and {AT_RANDOM} random schedules of four"
    );
    out.line(format!("Every schedule of {short}:"))?;
    for (at, RaceRow { port, setting, report }) in rows.iter().enumerate() {
        let RaceReport { schedules, states, joined_live, failures, stopped } = report;
        let joined = match joined_live {
            0 => String::new(),
            n => {
                let [_, since] = ptelab::kernels::before_and_after().map(|rules| rules.name);
                format!("; {n} join a block that is cached as single entries, as Linux does since {since}")
            }
        };
        let ended = if *stopped { ", then stopped" } else { "" };
        let line = format!("{port}, {setting}: {schedules} schedules, {states} states{joined}{ended}");
        if failures.is_empty() {
            out.line(line)?;
        } else {
            out.differing(line)?;
        }
        let same = |row: &&RaceRow| row.port == *port && row.report.failures == *failures;
        if let Some(before) = rows[..at].iter().find(same).filter(|_| !failures.is_empty()) {
            out.line(format!(
                "  the same {} as on {}",
                show::counted(failures.len() as u64, "schedule"),
                before.setting
            ))?;
            continue;
        }
        for RaceFailure { id, what, steps } in failures {
            out.line(format!("  {id}: {what}"))?;
            out.text(steps)?;
        }
    }
    if rows.iter().any(|row| !row.report.failures.is_empty()) {
        out.line(
            "A schedule is named by its operation, table and part, and by what hardware does before which step: `0w1` means that hardware \
             writes page 1 before step 0; `r` reads; capitals are a device's. --replay with the name and --arch runs one again.",
        )?;
    }
    if stopped() {
        out.line("stopped")?;
        return Ok(STOPPED);
    }
    // The fallbacks of an architecture that overrides nothing load and then store: they are for walkers that set no flags.
    let (excused, held): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.port == "generic");
    let wrong = |rows: &[&RaceRow]| rows.iter().filter(|row| !row.report.failures.is_empty()).count();
    let lose = wrong(&held);
    if !held.is_empty() {
        out.line(format!("{} of {} settings lose nothing", held.len() - lose, held.len()))?;
    }
    if lose > 0 {
        out.line(
            "What is lost was written by hardware between the steps of an operation: one that takes and writes the entry in one step, \
             or stops hardware first, loses nothing.",
        )?;
    }
    if wrong(&excused) > 0 {
        out.line("generic is not counted: its load and store are for walkers that set no flags")?;
    }
    Ok(if lose == 0 { FINE } else { DIFFERS })
}

fn replay(ports: &[&str], rules: &'static KernelRules, id: &str, out: &mut Out) -> Result<u8, Failed> {
    let [port] = ports else {
        return Err(Failed::Unusable("a schedule is one port's: choose it with --arch".to_owned()));
    };
    let Some((fault, steps)) = check::replay_race(port, rules, id) else {
        return Err(Failed::Unusable(format!("no schedule `{id}` on {port}")));
    };
    out.text(steps)?;
    out.line(fault.unwrap_or("nothing goes wrong"))?;
    Ok(if fault.is_some() { DIFFERS } else { FINE })
}
