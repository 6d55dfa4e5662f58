//! `ptelab fuzz`

use crate::args;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{found, fuzz_real, machines};
use ptelab::fuzz::{self, Found, Fuzz, FuzzReport, Plan, Size, scenario_text, shrink};
use ptelab::{BuildError, Matrix};
use serde::Serialize;
use std::time::Duration;

/// Cases where neither their number nor a time is given.
const CASES: u64 = 100_000;

#[derive(Serialize)]
struct Report<'a> {
    seed: u64,
    cases: u64,
    seconds: f64,
    transitions: usize,
    found: Option<FoundReport<'a>>,
}

#[derive(Serialize)]
struct FoundReport<'a> {
    case: u64,
    check: &'static str,
    machine: &'a str,
    text: &'a str,
    scenario: String,
}

pub(crate) fn fuzz(args: &args::Fuzz, out: &mut Out) -> Result<u8, Failed> {
    match machines::images(&args.kernel).as_slice() {
        [] => {}
        [image] if machines::emulated(&args.kernel).is_empty() => return fuzz_real::fuzz(args, image, out),
        _ => return Err(Failed::Unusable("one image at a time, and no other kernel beside it".to_owned())),
    }
    let mut matrix = machines::of(Matrix::new().ports(&args.arch)?, &args.kernel)?;
    for switch in &args.cpu {
        matrix = matrix.cpu(switch)?;
    }
    progress::stop_on_ctrl_c();
    let size = if args.large { Size::LARGE } else { Size::SMALL };
    fuzz::one_page_size(&matrix.port_list()).map_err(Failed::Unusable)?;
    let mut plan = Plan::new(matrix.port_list(), matrix.kernel_list(), size);
    for port in matrix.port_list() {
        plan = plan.cpu(port, matrix.cpu_of(port)).map_err(BuildError::from)?;
    }
    let size = plan.size();
    let time = args.minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let cases = args.cases.unwrap_or(if time.is_some() { u64::MAX } else { CASES });
    let bar = progress::spinner("programs");
    let tick = |ran, transitions: usize| {
        bar.inc(ran);
        bar.set_message(format!("{transitions} kinds of changes seen"));
    };
    let outcome = Fuzz { seed: args.seed, cases, time, size }.run(&plan, &STOP, &tick);
    bar.finish_and_clear();
    let found = outcome.found.clone().map(|found| shrink(&plan, found));
    if let Some(found) = &found {
        found::save(args, found)?;
    }
    if args.json {
        out.json(&report(args, &outcome, found.as_ref()))?;
    } else {
        print(args, &outcome, found.as_ref(), out)?;
    }
    Ok(match found {
        Some(_) => DIFFERS,
        None if progress::stopped() => STOPPED,
        None => FINE,
    })
}

fn report<'a>(args: &args::Fuzz, outcome: &FuzzReport, found: Option<&'a Found>) -> Report<'a> {
    let found = found.map(|found| FoundReport {
        case: found.case,
        check: found.violation.check.name(),
        machine: &found.machine,
        text: &found.violation.text,
        scenario: scenario_text(found, None),
    });
    let (seconds, transitions) = (outcome.time.as_secs_f64(), outcome.coverage.transitions());
    Report { seed: args.seed, cases: outcome.cases, seconds, transitions, found }
}

fn print(
    args: &args::Fuzz,
    outcome: &FuzzReport,
    found: Option<&Found>,
    out: &mut Out,
) -> Result<(), Failed> {
    if args.coverage {
        out.text(&outcome.coverage)?;
    }
    let per_second = u128::from(outcome.cases) * 1_000_000 / outcome.time.as_micros().max(1);
    let seen = outcome.coverage.transitions();
    out.line(format!(
        "{} programs from seed {} in {:.1} s, {per_second} a second, {seen} kinds of changes",
        outcome.cases,
        args.seed,
        outcome.time.as_secs_f64()
    ))?;
    if let Some(found) = found {
        out.differing(format!("case {} breaks a check; the shortest program that does:", found.case))?;
        out.text(scenario_text(found, None))?;
    }
    Ok(())
}
