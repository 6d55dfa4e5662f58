//! Watching machines call by call, whether a scenario or a log says what they do.

use crate::exec::{self, Watch};
use crate::matrix::Matrix;
use crate::parallel;
use ptelab_machine::{Backend, BuildError, Counters, Pid, Record};
use ptelab_scenario::Scenario;

/// The name of accesses to pages that a log shows beside its calls.
pub const PAGES_USED: &str = "page fault";

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Where it stands in the source, from 1.
    pub line: u64,
    /// The process that made it.
    pub pid: Pid,
    /// The number that the source gives that process.
    pub number: Pid,
    /// Its name.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Where it may have changed mappings, as first addresses and lengths; nothing where that is not known.
    pub ranges: Option<Vec<(u64, u64)>>,
    /// What it came to.
    pub outcome: String,
    /// Whether that is what the source expects.
    pub as_expected: bool,
    /// What it took.
    pub counters: Counters,
    /// What it did, step by step, on a recording machine. In a log, with what the program is taken to do before its next call.
    pub records: Vec<Record>,
}

/// Who is told of every call of one machine.
pub trait Observer: Send {
    /// A call was made; the machine is as it left it.
    fn seen(&mut self, vm: &dyn Backend, seen: Seen<'_>);
}

/// Runs a scenario on every machine of a matrix, each with an observer. Returns the observers, and whether all machines ran to the end.
///
/// # Errors
/// Where a machine cannot be built; then nothing has run.
pub fn scenario<O: Observer>(
    matrix: &Matrix,
    scenario: &Scenario,
    watch: Watch<'_>,
    observer: impl Fn(&dyn Backend) -> O,
) -> Result<(Vec<O>, bool), BuildError> {
    let built: Result<Vec<_>, _> = matrix.builders().iter().map(ptelab_machine::Builder::build).collect();
    let machines: Vec<_> = built?.into_iter().map(|vm| (observer(&*vm), vm)).collect();
    let done: Vec<(O, bool)> = parallel::map(machines, |(mut observer, mut vm)| {
        let finished = exec::run(&mut *vm, scenario, watch, |vm, done| {
            let text = done.line.call.to_string();
            observer.seen(vm, seen(&text, done));
            (watch.tick)(1);
        });
        (observer, finished)
    });
    let finished = done.iter().all(|(_, finished)| *finished);
    Ok((done.into_iter().map(|(observer, _)| observer).collect(), finished))
}

fn seen<'a>(text: &'a str, done: exec::Done<'a>) -> Seen<'a> {
    Seen {
        line: done.line.line.into(),
        pid: done.line.pid.unwrap_or(1),
        number: done.line.pid.unwrap_or(1),
        name: done.line.call.name(),
        text,
        ranges: None,
        outcome: done.outcome.to_string(),
        as_expected: done.as_expected,
        counters: done.counters.unwrap_or_default(),
        records: done.records,
    }
}
