//! Holding a machine against what a real kernel did, however that was recorded.

use crate::golden::{GoldenError, GoldenVma};
use ptelab_machine::{Backend, Call, Outcome, Snapshot};
use ptelab_run::exec;
use ptelab_scenario::{Line, Scenario};
use serde::Serialize;
use std::fmt;

/// Differences that one dump reports.
const MAX_DIFFERENCES: usize = 8;

/// How a machine compares with what was recorded of a real kernel.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Verdict {
    /// Its file.
    pub file: String,
    /// Its port.
    pub arch: String,
    /// Its kernel.
    pub kernel: String,
    /// Dumps that were recorded.
    pub dumps: usize,
    /// Of these equal, word for word.
    pub dumps_equal: usize,
    /// Calls that were recorded.
    pub calls: usize,
    /// Of these with an equal result.
    pub calls_equal: usize,
    /// What differs, for people.
    pub differences: Vec<String>,
    /// Why nothing was compared, where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What else is to be known, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Verdict {
    /// Whether nothing differs.
    pub const fn is_equal(&self) -> bool {
        self.dumps == self.dumps_equal && self.calls == self.calls_equal && self.differences.is_empty()
    }
}

/// The sums of several verdicts.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct VerdictTotals {
    /// File by file.
    pub files: Vec<Verdict>,
    /// Dumps in all.
    pub dumps: usize,
    /// Of these equal.
    pub dumps_equal: usize,
    /// Calls in all.
    pub calls: usize,
    /// Of these equal.
    pub calls_equal: usize,
}

impl VerdictTotals {
    /// Sums verdicts up.
    pub fn new(files: Vec<Verdict>) -> Self {
        let sum = |f: fn(&Verdict) -> usize| files.iter().map(f).sum();
        Self {
            dumps: sum(|v| v.dumps),
            dumps_equal: sum(|v| v.dumps_equal),
            calls: sum(|v| v.calls),
            calls_equal: sum(|v| v.calls_equal),
            files,
        }
    }
}

impl fmt::Display for VerdictTotals {
    /// `N of M dumps equal, R of S calls equal`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dumps, dumps_equal, calls, calls_equal, .. } = self;
        write!(f, "{dumps_equal} of {dumps} dumps equal, {calls_equal} of {calls} calls equal")
    }
}

/// What a real kernel did in a scenario: calls and dumps in the order in which they were made.
pub(crate) trait Recorded {
    /// The texts of the calls that were recorded.
    fn calls(&self) -> Vec<&str>;
    /// How a machine's result differs from that of one, if it does.
    fn differing_call(&self, n: usize, outcome: Outcome) -> Option<String>;
    /// The names of the dumps that were recorded.
    fn dumps(&self) -> Vec<&str>;
    /// How a machine's state differs from one.
    ///
    /// # Errors
    /// Where what was recorded makes no sense.
    fn differing_dump(
        &self,
        n: usize,
        vm: &dyn Backend,
        pid: u32,
        snapshot: &Snapshot,
    ) -> Result<Vec<String>, GoldenError>;
}

/// Runs a scenario on a machine and compares; `verdict` says what is compared.
pub(crate) fn compare(
    recorded: &dyn Recorded,
    vm: &mut dyn Backend,
    scenario: &Scenario,
    verdict: Verdict,
) -> Result<Verdict, GoldenError> {
    let (calls, dumps) = (recorded.calls(), recorded.dumps());
    let verdict = Verdict { dumps: dumps.len(), calls: calls.len(), ..verdict };
    let mut check = Check { recorded, calls, dumps, calls_made: 0, dumps_taken: 0, verdict, error: None };
    check.run(vm, scenario);
    check.error.map_or(Ok(check.verdict), Err)
}

/// A comparison under way.
struct Check<'a> {
    recorded: &'a dyn Recorded,
    calls: Vec<&'a str>,
    dumps: Vec<&'a str>,
    calls_made: usize,
    dumps_taken: usize,
    verdict: Verdict,
    error: Option<GoldenError>,
}

/// Whether the text of a call that was recorded is that of a line.
fn is_call(text: &str, line: &Line) -> bool {
    let recorded = ptelab_scenario::parse(text).ok();
    let recorded = recorded.as_ref().and_then(|recorded| recorded.steps().next());
    recorded.is_some_and(|step| (&step.line.call, step.line.pid) == (&line.call, line.pid))
}

impl Check<'_> {
    fn run(&mut self, vm: &mut dyn Backend, scenario: &Scenario) {
        exec::run(vm, scenario, exec::Watch::nobody(), |vm, done| match &done.line.call {
            Call::Numa { .. } | Call::Page { .. } | Call::Time { .. } => {}
            Call::Dump { name, .. } => {
                let pid = done.line.pid.unwrap_or(1);
                if let Err(error) = self.dump(vm, pid, name, done.snapshot.as_ref()) {
                    self.error.get_or_insert(error);
                }
            }
            _ => self.call(done.line, done.outcome),
        });
        for call in self.calls.iter().skip(self.calls_made) {
            self.verdict.differences.push(format!("{call}: the scenario does not make this call"));
        }
        for name in self.dumps.iter().skip(self.dumps_taken) {
            self.verdict.differences.push(format!("dump {name:?}: the scenario does not take it"));
        }
    }

    fn call(&mut self, line: &Line, outcome: Outcome) {
        let n = self.calls_made;
        self.calls_made += 1;
        let Some(call) = self.calls.get(n) else {
            self.verdict.differences.push(format!("{line} = {outcome}: the file does not have this call"));
            return;
        };
        if !is_call(call, line) {
            self.verdict.differences.push(format!("call {}, {call}: the scenario makes {line} there", n + 1));
            return;
        }
        match self.recorded.differing_call(n, outcome) {
            None => self.verdict.calls_equal += 1,
            Some(how) => self.verdict.differences.push(format!("call {}, {call}: {how}", n + 1)),
        }
    }

    fn dump(
        &mut self,
        vm: &dyn Backend,
        pid: u32,
        name: &str,
        snapshot: Option<&Snapshot>,
    ) -> Result<(), GoldenError> {
        let n = self.dumps_taken;
        if n >= self.dumps.len() {
            self.verdict.differences.push(format!("dump {name:?}: the file does not have it"));
            return Ok(());
        }
        self.dumps_taken += 1;
        let Some(snapshot) = snapshot else {
            self.verdict.differences.push(format!("dump {name:?}: there is no process {pid}"));
            return Ok(());
        };
        let mut found = self.recorded.differing_dump(n, vm, pid, snapshot)?;
        if found.is_empty() {
            self.verdict.dumps_equal += 1;
        }
        let more = found.len().saturating_sub(MAX_DIFFERENCES);
        found.truncate(MAX_DIFFERENCES);
        let place = format!("dump {name:?}");
        self.verdict.differences.extend(found.into_iter().map(|text| format!("{place}: {text}")));
        if more > 0 {
            self.verdict.differences.push(format!("{place}: and {more} more"));
        }
        Ok(())
    }
}

/// VMAs that only one side has.
pub(crate) fn differing_vmas(got: &[GoldenVma], wanted: &[GoldenVma]) -> Vec<String> {
    let extra = got.iter().filter(|vma| !wanted.contains(vma));
    let missing = wanted.iter().filter(|vma| !got.contains(vma));
    extra
        .map(|vma| format!("VMA {vma} is not the kernel's"))
        .chain(missing.map(|vma| format!("the kernel's VMA {vma} is missing")))
        .collect()
}
