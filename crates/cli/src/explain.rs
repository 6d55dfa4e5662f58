//! `ptelab explain`

use crate::args;
use crate::defaults::EXPLAIN;
use crate::exit::{FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::traced::{Run, Source};
use crate::{machines, progress, verify_real};
use ptelab::deciding::Between;
use ptelab::scenario::Scenario;
use ptelab::{Backend, VirtAddr};
use ptelab_report::Explainer;

pub(crate) fn explain(args: &args::Explain, out: &mut Out) -> Result<u8, Failed> {
    let run = Run::new(&args.traced, &EXPLAIN)?;
    let named = args.pid.unwrap_or(1);
    let name = run.name.clone();
    if let Source::Scenario(scenario) = &run.source {
        let chosen = &args.traced.machines;
        let guest = chosen.guest();
        for image in chosen.images() {
            let Some(at) = args.at.or_else(|| args.line.map(|line| call_of(scenario, line))) else {
                let why = format!("{}: an image takes --at or --line", image.display());
                return Err(Failed::Unusable(why));
            };
            out.text(verify_real::entry(&image, &guest, scenario, (named, args.va), at)?)?;
            out.line("")?;
        }
    }
    let pid = run.emulated_pid(named, &args.traced)?;
    // The lines of a log come once each.
    let (at, log_line) = match (&run.source, args.line) {
        (_, None) => (args.at.unwrap_or(u64::MAX), None),
        (Source::Scenario(scenario), Some(line)) => (call_of(scenario, line), None),
        (Source::Log(_), Some(line)) => (u64::MAX, Some(line)),
    };
    let explainer = |vm: &dyn Backend| {
        let explainer = Explainer::new(vm, pid, VirtAddr::new(args.va), at);
        match log_line {
            Some(line) => explainer.up_to_line(line),
            None => explainer,
        }
    };
    let pairs = Between::neighbours(&run.matrix.subjects());
    let again: Vec<_> = pairs
        .iter()
        .map(|(.., between)| run.on(between.machines(), &args.traced))
        .collect::<Result<_, _>>()?;
    let (subjects, switches) = (run.matrix.machines(), run.matrix.switches().to_vec());
    let (mut explainers, mut finished) = run.observe(at, explainer)?;
    // A log may have left some out.
    let pairs = if explainers.len() == subjects { pairs } else { Vec::new() };
    for ((left, right, between), again) in pairs.into_iter().zip(again) {
        let (before, rest) = explainers.split_at_mut(right);
        if finished && before[left].differs(&rest[0]) {
            let (played, to_the_end) = again.observe(at, explainer)?;
            finished = to_the_end;
            Explainer::name_rules(&mut before[left], &mut rest[0], &between, &played);
        }
    }
    let calls = explainers.iter().map(Explainer::calls).min().unwrap_or(0);
    if let Some(at) = args.at.filter(|at| finished && *at > calls) {
        let why = format!("{name}: there is no call {at}: the last is {calls}; --line takes lines");
        return Err(Failed::Unusable(why));
    }
    let last = explainers.iter().map(Explainer::last_line).min().unwrap_or(0);
    if let Some(line) = args.line.filter(|line| finished && *line > last) {
        let why = format!("{name}: there is no call in line {line} or after it: the last is in line {last}");
        return Err(Failed::Unusable(why));
    }
    if finished && !explainers.iter().any(Explainer::has_calls) {
        let by = args.line.map_or_else(String::new, |line| format!(" at or before line {line}"));
        return Err(Failed::Unusable(format!("{name}: there is no call{by}")));
    }
    if finished && !explainers.iter().any(Explainer::has_process) {
        return Err(Failed::Unusable(format!("{name}: there is no process {named} by then")));
    }
    let other = explainers.iter().find_map(Explainer::other_caller).filter(|_| args.pid.is_none());
    if let Some(other) = other {
        progress::warn(&format!("the last call is of process {other}; --pid {other} tells of its entry"));
    }
    machines::print_switches(&switches, out)?;
    for (i, explainer) in explainers.iter().enumerate() {
        if i > 0 {
            out.line("")?;
        }
        out.text(explainer.text())?;
    }
    Ok(if finished { FINE } else { STOPPED })
}

/// The number of the last call that a line makes, or that of the last before it that makes one.
fn call_of(scenario: &Scenario, line: u64) -> u64 {
    u64::try_from(scenario.steps_to_line(line)).unwrap_or(u64::MAX)
}
