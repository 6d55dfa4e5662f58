//! `ptelab series`

mod html;
mod letter;
mod print;
mod report;

use crate::args;
use crate::cost_real::{self, Measured};
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress::{self, STOP};
use crate::{input, machines, verify_real};
use ptelab::exec::Watch;
use ptelab::fuzz::Size;
use ptelab::real::programs::Programs;
use ptelab::real::series::{Pair, SeriesReport};
use ptelab::scenario::Scenario;
use report::{OfArch, Report, SHOWN};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long one program is made shorter, at most, and all of them.
const SHRINK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

pub(crate) fn series(args: &args::Series, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let begun = Instant::now();
    for path in [&args.letter, &args.html].into_iter().flatten() {
        output::check(path)?;
    }
    args.emit_c.as_deref().map_or(Ok(()), output::check_folder)?;
    if args.cases == 0 && args.files.is_empty() {
        let why = "there is nothing to play: --cases is 0, and no file is named";
        return Err(Failed::Unusable(why.to_owned()));
    }
    let pairs = pairs(args)?;
    let scenarios = input::named_scenarios_of(&args.files)?;
    let mut report =
        Report { command: command(args), architectures: Vec::new(), seconds: 0.0, finished: false };
    for pair in &pairs {
        if !progress::stopped() {
            match of_arch(args, pair, &scenarios, out) {
                Err(Failed::Stopped) => break,
                done => report.architectures.push(done?),
            }
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    report.finished = !progress::stopped();
    if args.json {
        out.json(&report)?;
    } else {
        print::print(&report, out)?;
    }
    out.flush()?;
    write(args, &report)?;
    Ok(match (report.architectures.iter().any(OfArch::is_wrong), report.finished) {
        (true, _) => DIFFERS,
        (false, false) => STOPPED,
        (false, true) => FINE,
    })
}

/// The images by architecture.
fn pairs(args: &args::Series) -> Result<Vec<Pair>, Failed> {
    let args::Series { base, patched, arch, .. } = args;
    if base.len() != patched.len() || !matches!(arch.len(), n if n == 0 || n == base.len()) {
        let why = "--base, --patched, and --arch where it is needed, are given once for each architecture";
        return Err(Failed::Unusable(why.to_owned()));
    }
    let image = |path: &Path, n: usize| {
        let guest =
            args::Guest { port: arch.get(n).cloned(), cpu: args.cpu.clone(), program: args.guest.clone() };
        verify_real::image(path, &guest)
    };
    let pair = |(n, (base, patched)): (usize, (&PathBuf, &PathBuf))| {
        let pair = Pair { base: image(base, n)?, patched: image(patched, n)? };
        if pair.base.port() == pair.patched.port() {
            return Ok(pair);
        }
        let [base, patched] = [base, patched].map(|path| path.display());
        Err(Failed::Unusable(format!("{base} and {patched} are of different architectures")))
    };
    let pairs: Vec<Pair> = base.iter().zip(patched).enumerate().map(pair).collect::<Result<_, _>>()?;
    let ports: Vec<&str> = pairs.iter().map(|pair| pair.base.port()).collect();
    machines::check_switches(&args.cpu, &ports)?;
    Ok(pairs)
}

/// The command, with names of files only.
fn command(args: &args::Series) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut words = vec!["ptelab series".to_owned()];
    for (base, patched) in args.base.iter().zip(&args.patched) {
        words.push(format!("--base {} --patched {}", name(base), name(patched)));
    }
    words.extend(args.arch.iter().map(|arch| format!("--arch {arch}")));
    words.extend(args.cpu.iter().map(|cpu| format!("--cpu {cpu}")));
    words.push(format!("--seed {} --cases {} --minutes {}", args.seed, args.cases, args.minutes));
    words.extend(args.no_cost.then(|| "--no-cost".to_owned()));
    words.extend(args.files.iter().map(name));
    words.join(" ")
}

fn of_arch(
    args: &args::Series,
    pair: &Pair,
    scenarios: &[(String, Scenario)],
    out: &mut Out,
) -> Result<OfArch, Failed> {
    let mut releases = Vec::new();
    for image in [&pair.base, &pair.patched] {
        progress::stage(format!("booting {}", image.path().display()));
        let mut player = image.player()?;
        if !args.json {
            verify_real::print_image(&mut player, None, out)?;
            out.flush()?;
        }
        releases.push(player.facts()?.release.clone());
    }
    let words = words(args, pair, scenarios)?;
    let cost = if args.no_cost || progress::stopped() { Vec::new() } else { cost(pair, &releases)? };
    let [base, patched] = [releases[0].clone(), releases[1].clone()];
    Ok(OfArch { arch: pair.base.port(), base, patched, words, cost })
}

fn words(args: &args::Series, pair: &Pair, scenarios: &[(String, Scenario)]) -> Result<SeriesReport, Failed> {
    let files = files(scenarios, pair);
    let time = progress::minutes(args.minutes);
    let programs = Programs::of(&pair.base, Size::SMALL, (args.seed, args.cases), Some(time));
    let steps = args.cases.saturating_add(files.len() as u64);
    progress::stage(format!(
        "playing {} files and up to {} random programs on both kernels, for at most {} min after they have booted; \
         then programs are shortened{}",
        files.len(),
        args.cases,
        args.minutes,
        if args.no_cost { "" } else { ", and instructions counted (--no-cost leaves that out)" }
    ));
    let bar = progress::timed_bar(steps.into(), "programs");
    bar.set_message("the kernels are booting");
    // The time runs from when they have.
    let begun = OnceLock::new();
    let tick = |words: &SeriesReport| {
        let took = begun.get_or_init(Instant::now).elapsed();
        let left = left(took, words.played, steps).min(time.saturating_sub(took));
        let (differ, wrong) = (words.changed.len(), words.wrong.len());
        bar.set_position(words.played);
        bar.set_message(format!("{differ} kinds differ, {wrong} are wrong, {} s left", left.as_secs()));
    };
    let watch = Watch { stop: &STOP, tick: &|_| () };
    let mut words = pair.words(&files, programs, watch, &tick)?;
    bar.finish_and_clear();
    shrink(pair, &mut words, programs)?;
    Ok(words)
}

/// Makes the programs of the findings shorter.
fn shrink(pair: &Pair, words: &mut SeriesReport, programs: Programs) -> Result<(), Failed> {
    let kinds = words.wrong.len() + words.changed.len();
    if kinds == 0 || progress::stopped() {
        return Ok(());
    }
    let (each, all) = SHRINK;
    progress::stage(format!("shortening the programs of {kinds} kinds, for at most {} s", all.as_secs()));
    let bar = progress::timed_bar(kinds as u128, "kinds");
    let begun = Instant::now();
    let tick = |kinds| {
        bar.inc(kinds);
        bar.set_message(format!("at most {} s left", all.saturating_sub(begun.elapsed()).as_secs()));
    };
    pair.shrink(words, programs, (each, all), Watch { stop: &STOP, tick: &tick })?;
    bar.finish_and_clear();
    Ok(())
}

/// The time that is left where so many steps took so long.
fn left(took: Duration, done: u64, steps: u64) -> Duration {
    let each = took.as_millis() as u64 / done.max(1);
    Duration::from_millis(each.saturating_mul(steps.saturating_sub(done)))
}

/// The scenarios that can be played on both kernels.
fn files(scenarios: &[(String, Scenario)], pair: &Pair) -> Vec<(String, Scenario)> {
    let mut files = scenarios.to_vec();
    files.retain(|(name, scenario)| {
        let why_not = pair.base.why_not(scenario).or_else(|| pair.patched.why_not(scenario));
        if let Some(reason) = &why_not {
            progress::warn(&format!("{name}: left out: {reason}"));
        }
        why_not.is_none()
    });
    files
}

fn cost(pair: &Pair, releases: &[String]) -> Result<Vec<[Measured; 2]>, Failed> {
    let workloads = cost_real::workloads()?;
    progress::stage("counting the instructions that calls take on both kernels");
    let bar = progress::bar(2 * workloads.len() as u128, "workloads");
    let done = || bar.inc(1);
    let base = cost_real::measure(&pair.base, &releases[0], &workloads, &done)?;
    let patched = cost_real::measure(&pair.patched, &releases[1], &workloads, &done)?;
    bar.finish_and_clear();
    Ok(base.into_iter().zip(patched).map(|(base, patched)| [base, patched]).collect())
}

/// The files that are wanted.
fn write(args: &args::Series, report: &Report) -> Result<(), Failed> {
    if !report.architectures.iter().any(|of_arch| of_arch.words.played > 0) {
        progress::warn("nothing was compared: no files are written");
        return Ok(());
    }
    let letter = args.letter.iter().map(|path| (path.clone(), letter::text(report)));
    let page = args.html.iter().map(|path| (path.clone(), html::page(report)));
    let folder = args.emit_c.iter();
    let programs = folder.flat_map(|folder| c_programs(report).map(|(name, text)| (folder.join(name), text)));
    output::write_files(letter.chain(page).chain(programs))
}

/// C programs that make the calls of the findings, with the names of their files.
fn c_programs(report: &Report) -> impl Iterator<Item = (String, String)> {
    report.architectures.iter().flat_map(|OfArch { arch, words, .. }| {
        let kinds = [("changed", &words.changed), ("wrong", &words.wrong), ("both", &words.wrong_in_both)];
        kinds.into_iter().flat_map(move |(kind, groups)| {
            groups.iter().take(SHOWN).enumerate().map(move |(n, group)| {
                let about = group.cause.replace("*/", "* /");
                (
                    format!("{arch}-{kind}-{}.c", n + 1),
                    format!("/* {arch}: {about} */\n{}", group.c_program()),
                )
            })
        })
    })
}
