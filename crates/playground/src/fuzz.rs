//! Random programs, a few at a time, so that a page can show how far they are and stop.

use crate::machines::{Machines, Refused};
use ptelab::check::BUGS;
use ptelab::fuzz::{Coverage, Plan, Planned as _, Size, program_of, scenario_text, shrink};
use serde::{Deserialize, Serialize};

/// Which programs, and on what.
#[derive(Debug, Deserialize)]
pub(crate) struct Programs {
    machines: Machines,
    /// The name of a bug that is planted, instead of the machines.
    bug: Option<String>,
    seed: u64,
    from: u64,
    cases: u64,
}

/// What came of them.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Programs that ran.
    cases: u64,
    /// The first that broke a check.
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    case: u64,
    check: &'static str,
    machine: String,
    text: String,
    scenario: String,
}

pub(crate) fn fuzz(programs: &Programs) -> Result<Outcome, Refused> {
    let plan = plan(programs)?;
    let mut coverage = Coverage::default();
    for case in programs.from..programs.from.saturating_add(programs.cases) {
        let lines = program_of(programs.seed, case, plan.size());
        if let Err(found) = plan.run(case, &lines, &mut coverage) {
            let short = shrink(&plan, found);
            let found = Found {
                case,
                check: short.violation.check.name(),
                machine: short.machine.clone(),
                text: short.violation.text.clone(),
                scenario: scenario_text(&short, programs.bug.as_deref()),
            };
            return Ok(Outcome { cases: case + 1 - programs.from, found: Some(found) });
        }
    }
    Ok(Outcome { cases: programs.cases, found: None })
}

fn plan(programs: &Programs) -> Result<Plan, Refused> {
    if let Some(name) = &programs.bug {
        let bug = BUGS.iter().find(|bug| bug.name == name);
        let bug = bug.ok_or_else(|| Refused::Other(format!("there is no bug `{name}`")))?;
        return Ok(bug.plan(ptelab::fuzz::Checks::ALL));
    }
    let matrix = programs.machines.matrix()?;
    ptelab::fuzz::one_page_size(&matrix.port_list()).map_err(Refused::Other)?;
    Ok(Plan::new(matrix.port_list(), matrix.kernel_list(), Size::SMALL))
}
