//! `ptelab verify --host`

use crate::output::{Failed, Out};
use crate::progress::{self, STOP};
use crate::{DIFFERS, FINE, STOPPED, UNUSABLE, args, input, verify};
use ptelab::Verdict;
use ptelab::exec::Watch;
use ptelab::json::Tally;
use ptelab::real::host::{Host, HostFacts};
use ptelab::real::{Helpers, VerifyError};
use serde::Serialize;
use std::io;

impl From<VerifyError> for Failed {
    fn from(error: VerifyError) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// What a hidden command came to.
pub(crate) fn helper(done: io::Result<()>) -> Result<u8, Failed> {
    match done {
        Ok(()) => Ok(FINE),
        Err(error) => Err(Failed::Unusable(error.to_string())),
    }
}

/// Verdicts on the running kernel.
#[derive(Serialize)]
struct OnHost<'a> {
    host: &'a HostFacts,
    #[serde(flatten)]
    tally: Tally,
    finished: bool,
}

pub(crate) fn host(args: &args::Verify, out: &mut Out) -> Result<u8, Failed> {
    let rules = args.kernel.as_deref().map(ptelab::kernel_by_name).transpose()?;
    let scenarios: Vec<_> =
        args.files.iter().map(|path| input::scenario_of(path)).collect::<Result<_, _>>()?;
    progress::stop_on_ctrl_c();
    let program = std::env::current_exe()?;
    let helpers = Helpers { program, play: &["host-play"], keep: &["host-keep"] };
    let mut host = Host::new(helpers, rules)?;
    if !args.json {
        print_facts(host.facts(), out)?;
    }
    let mut verdicts = Vec::new();
    for (path, scenario) in args.files.iter().zip(&scenarios) {
        let watch = Watch { stop: &STOP, tick: &|_| () };
        let Some(verdict) = host.verify(&path.display().to_string(), scenario, watch)? else { break };
        if !args.json {
            verify::print(&verdict, args.quiet, out)?;
            out.flush()?;
        }
        verdicts.push(verdict);
    }
    let finished = verdicts.len() == scenarios.len();
    let tally = Tally::new(verdicts);
    let equal = tally.files.iter().all(Verdict::is_equal);
    if args.json {
        out.json(&OnHost { host: host.facts(), tally, finished })?;
    } else {
        let skipped = tally.files.iter().filter(|verdict| verdict.skipped.is_some()).count();
        out.line(format!("{tally}, {skipped} of {} files skipped", tally.files.len()))?;
        if !finished {
            out.line("stopped")?;
        }
    }
    Ok(match (finished, equal) {
        (false, _) => STOPPED,
        (true, false) => DIFFERS,
        (true, true) => FINE,
    })
}

fn print_facts(facts: &HostFacts, out: &mut Out) -> Result<(), Failed> {
    let HostFacts { kernel, arch, rules, left_out } = facts;
    out.heading(format!("Linux {kernel} on {arch}, held against the rules of {}", rules.join(" or ")))?;
    for what in left_out {
        out.line(format!("  not compared: {what}"))?;
    }
    Ok(())
}
