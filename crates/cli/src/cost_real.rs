//! `ptelab cost --kernel IMAGE`

use crate::args;
use crate::exit::{FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{input, verify_real};
use ptelab::exec::Watch;
use ptelab::real::cost::{Counted, SIZE, WORKLOADS};
use ptelab::real::qemu::Image;
use ptelab::scenario::{self, Scenario};
use serde::Serialize;
use std::path::PathBuf;

/// Runs of a workload until two agree.
const TRIES: usize = 4;

/// What one workload took on one image.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) workload: String,
    pub(crate) image: String,
    pub(crate) arch: &'static str,
    pub(crate) instructions: Vec<Counted>,
}

/// The workloads that kernels are compared by, with their names.
pub(crate) fn workloads() -> Result<Vec<(String, Scenario)>, Failed> {
    let parse = |text: &str| scenario::parse(text).map_err(|error| Failed::Unusable(error.to_string()));
    WORKLOADS.iter().map(|workload| Ok((workload.name.to_owned(), parse(&workload.text())?))).collect()
}

/// What workloads took on an image; fewer where it was stopped. Each runs until two runs say the same, and the least of each call
/// counts.
pub(crate) fn measure(
    image: &Image,
    name: &str,
    workloads: &[(String, Scenario)],
    done: &dyn Fn(),
) -> Result<Vec<Measured>, Failed> {
    let image = image.clone().icount();
    let watch = Watch { stop: &STOP, tick: &|_| () };
    let mut player = image.player()?;
    let mut all = Vec::new();
    for (workload, scenario) in workloads {
        let mut best: Option<Vec<Counted>> = None;
        for _ in 0..TRIES {
            let Some(new) = player.measure(scenario, watch)? else { break };
            let least = best.as_ref().map_or_else(|| new.clone(), |best| least(best, &new));
            let stable = best.as_ref().is_some_and(|best| agree(best, &least));
            best = Some(least);
            if stable {
                break;
            }
        }
        let Some(instructions) = best else { return Ok(all) };
        let (workload, image_name) = (workload.clone(), name.to_owned());
        all.push(Measured { workload, image: image_name, arch: image.port(), instructions });
        if progress::stopped() {
            return Ok(all);
        }
        done();
    }
    Ok(all)
}

fn least(a: &[Counted], b: &[Counted]) -> Vec<Counted> {
    let both = a.iter().zip(b);
    both.map(|(a, b)| Counted { min: a.min.min(b.min), calls: a.calls + b.calls, ..a.clone() }).collect()
}

/// Within one part in two hundred.
fn agree(a: &[Counted], b: &[Counted]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.min.abs_diff(b.min) * 200 <= a.min)
}

pub(crate) fn cost(args: &args::Cost, images: &[PathBuf], out: &mut Out) -> Result<u8, Failed> {
    progress::stop_on_ctrl_c();
    let built_in = args.files.is_empty();
    let scenarios = if built_in { workloads()? } else { input::named_scenarios_of(&args.files)? };
    let mut all = Vec::new();
    let workloads = (images.len() * scenarios.len()) as u128;
    let bar = progress::bar(workloads, "workloads");
    for path in images {
        progress::stage(format!("counting the instructions that calls take on {}", path.display()));
        let guest = args.machines.guest();
        all.extend(measure(
            &verify_real::image(path, &guest)?,
            &path.display().to_string(),
            &scenarios,
            &|| bar.inc(1),
        )?);
    }
    bar.finish_and_clear();
    if args.json {
        out.json(&all)?;
    } else {
        for measured in &all {
            print(measured, built_in, out)?;
        }
        out.line(LIMITS)?;
        if progress::stopped() {
            out.line("stopped")?;
        }
    }
    Ok(if progress::stopped() { STOPPED } else { FINE })
}

/// What the numbers are.
pub(crate) const LIMITS: &str = "Instructions under QEMU's icount, of the cheapest call, minus the cost of a call that does nothing. \
    Neither caches nor barriers count.";

fn print(measured: &Measured, scaled: bool, out: &mut Out) -> Result<(), Failed> {
    out.heading(format!("{}, {}, {}", measured.workload, measured.arch, measured.image))?;
    for Counted { call, min, calls } in &measured.instructions {
        let scale = (1 << 30) / SIZE;
        let note = if scaled { format!(", {} scaled to 1G", grouped(min * scale)) } else { String::new() };
        out.line(format!("  {:>14}  {call}  (least of {calls}{note})", grouped(*min)))?;
    }
    Ok(())
}

/// `1234567` as 1,234,567
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
