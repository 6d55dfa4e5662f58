//! `ptelab learn`

use crate::args;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress::{self, STOP};
use crate::{fuzz_real, input, machines, verdict, verify_real};
use ptelab::exec::Watch;
use ptelab::fuzz::{Size, scenario_text};
use ptelab::real::VerifyError;
use ptelab::real::host::Host;
use ptelab::real::learn::{self, Learned, LearnedRow, Lesson, RowValue};
use ptelab::real::learned_image::LearnedImage;
use ptelab::real::programs::{Programs, ProgramsReport};
use ptelab::real::qemu::Image;
use ptelab::scenario::Scenario;
use ptelab::{Change, KernelRules, Release, Verdict, changes, kernels, show};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

#[derive(Serialize)]
struct Report<'a> {
    kernel: &'a str,
    arch: &'static str,
    rows: Vec<RowReport<'a>>,
    nearest: &'static str,
    otherwise: Vec<&'static str>,
    rules: &'a str,
    scenarios: &'a [Verdict],
    #[serde(skip_serializing_if = "Option::is_none")]
    programs: Option<fuzz_real::Report<'a>>,
    seconds: f64,
    finished: bool,
}

#[derive(Serialize)]
struct RowReport<'a> {
    owner: &'static str,
    id: &'static str,
    holds: Option<bool>,
    evidence: &'a str,
}

/// What is said after the rows: how the kernel and the emulator with them did.
#[derive(Default)]
struct Held {
    scenarios: Vec<Verdict>,
    programs: Option<ProgramsReport>,
}

/// The kernel that is learned, and what it calls itself.
struct Kernel {
    arch: &'static str,
    release: String,
}

pub(crate) fn learn(args: &args::Learn, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let begun = Instant::now();
    let known = learn::known_but_for(&args.forget).map_err(Failed::Unusable)?;
    let scenarios = input::scenarios_of(&args.files)?;
    let on_host = args.kernel == "host";
    refuse_emulated(&args.kernel)?;
    if on_host {
        args.guest.refuse()?;
        machines::refuse_without_image(&[("--golden", args.golden.is_some())])?;
    }
    args.output.as_deref().map_or(Ok(()), output::check)?;
    args.golden.as_deref().map_or(Ok(()), output::check_folder)?;
    let (kernel, lesson, held) =
        if on_host { host(args, &known, &scenarios, out)? } else { image(args, &known, &scenarios, out)? };
    let Kernel { arch, release } = &kernel;
    let name = format!("Linux {release} on {arch}");
    let file = lesson.rules_file(&name);
    if let Some(path) = &args.output {
        output::write_file(path, file.as_bytes())?;
    }
    let finished = !progress::stopped();
    if args.json {
        let programs = held.programs.as_ref().map(|report| fuzz_real::to_json(args.seed, report, finished));
        out.json(&Report {
            kernel: release,
            arch,
            rows: lesson.rows.iter().map(row_json).collect(),
            nearest: lesson.nearest.name,
            otherwise: lesson.differing().map(|(row, _)| row.change.id).collect(),
            rules: &file,
            scenarios: &held.scenarios,
            programs,
            seconds: begun.elapsed().as_secs_f64(),
            finished,
        })?;
    } else if let Some(path) = args.output.as_ref().filter(|path| !output::is_stdout(path)) {
        out.line(format!(
            "wrote {} in {:.0} s; --kernel takes it",
            path.display(),
            begun.elapsed().as_secs_f64()
        ))?;
    }
    let differs = held.programs.is_some_and(|report| !report.found.is_empty())
        || held.scenarios.iter().any(|verdict| !verdict.is_equal());
    Ok(match (differs, finished) {
        (true, _) => DIFFERS,
        (false, false) => STOPPED,
        (false, true) => FINE,
    })
}

/// A release is no kernel to ask.
fn refuse_emulated(name: &str) -> Result<(), Failed> {
    match kernels::kernel(name) {
        Ok(named) if !Path::new(name).is_file() => Err(Failed::Unusable(format!(
            "{name}: learn asks a real kernel, an image or `host`; `ptelab kernels {}` lists the rules of this release",
            named.rules.name
        ))),
        _ => Ok(()),
    }
}

fn row_json(row: &LearnedRow) -> RowReport<'_> {
    let (holds, evidence) = match &row.value {
        RowValue::Decided(holds, evidence) => (Some(*holds), evidence),
        RowValue::Undecided(why) => (None, why),
    };
    RowReport { owner: row.owner, id: row.change.id, holds, evidence }
}

type Outcome = (Kernel, Lesson, Held);
type Known<'a> = &'a [&'static KernelRules];

fn image(
    args: &args::Learn,
    known: Known<'_>,
    scenarios: &[Scenario],
    out: &mut Out,
) -> Result<Outcome, Failed> {
    let image = verify_real::only_image(Path::new(&args.kernel), &args.guest)?;
    progress::stage(format!("booting {}", args.kernel));
    let mut learned = LearnedImage::new(&image)?;
    let facts = learned.player().facts()?;
    let kernel = Kernel { arch: image.port(), release: facts.release.clone() };
    let missing: Vec<String> = facts.missing(image.guest()).collect();
    let lesson = rows(args, &mut learned, &kernel, (known, &missing), out)?;
    if let Some(folder) = &args.golden {
        for golden in learned.goldens() {
            output::write_file(&folder.join(golden.file_name()), golden.to_text().as_bytes())?;
        }
    }
    let mut held = Held::default();
    let verdict = |name: &str, scenario: &Scenario| {
        if let Some(reason) = image.why_not(scenario) {
            return Ok(Some(Verdict { file: name.to_owned(), skipped: Some(reason), ..Verdict::default() }));
        }
        let Some(golden) = learned.player().golden(name, scenario, watch())? else { return Ok(None) };
        learned.player().verdict(name, &golden, Some(lesson.rules)).map(Some)
    };
    hold_scenarios(args, scenarios, verdict, &mut held, out)?;
    if args.cases > 0 && !progress::stopped() {
        hold_programs(args, &image, lesson.rules, &mut held, out)?;
    }
    Ok((kernel, lesson, held))
}

fn host(
    args: &args::Learn,
    known: Known<'_>,
    scenarios: &[Scenario],
    out: &mut Out,
) -> Result<Outcome, Failed> {
    let mut host = Host::new(verify_real::helpers()?, None)?;
    let facts = host.facts().clone();
    let kernel = Kernel { arch: facts.arch, release: facts.kernel };
    let lesson = rows(args, &mut host, &kernel, (known, &facts.left_out), out)?;
    host.hold_against(lesson.rules);
    let mut held = Held::default();
    let verdict = |name: &str, scenario: &Scenario| host.verify(name, scenario, watch());
    hold_scenarios(args, scenarios, verdict, &mut held, out)?;
    Ok((kernel, lesson, held))
}

const fn watch() -> Watch<'static> {
    Watch { stop: &STOP, tick: &|_| () }
}

/// Learns the rows, and prints them.
fn rows<K: Learned>(
    args: &args::Learn,
    learned: &mut K,
    kernel: &Kernel,
    (known, missing): (Known<'_>, &[String]),
    out: &mut Out,
) -> Result<Lesson, Failed> {
    let release = Release::parse(&kernel.release);
    let number = release.map_or_else(|| "kernel".to_owned(), |release| release.to_string());
    if !args.json {
        out.heading(format!("Linux {} on {}", kernel.release, kernel.arch))?;
        for line in missing {
            out.line(format!("  {line}"))?;
        }
        out.flush()?;
    }
    progress::stage("playing what shows each change");
    let bar = progress::bar(changes().count() as u128, "rows");
    let tick = |n: usize| bar.set_position(n as u64);
    let lesson = learn::learn(learned, (&format!("learned-{number}"), release), known, watch(), &tick);
    bar.finish_and_clear();
    let lesson = lesson?;
    if !args.json {
        print_rows(&lesson, out)?;
        out.flush()?;
    }
    Ok(lesson)
}

fn print_rows(lesson: &Lesson, out: &mut Out) -> Result<(), Failed> {
    for row in &lesson.rows {
        let LearnedRow { owner, change, value } = row;
        let (sign, text) = match value {
            RowValue::Decided(true, without) => ('+', format!("else: {without}")),
            RowValue::Decided(false, with) => ('-', format!("else: {with}")),
            RowValue::Undecided(why) => ('?', why.clone()),
        };
        out.line(format!("  {sign} {:31}  {owner:6}  {}", change.id, first_line(&text)))?;
    }
    let name = lesson.nearest.name;
    let otherwise: Vec<String> = lesson.differing().map(|(row, holds)| signed(row.change, holds)).collect();
    if otherwise.is_empty() {
        out.line(format!("Nearest: {name}, the same in every row that was decided"))?;
    } else {
        out.line(format!("Nearest: {name}, but for {}", otherwise.join(", ")))?;
    }
    Ok(())
}

fn signed(change: &Change, holds: bool) -> String {
    format!("{}{}", if holds { '+' } else { '-' }, change.id)
}

/// Letters of the evidence for a row that are shown; JSON has all.
const EVIDENCE: usize = 160;

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(EVIDENCE).collect();
    if cut.len() < line.len() { cut + " ..." } else { cut }
}

fn hold_scenarios(
    args: &args::Learn,
    scenarios: &[Scenario],
    mut verdict: impl FnMut(&str, &Scenario) -> Result<Option<Verdict>, VerifyError>,
    held: &mut Held,
    out: &mut Out,
) -> Result<(), Failed> {
    for (path, scenario) in args.files.iter().zip(scenarios) {
        if progress::stopped() {
            return Ok(());
        }
        let name = path.display().to_string();
        let Some(done) = verdict(&name, scenario).transpose() else { return Ok(()) };
        let done = verify_real::verdict_or(done, Verdict { file: name, ..Verdict::default() })?;
        if !args.json {
            verdict::print(&done, false, |_| true, out)?;
            out.flush()?;
        }
        held.scenarios.push(done);
    }
    Ok(())
}

/// Random programs: all that differ are counted, and the first is made short.
fn hold_programs(
    args: &args::Learn,
    image: &Image,
    rules: &'static KernelRules,
    held: &mut Held,
    out: &mut Out,
) -> Result<(), Failed> {
    let time = args.minutes.map(progress::minutes);
    let programs = Programs::of(image, Size::SMALL, (args.seed, args.cases), time);
    progress::stage(format!("holding up to {} random programs against these rules", args.cases));
    let bar = progress::bar(args.cases.into(), "programs");
    let tick = |found: usize| {
        bar.inc(1);
        bar.set_message(format!("{found} differ"));
    };
    let mut report = programs.run(image, Some(rules), usize::MAX, watch(), &tick)?;
    bar.finish_and_clear();
    if let Some(first) = report.found.first_mut()
        && !progress::stopped()
    {
        *first = programs.shrink(image, Some(rules), first.clone())?;
    }
    if !args.json {
        let (cases, differ) = (report.cases, report.found.len());
        out.line(format!(
            "{} from seed {}: {} as these rules say, {differ} not",
            show::counted(cases, "program"),
            args.seed,
            cases - differ as u64
        ))?;
        if let Some(first) = report.found.first() {
            out.differing("the shortest program of the first:")?;
            out.text(scenario_text(first, None))?;
        }
    }
    held.programs = Some(report);
    Ok(())
}
