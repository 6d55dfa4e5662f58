//! `ptelab fuzz`

use crate::args;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress::{self, STOP};
use crate::{found, fuzz_real, machines};
use ptelab::fuzz::{self, Found, Fuzz, FuzzReport, Plan, Size, scenario_text, shrink};
use ptelab::uapi::ByteSize;
use ptelab::{BuildError, Matrix, show};
use serde::Serialize;

/// Cases where neither their number nor a time is given.
const CASES: u64 = 100_000;

#[derive(Serialize)]
struct Report<'a> {
    seed: u64,
    cases: u64,
    seconds: f64,
    transitions: usize,
    found: Option<FoundReport<'a>>,
    runs: Vec<RunReport<'a>>,
}

/// What came of the ports of one size of pages and huge pages.
#[derive(Serialize)]
struct RunReport<'a> {
    ports: &'a [&'static str],
    cases: u64,
    seconds: f64,
    transitions: usize,
}

/// Ports whose pages and huge pages have one size, and what came of them.
struct Run {
    sizes: [u64; 2],
    ports: Vec<&'static str>,
    outcome: FuzzReport,
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
    machines::keep(&args.kernel);
    for path in [&args.out, &args.emit_c].into_iter().flatten() {
        output::check(path)?;
    }
    match machines::images(&args.kernel).as_slice() {
        [] => {}
        [image] if machines::emulated(&args.kernel).is_empty() => return fuzz_real::fuzz(args, image, out),
        _ => return Err(Failed::Unusable("one image at a time, and no other kernel beside it".to_owned())),
    }
    machines::refuse_without_image(&[
        ("--keep-going", args.keep_going),
        ("--look-at-end", args.look_at_end),
    ])?;
    let mut matrix = machines::of(Matrix::new().ports(&args.arch)?, &args.kernel)?;
    machines::check_switches(&args.cpu, &matrix.port_list())?;
    for switch in &args.cpu {
        matrix = matrix.cpu(switch)?;
    }
    progress::stop_on_ctrl_c();
    let groups = fuzz::by_page_size(&matrix.port_list());
    let (mut runs, mut found): (Vec<Run>, Option<Found>) = (Vec::new(), None);
    let all = groups.len() as u32;
    for (sizes, ports) in groups {
        // The first one is begun however early it is stopped, to have its count.
        if found.is_some() || progress::stopped() && !runs.is_empty() {
            break;
        }
        let mut plan = Plan::new(ports.clone(), matrix.kernel_list(), size(args));
        for port in &ports {
            plan = plan.cpu(port, matrix.cpu_of(port)).map_err(BuildError::from)?;
        }
        let outcome = play(args, &plan, all);
        found = outcome.found.clone().map(|found| shrink(&plan, found));
        runs.push(Run { sizes, ports, outcome });
    }
    if let Some(found) = &found {
        found::save(args, found)?;
    }
    if args.json {
        out.json(&report(args, &runs, found.as_ref()))?;
    } else {
        machines::print_switches(matrix.switches(), out)?;
        print(args, &runs, found.as_ref(), out)?;
    }
    Ok(match found {
        Some(_) => DIFFERS,
        None if progress::stopped() => STOPPED,
        None => FINE,
    })
}

const fn size(args: &args::Fuzz) -> Size {
    if args.large { Size::LARGE } else { Size::SMALL }
}

/// Runs programs on one plan of `plans`, which share the time.
fn play(args: &args::Fuzz, plan: &Plan, plans: u32) -> FuzzReport {
    let time = args.minutes.map(|minutes| progress::minutes(minutes) / plans);
    let cases = args.cases.unwrap_or(if time.is_some() { u64::MAX } else { CASES });
    let bar = progress::spinner("programs");
    let tick = |ran, transitions: usize| {
        bar.inc(ran);
        bar.set_message(format!("{transitions} kinds of changes seen"));
    };
    let outcome = Fuzz { seed: args.seed, cases, time, size: plan.size() }.run(plan, &STOP, &tick);
    bar.finish_and_clear();
    outcome
}

fn report<'a>(args: &args::Fuzz, runs: &'a [Run], found: Option<&'a Found>) -> Report<'a> {
    let found = found.map(|found| FoundReport {
        case: found.case,
        check: found.violation.check.name(),
        machine: &found.machine,
        text: &found.violation.text,
        scenario: scenario_text(found, None),
    });
    let of_run = |run: &'a Run| RunReport {
        ports: &run.ports,
        cases: run.outcome.cases,
        seconds: run.outcome.time.as_secs_f64(),
        transitions: run.outcome.coverage.transitions(),
    };
    let runs: Vec<RunReport> = runs.iter().map(of_run).collect();
    Report {
        seed: args.seed,
        cases: runs.iter().map(|run| run.cases).sum(),
        seconds: runs.iter().map(|run| run.seconds).sum(),
        transitions: runs.iter().map(|run| run.transitions).sum(),
        found,
        runs,
    }
}

fn print(args: &args::Fuzz, runs: &[Run], found: Option<&Found>, out: &mut Out) -> Result<(), Failed> {
    for Run { sizes: [page, huge], ports, outcome } in runs {
        if runs.len() > 1 {
            out.heading(format!(
                "Pages of {}, huge pages of {}: {}",
                ByteSize(*page),
                ByteSize(*huge),
                ports.join(", ")
            ))?;
        }
        if args.coverage {
            out.text(&outcome.coverage)?;
        }
        let per_second = u128::from(outcome.cases) * 1_000_000 / outcome.time.as_micros().max(1);
        let seen = outcome.coverage.transitions();
        out.line(format!(
            "{} from seed {} in {:.1} s, {per_second} a second, {seen} kinds of changes",
            show::counted(outcome.cases, "program"),
            args.seed,
            outcome.time.as_secs_f64()
        ))?;
    }
    if runs.len() > 1 {
        out.line("Ports of different groups are not compared with each other.")?;
    }
    if let Some(found) = found {
        out.differing(format!("case {} breaks a check; the shortest program that does:", found.case))?;
        out.text(scenario_text(found, None))?;
    }
    Ok(())
}
