//! `ptelab explain`

use crate::args;
use crate::exit::{FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::traced::{Run, Source};
use crate::verify_real;
use ptelab::{KernelRules, VirtAddr};
use ptelab_report::Explainer;

pub(crate) fn explain(args: &args::Explain, out: &mut Out) -> Result<u8, Failed> {
    let run = Run::new(&args.traced, "arm64", KernelRules::DEFAULT.name)?;
    let name = run.name.clone();
    if let Source::Scenario(scenario) = &run.source {
        let machines = &args.traced.machines;
        let guest = args::Guest { port: machines.port(), guest: None };
        for image in machines.images() {
            out.text(verify_real::entry(&image, &guest, scenario, (args.pid, args.va), args.at)?)?;
            out.line("")?;
        }
    }
    let (explainers, finished) =
        run.observe(args.at, |vm| Explainer::new(vm, args.pid, VirtAddr::new(args.va), args.at))?;
    let calls = explainers.iter().map(Explainer::calls).min().unwrap_or(0);
    if finished && args.at > calls {
        return Err(Failed::Unusable(format!("{name}: there is no call {}: the last is {calls}", args.at)));
    }
    for (i, explainer) in explainers.iter().enumerate() {
        if i > 0 {
            out.line("")?;
        }
        out.text(explainer.text())?;
    }
    Ok(if finished { FINE } else { STOPPED })
}
