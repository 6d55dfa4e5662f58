//! `ptelab fuzz --kernel IMAGE`

use crate::args;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{found, verify_real};
use ptelab::exec::Watch;
use ptelab::fuzz::{Found, Size, scenario_text};
use ptelab::real::programs::{Looks, Programs, ProgramsReport};
use ptelab::show;
use serde::Serialize;
use std::path::Path;

/// Programs where neither their number nor a time is given.
const CASES: u64 = 1000;

#[derive(Serialize)]
pub(crate) struct Report<'a> {
    seed: u64,
    cases: u64,
    seconds: f64,
    boots: u32,
    found: Vec<FoundReport<'a>>,
    finished: bool,
}

#[derive(Serialize)]
struct FoundReport<'a> {
    case: u64,
    check: &'static str,
    text: &'a str,
    scenario: String,
}

impl<'a> FoundReport<'a> {
    fn new(found: &'a Found) -> Self {
        Self {
            case: found.case,
            check: found.violation.check.name(),
            text: &found.violation.text,
            scenario: scenario_text(found, None),
        }
    }
}

pub(crate) fn fuzz(args: &args::Fuzz, image: &Path, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let port = (args.arch != ptelab::DEFAULT_PORTS).then(|| args.arch.clone());
    let image = verify_real::only_image(image, &args::Guest { port, cpu: args.cpu.clone(), program: None })?;
    progress::stage(format!("booting {}", image.path().display()));
    if !args.json {
        verify_real::print_image(&mut image.player()?, None, out)?;
        out.flush()?;
    }
    let size = if args.large { Size::LARGE } else { Size::SMALL };
    let time = args.minutes.map(progress::minutes);
    let cases = args.cases.unwrap_or(if time.is_some() { u64::MAX } else { CASES });
    let mut programs = Programs::of(&image, size, (args.seed, cases), time);
    if args.look_at_end {
        programs.looks = Looks::End;
    }
    let bar = progress::spinner("programs");
    let tick = |found: usize| {
        bar.inc(1);
        bar.set_message(format!("{found} found"));
    };
    let watch = Watch { stop: &STOP, tick: &|_| () };
    let most = if args.keep_going { usize::MAX } else { 1 };
    let mut report = programs.run(&image, None, most, watch, &tick)?;
    bar.finish_and_clear();
    if let Some(first) = report.found.first_mut()
        && !progress::stopped()
    {
        progress::stage("making the program shorter");
        *first = programs.shrink(&image, None, first.clone())?;
        found::save(args, first)?;
    }
    let finished = !progress::stopped();
    if args.json {
        out.json(&to_json(args.seed, &report, finished))?;
    } else {
        print(args, &report, out)?;
    }
    Ok(match (report.found.is_empty(), finished) {
        (false, _) => DIFFERS,
        (true, false) => STOPPED,
        (true, true) => FINE,
    })
}

pub(crate) fn to_json(seed: u64, report: &ProgramsReport, finished: bool) -> Report<'_> {
    let ProgramsReport { cases, time, boots, .. } = *report;
    let found = report.found.iter().map(FoundReport::new).collect();
    Report { seed, cases, seconds: time.as_secs_f64(), boots, found, finished }
}

fn print(args: &args::Fuzz, report: &ProgramsReport, out: &mut Out) -> Result<(), Failed> {
    let ProgramsReport { cases, time, boots, found } = report;
    let seconds = time.as_secs_f64();
    let rate = u128::from(*cases) * 1000 / time.as_millis().max(1);
    let again = if *boots == 0 {
        String::new()
    } else {
        let more = show::counted(u64::from(*boots), "more boot");
        format!(", {more} (for nodes or swap, and for kernels that a program had changed or lost)")
    };
    let programs = show::counted(*cases, "program");
    out.line(format!("{programs} from seed {} in {seconds:.1} s, {rate} a second{again}", args.seed))?;
    for (n, found) in found.iter().enumerate() {
        let shortest = if n == 0 { "; the shortest program that does so" } else { "" };
        let law = found.violation.check.law();
        out.differing(format!("case {}: not so: {law}{shortest}:", found.case))?;
        for line in found.violation.text.lines() {
            out.line(format!("# {line}"))?;
        }
        for line in &found.lines {
            out.line(line)?;
        }
    }
    Ok(())
}
