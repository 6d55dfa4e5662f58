//! `ptelab cost`

use crate::args;
use crate::defaults::COST;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::{beside, cost_real, input, machines, progress};
use ptelab::cost::{self, CostCheck, CostFile, Measured, Models, Prediction};
use ptelab::exec::{self, Watch};
use ptelab::scenario::Scenario;
use ptelab::{Builder, HwKind, Matrix, parallel};
use std::path::Path;

pub(crate) fn cost(args: &args::Cost, out: &mut Out) -> Result<u8, Failed> {
    if args.files.is_empty() && args.machines.images().is_empty() {
        return Err(Failed::Unusable("no FILE: a scenario, or a cost file".to_owned()));
    }
    if args.calibrate {
        out.text(cost::calibrate(&measured(args)?.iter().collect::<Vec<_>>()).to_toml())?;
        return Ok(FINE);
    }
    if args.check {
        return check(args, out);
    }
    let images = args.machines.images();
    if !images.is_empty() {
        if !args.machines.images_only() {
            let why = "images are measured, other kernels predicted: one kind at a time";
            return Err(Failed::Unusable(why.to_owned()));
        }
        beside::check_switches(&args.machines, &Matrix::none())?;
        return cost_real::cost(args, &images, out);
    }
    let [file] = args.files.as_slice() else {
        return Err(Failed::Unusable("one FILE at a time, except with --check and --calibrate".to_owned()));
    };
    predict(file, args, out)
}

fn check(args: &args::Cost, out: &mut Out) -> Result<u8, Failed> {
    let check = CostCheck::new(Models::built_in(), &measured(args)?);
    if args.json {
        out.json(&check.to_json())?;
    } else {
        out.text(check.to_text())?;
    }
    Ok(if check.passed() { FINE } else { DIFFERS })
}

/// The cost files, run; or what is wrong with all those that cannot be used.
fn measured(args: &args::Cost) -> Result<Vec<Measured>, Failed> {
    let read: Vec<Result<Measured, String>> = parallel::map(&args.files, |path| measure(path));
    let (files, errors): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    if !errors.is_empty() {
        let errors: Vec<String> = errors.into_iter().filter_map(Result::err).collect();
        return Err(Failed::all(&errors));
    }
    Ok(files.into_iter().flatten().collect())
}

fn measure(path: &Path) -> Result<Measured, String> {
    let bytes = input::read(path).map_err(Failed::text)?;
    let file = CostFile::parse(&bytes).and_then(|file| file.measure());
    file.map_err(|error| format!("{}: {error}", path.display()))
}

/// A scenario, and the port and kernel that it goes with.
fn scenario_of(path: &Path) -> Result<(Scenario, String, String), Failed> {
    let bytes = input::read(path)?;
    let name = path.display().to_string();
    if bytes.trim_ascii_start().starts_with(b"{") {
        let unusable = |error| Failed::Unusable(format!("{name}: {error}"));
        let file = CostFile::parse(&bytes).map_err(unusable)?;
        let (scenario, rules) = (file.scenario().map_err(unusable)?, file.rules().map_err(unusable)?);
        return Ok((scenario, file.arch, rules.name.to_owned()));
    }
    Ok((input::scenario_in(&name, &bytes)?, COST.ports.to_owned(), COST.kernels()))
}

fn predict(path: &Path, args: &args::Cost, out: &mut Out) -> Result<u8, Failed> {
    let (scenario, arch, kernel) = scenario_of(path)?;
    let matrix = args.machines.matrix(&arch, &kernel)?.hw(HwKind::Counting);
    beside::check_switches(&args.machines, &matrix)?;
    machines::note_sizes(&matrix, &scenario);
    let mut machines = matrix.builders().iter().map(Builder::build).collect::<Result<Vec<_>, _>>()?;
    progress::stop_on_ctrl_c();
    let bar = progress::bar(exec::steps(&scenario).saturating_mul(machines.len() as u128), "steps");
    let watch = Watch { stop: &progress::STOP, tick: &|n| bar.inc(n) };
    let done = parallel::map(&mut machines, |vm| Prediction::of(&mut **vm, &scenario, watch));
    bar.finish_and_clear();
    let done: Result<Vec<Prediction>, _> = done.into_iter().collect();
    let predictions = done.map_err(|error| Failed::Unusable(error.to_string()))?;
    if args.json {
        json(&predictions, out)?;
    } else {
        for prediction in &predictions {
            out.text(prediction.to_text())?;
        }
        out.line(cost::LIMITS)?;
    }
    let finished = predictions.iter().all(|prediction| prediction.calls.finished);
    Ok(if finished { FINE } else { STOPPED })
}

/// One machine by itself; several in a list.
fn json(predictions: &[Prediction], out: &mut Out) -> Result<(), Failed> {
    match predictions {
        [one] => out.json(&one.to_json()),
        many => {
            let machines: Vec<_> = many.iter().map(Prediction::to_json).collect();
            out.json(&serde_json::json!({ "machines": machines }))
        }
    }
}
