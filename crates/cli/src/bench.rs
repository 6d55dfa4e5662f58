//! `ptelab bench`

use crate::args;
use crate::defaults::BENCH;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress::{self, STOP};
use crate::{beside, input, machines};
use ptelab::bench::{
    self, Bench, BenchHost, BenchReport, HostRuns, LAYOUT_PAGES, LAYOUTS, Layout, ScaleRow, Skip, Targets,
};
use ptelab::exec::Watch;
use ptelab::{KernelRules, Matrix, Subject};
use serde::{Deserialize, Serialize};
use std::path::Path;

pub(crate) fn bench(args: &args::Bench, out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    if let Some(path) = &args.show {
        return show(path, out);
    }
    args.save.as_deref().map_or(Ok(()), output::check_folder)?;
    match args.scale {
        _ if args.targets => targets(args, out),
        Some(max) => scale(args, max, out),
        None => layouts(args, out),
    }
}

fn layouts(args: &args::Bench, out: &mut Out) -> Result<u8, Failed> {
    let matrix = args.machines.matrix(BENCH.ports, &BENCH.kernels())?;
    beside::check_switches(&args.machines, &matrix)?;
    let matrix = machines::with_pages(matrix, LAYOUT_PAGES)?;
    let bench = Bench {
        layouts: chosen(&args.layout)?,
        machines: subjects(args, &matrix),
        size: args.size,
        rounds: args.rounds,
        host: if args.vs_host { HostRuns::Beside } else { HostRuns::LeftOut },
    };
    let bar = progress::bar(bench.steps().into(), "samples");
    let report = bench.run(&STOP, &|| bar.inc(1));
    bar.finish_and_clear();
    save(args, &report.host, &report)?;
    if args.json {
        out.json(&report)?;
    } else {
        print(&report, out)?;
    }
    Ok(if report.finished { FINE } else { STOPPED })
}

/// A run that was saved. Names in it are borrowed from its text.
#[derive(Deserialize)]
#[serde(untagged, bound(deserialize = "'de: 'static"))]
enum Saved {
    Targets(Targets),
    Layouts(BenchReport),
    Sizes(Sizes),
}

/// Prints a run that was saved.
fn show(path: &Path, out: &mut Out) -> Result<u8, Failed> {
    let wrong = |error: &dyn std::fmt::Display| Failed::Unusable(format!("{}: {error}", path.display()));
    let text = String::from_utf8(input::read(path)?).map_err(|error| wrong(&error))?;
    // Read once in a run of the program, and in use to its end.
    let saved = serde_json::from_str(text.leak());
    match saved.map_err(|_| wrong(&"not a run that `bench --save` wrote"))? {
        Saved::Targets(results) => print_targets(&results, out)?,
        Saved::Layouts(report) => print(&report, out)?,
        Saved::Sizes(report) => {
            out.line(&report.host)?;
            print_sizes(&report, out)?;
        }
    }
    Ok(FINE)
}

fn chosen(names: &str) -> Result<Vec<&'static Layout>, Failed> {
    if names == "all" {
        return Ok(LAYOUTS.iter().collect());
    }
    let find = |name: &str| {
        Layout::by_name(name).ok_or_else(|| {
            let known: Vec<&str> = LAYOUTS.iter().map(|layout| layout.name).collect();
            Failed::Unusable(format!("no layout `{name}`: choose from {}, all", known.join(", ")))
        })
    };
    names.split(',').map(str::trim).map(find).collect()
}

fn subjects(args: &args::Bench, matrix: &Matrix) -> Vec<Subject> {
    let kinds = args.machine.iter();
    kinds.flat_map(|&hw| matrix.clone().hw(hw).subjects()).collect()
}

fn print(report: &BenchReport, out: &mut Out) -> Result<(), Failed> {
    let size = ptelab::show::size(report.size);
    out.heading(format!(
        "Nanoseconds an entry of one mprotect over {size}: median (fastest..slowest) of {} rounds",
        report.rounds
    ))?;
    out.line(&report.host)?;
    out.line("")?;
    out.line(bench::bench_table(report).trim_fmt())?;
    out.line("")?;
    for layout in LAYOUTS.iter().filter(|l| report.rows.iter().any(|row| row.layout == l.name)) {
        out.line(format!("  {:6} {}", layout.name, layout.doc))?;
    }
    for skipped in &report.skipped {
        out.line(format!("  not measured: {} on {}: {}", skipped.layout, skipped.machine, skipped.reason))?;
    }
    if !report.finished {
        out.line("stopped")?;
    }
    Ok(())
}

fn targets(args: &args::Bench, out: &mut Out) -> Result<u8, Failed> {
    let steps = bench::target_bench().map_err(|Skip(why)| Failed::Unusable(why))?.steps();
    let bar = progress::bar(u128::from(steps) + 1025, "steps");
    let done = bench::targets(Watch { stop: &STOP, tick: &|n| bar.inc(n) });
    bar.finish_and_clear();
    let Some(results) = done.map_err(|Skip(why)| Failed::Unusable(why))? else {
        out.line("stopped")?;
        return Ok(STOPPED);
    };
    save(args, &results.layouts.host, &results)?;
    if args.json {
        out.json(&results)?;
    } else {
        print_targets(&results, out)?;
    }
    Ok(if results.targets.iter().all(|target| target.met || target.measured.is_none()) {
        FINE
    } else {
        DIFFERS
    })
}

fn print_targets(results: &Targets, out: &mut Out) -> Result<(), Failed> {
    out.line(&results.layouts.host)?;
    out.line("")?;
    out.line(bench::targets_table(&results.targets))?;
    for skipped in &results.layouts.skipped {
        out.line(format!("not measured: {} on {}: {}", skipped.layout, skipped.machine, skipped.reason))?;
    }
    Ok(())
}

/// Sizes from small to large, as far as the run came.
#[derive(Deserialize, Serialize)]
struct Sizes {
    host: BenchHost,
    arch: &'static str,
    kernel: &'static str,
    scale: Vec<ScaleRow>,
    finished: bool,
}

fn scale(args: &args::Bench, max: u64, out: &mut Out) -> Result<u8, Failed> {
    let matrix = args.machines.matrix("arm64", KernelRules::DEFAULT.name)?.hw(ptelab::HwKind::Plain);
    beside::check_switches(&args.machines, &matrix)?;
    for subject in matrix.subjects() {
        let (rows, finished) = scale_one(&subject, max)?;
        let (arch, kernel) = (subject.arch, subject.kernel);
        let report = Sizes { host: BenchHost::now(), arch, kernel, scale: rows, finished };
        save(args, &report.host, &report)?;
        if args.json {
            out.json(&report)?;
        } else {
            print_sizes(&report, out)?;
        }
        if !finished {
            return Ok(STOPPED);
        }
    }
    Ok(FINE)
}

fn print_sizes(report: &Sizes, out: &mut Out) -> Result<(), Failed> {
    let Sizes { arch, kernel, scale, .. } = report;
    out.heading(format!("{arch}, Linux {kernel}: 4K pages, nanoseconds a page"))?;
    out.line(bench::scale_table(scale).trim_fmt())?;
    Ok(out.line("")?)
}

fn scale_one(subject: &Subject, max: u64) -> Result<(Vec<ScaleRow>, bool), Failed> {
    let sizes = bench::sizes(max);
    let gigabytes: u64 = sizes.iter().map(|size| size.div_ceil(1 << 30)).sum();
    let bar = progress::bar(gigabytes.into(), "GiB");
    let mut rows = Vec::new();
    for size in sizes {
        match bench::scale(&subject.builder, size, &STOP, &|| bar.inc(1)) {
            Ok(Some(row)) => rows.push(row),
            Ok(None) => return Ok((rows, false)),
            Err(Skip(why)) => return Err(Failed::Unusable(format!("{subject}: {why}"))),
        }
    }
    bar.finish_and_clear();
    Ok((rows, true))
}

/// Writes results to the folder that was named.
fn save(args: &args::Bench, host: &BenchHost, results: &impl Serialize) -> Result<(), Failed> {
    let Some(folder) = &args.save else { return Ok(()) };
    let path = folder.join(format!("{}.json", file_name(args, host)));
    write(&path, results).map_err(|error| Failed::Unusable(format!("{}: {error}", path.display())))
}

/// `2026-11-24-linux-6.18-scale`
fn file_name(args: &args::Bench, host: &BenchHost) -> String {
    let words = |text: &str| -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
        text.chars().map(word).collect()
    };
    let cpu = words(host.cpu.as_deref().unwrap_or("unknown-cpu"));
    let what = match args.scale {
        _ if args.targets => "targets",
        Some(_) => "scale",
        None => "layouts",
    };
    format!("{}-{cpu}-{}-{what}", host.date, words(&host.kernel))
}

fn write(path: &Path, results: &impl Serialize) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    std::fs::write(path, text)
}
