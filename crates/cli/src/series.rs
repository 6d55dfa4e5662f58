//! `ptelab series`

use crate::args;
use crate::cost_real::{self, LIMITS, Measured, grouped};
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{input, verify_real};
use ptelab::exec::Watch;
use ptelab::fuzz::Size;
use ptelab::real::programs::Programs;
use ptelab::real::qemu::Image;
use ptelab::real::series::{Group, Pair, SeriesReport};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// Groups of differences that are shown with their programs.
const SHOWN: usize = 12;
/// How long one program is made shorter, at most.
const SHRINK: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Report {
    base: String,
    patched: String,
    arch: &'static str,
    words: SeriesReport,
    cost: Vec<[Measured; 2]>,
    seconds: f64,
    finished: bool,
}

pub(crate) fn series(args: &args::Series, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let begun = Instant::now();
    let image = |path: &Path| verify_real::image(path, &args.guest);
    let pair = Pair { base: image(&args.base)?, patched: image(&args.patched)? };
    if pair.base.port() != pair.patched.port() {
        return Err(Failed::Unusable("the two images are of different architectures".to_owned()));
    }
    let mut releases = Vec::new();
    for image in [&pair.base, &pair.patched] {
        let mut player = image.player()?;
        if !args.json {
            verify_real::print_image(&mut player, None, out)?;
            out.flush()?;
        }
        releases.push(player.facts()?.release.clone());
    }
    let words = words(args, &pair)?;
    let cost = if args.no_cost || progress::stopped() { Vec::new() } else { cost(&pair, &releases)? };
    let [base, patched] = [releases[0].clone(), releases[1].clone()];
    let (arch, finished) = (pair.base.port(), !progress::stopped());
    let report =
        Report { base, patched, arch, words, cost, seconds: begun.elapsed().as_secs_f64(), finished };
    if args.json {
        out.json(&report)?;
    } else {
        print(&report, out)?;
    }
    Ok(match (report.words.wrong.is_empty() && report.words.unlike_rules.is_empty(), finished) {
        (false, _) => DIFFERS,
        (true, false) => STOPPED,
        (true, true) => FINE,
    })
}

fn words(args: &args::Series, pair: &Pair) -> Result<SeriesReport, Failed> {
    let mut files = Vec::new();
    for path in &args.files {
        let scenario = input::scenario_of(path)?;
        match pair.base.why_not(&scenario).or_else(|| pair.patched.why_not(&scenario)) {
            Some(reason) => progress::warn(&format!("{}: left out: {reason}", path.display())),
            None => files.push((path.display().to_string(), scenario)),
        }
    }
    let time = Some(Duration::from_secs(args.minutes.saturating_mul(60)));
    let programs = Programs { seed: args.seed, cases: args.programs, time, size: Size::SMALL };
    let bar = progress::bar(u128::from(args.programs) + files.len() as u128, "programs");
    let tick = |words: &SeriesReport| {
        bar.set_position(words.played);
        bar.set_message(format!("{} differ", words.changed.len()));
    };
    let watch = Watch { stop: &STOP, tick: &|_| () };
    let mut words = pair.words(&files, programs, watch, &tick)?;
    bar.finish_and_clear();
    pair.shrink(&mut words, programs, (SHOWN, SHRINK), watch)?;
    Ok(words)
}

fn cost(pair: &Pair, releases: &[String]) -> Result<Vec<[Measured; 2]>, Failed> {
    let workloads = cost_real::workloads()?;
    let measure = |image: &Image, name: &str| cost_real::measure(image, name, &workloads);
    let (base, patched) = (measure(&pair.base, &releases[0])?, measure(&pair.patched, &releases[1])?);
    Ok(base.into_iter().zip(patched).map(|(base, patched)| [base, patched]).collect())
}

fn print(report: &Report, out: &mut Out) -> Result<(), Failed> {
    let Report { base, patched, arch, words, .. } = report;
    out.line("")?;
    out.heading(format!(
        "{arch}: {patched} against {base}: {} scenarios and programs on both",
        words.played
    ))?;
    groups("Changed", "nothing differs between the two", &words.changed, out)?;
    groups("Wrong", "no table, no warning and no crash says that anything is", &words.wrong, out)?;
    if !words.wrong_in_both.is_empty() {
        groups("Wrong in both kernels", "", &words.wrong_in_both, out)?;
    }
    let unlike = "where the base is as the emulator has it, so is the patched kernel";
    groups("Unlike the rules of its release", unlike, &words.unlike_rules, out)?;
    if words.both_unlike_rules > 0 {
        out.line(format!(
            "  ({} programs say nothing here: both kernels differ from the emulator)",
            words.both_unlike_rules
        ))?;
    }
    if !report.cost.is_empty() {
        print_cost(report, out)?;
    }
    let stopped = if report.finished { "" } else { ", stopped" };
    out.line(format!("{:.0} s, {} programs a second{stopped}", report.seconds, words.per_second))?;
    Ok(())
}

fn groups(title: &str, none: &str, groups: &[Group], out: &mut Out) -> Result<(), Failed> {
    if groups.is_empty() {
        return Ok(out.line(format!("{title}: {none}."))?);
    }
    out.differing(format!("{title}:"))?;
    for group in groups.iter().take(SHOWN) {
        let of = group.file.as_ref().map_or_else(String::new, |file| format!(", as in {file}"));
        let seconds = group.millis as f64 / 1000.0;
        out.line(format!(
            "  {} x {}{of}, first after {} programs and {seconds:.1} s",
            group.count, group.cause, group.after
        ))?;
        out.line(format!("      {}", group.example))?;
        for line in group.lines.iter().filter(|_| group.file.is_none()) {
            out.line(format!("        {line}"))?;
        }
    }
    if groups.len() > SHOWN {
        out.line(format!("  and {} other kinds", groups.len() - SHOWN))?;
    }
    Ok(())
}

/// A table for a cover letter.
fn print_cost(report: &Report, out: &mut Out) -> Result<(), Failed> {
    out.heading("Instructions for 16M, least of each call:")?;
    out.line(format!("  {:12} {:>14} {:>14} {:>7}  call", "workload", "base", "patched", "change"))?;
    for [base, patched] in &report.cost {
        for (was, is) in base.instructions.iter().zip(&patched.instructions) {
            let hundredths = is.min * 100 / was.min.max(1);
            let times = format!("{}.{:02}x", hundredths / 100, hundredths % 100);
            let (a, b) = (grouped(was.min), grouped(is.min));
            out.line(format!("  {:12} {a:>14} {b:>14} {times:>7}  {}", base.workload, was.call))?;
        }
    }
    Ok(out.line(LIMITS)?)
}
