//! Cost files: what the mprotects of a scenario took on a real kernel.

use super::calls::{Alike, Calls};
use ptelab_machine::{BuildError, Builder, Counters, HwKind, KernelRules};
use ptelab_run::exec::Watch;
use ptelab_scenario::{Diagnostics, Scenario};
use serde::{Deserialize, Serialize};

/// One workload on one kernel.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct CostFile {
    /// Name of the workload.
    pub workload: String,
    /// Port.
    pub arch: String,
    /// Kernel release: `6.16.12`.
    pub kernel: String,
    /// The lines that ran.
    pub scenario: Vec<String>,
    /// What its timed calls took, line by line.
    pub instructions: Vec<Instructions>,
}

/// What one line of the timed part took.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Instructions {
    /// The line.
    pub call: String,
    /// Instructions of the cheapest of its calls.
    pub min: u64,
}

/// Why a cost file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// It is not JSON, or not of this shape.
    #[error("not a cost file: {0}")]
    Json(#[from] serde_json::Error),
    /// Its scenario has mistakes.
    #[error("its scenario does not parse: {0}")]
    Scenario(#[from] Diagnostics),
    /// No rules are known for its kernel.
    #[error("no rules for kernel {0:?}")]
    Kernel(String),
    /// No machine of its kind can be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its measurements are not those of its calls.
    #[error("measurement {number}: {found}, but {wanted}")]
    Measurement {
        /// Which one, from 1.
        number: usize,
        /// What the file has.
        found: String,
        /// What the scenario has.
        wanted: String,
    },
    /// It measures nothing.
    #[error("it has no measurement")]
    Empty,
}

/// One line of a cost file: what its calls count here, and what they took there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The line.
    pub call: String,
    /// What the calls of that line count, each kind once.
    pub counters: Vec<Counters>,
    /// Instructions of the cheapest of them on the real kernel.
    pub measured: u64,
}

/// A cost file that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Name of the workload.
    pub workload: String,
    /// Port.
    pub arch: String,
    /// Kernel, by the name of its rules.
    pub kernel: &'static str,
    /// Line by line.
    pub samples: Vec<Sample>,
}

impl CostFile {
    /// Reads a cost file.
    ///
    /// # Errors
    /// With line and column, where it is not of the shape.
    pub fn parse(text: &[u8]) -> Result<Self, CostError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// Its scenario.
    ///
    /// # Errors
    /// Where it has mistakes.
    pub fn scenario(&self) -> Result<Scenario, CostError> {
        Ok(ptelab_scenario::parse(&self.scenario.join("\n"))?)
    }

    /// Its kernel's rules.
    ///
    /// # Errors
    /// Where it is none that is known.
    pub fn rules(&self) -> Result<&'static KernelRules, CostError> {
        KernelRules::by_name(&self.kernel).ok_or_else(|| CostError::Kernel(self.kernel.clone()))
    }

    /// Runs the file's scenario on a machine of its kind and sets what its timed calls count beside what they took.
    ///
    /// # Errors
    /// Where the file is not usable.
    pub fn measure(&self) -> Result<Measured, CostError> {
        let (rules, scenario) = (self.rules()?, self.scenario()?);
        let mut vm = Builder::new(&self.arch).kernel(rules).hw(HwKind::Counting).build()?;
        let calls = Calls::of(&mut *vm, &scenario, Watch::nobody());
        Ok(Measured {
            workload: self.workload.clone(),
            arch: self.arch.clone(),
            kernel: rules.name,
            samples: self.samples(&calls)?,
        })
    }

    fn samples(&self, calls: &Calls) -> Result<Vec<Sample>, CostError> {
        if self.instructions.is_empty() {
            return Err(CostError::Empty);
        }
        let mut lines: Vec<Vec<&Alike>> = Vec::new();
        for alike in calls.alike.iter().filter(|alike| alike.timed) {
            match lines.iter_mut().find(|line| line[0].line == alike.line) {
                Some(line) => line.push(alike),
                None => lines.push(vec![alike]),
            }
        }
        let sample = |number: usize| {
            let (taken, line) = (self.instructions.get(number), lines.get(number));
            match (taken, line) {
                (Some(taken), Some(line)) if taken.call == line[0].text && taken.min > 0 => Ok(Sample {
                    call: taken.call.clone(),
                    counters: line.iter().map(|alike| alike.counters).collect(),
                    measured: taken.min,
                }),
                _ => Err(CostError::Measurement {
                    number: number + 1,
                    found: taken.map_or("the file ends".to_owned(), |t| format!("{} took {}", t.call, t.min)),
                    wanted: line.map_or("no more lines are timed".to_owned(), |line| {
                        format!("{} is timed, and takes 1 or more", line[0].text)
                    }),
                }),
            }
        };
        (0..lines.len().max(self.instructions.len())).map(sample).collect()
    }
}
