//! Tracing what is in a file: a scenario or a log.

use crate::args::Traced;
use crate::defaults::Defaults;
use crate::output::Failed;
use crate::progress::{self, STOP};
use crate::{input, logs, machines};
use indicatif::ProgressBar;
use ptelab::exec::{self, Watch};
use ptelab::observe::{self, Observer};
use ptelab::replay::{self, Options, Replay, ReplayError};
use ptelab::scenario::Scenario;
use ptelab::scenario::strace::Reader;
use ptelab::{Backend, HwKind, Matrix};
use ptelab_report::Trace;
use std::io::{BufRead, Cursor};
use std::path::Path;
use std::sync::Arc;

/// What a file holds.
pub(crate) enum Source {
    /// A scenario.
    Scenario(Scenario),
    /// A log, which is read as it is replayed.
    Log(Box<dyn BufRead + Send>),
}

/// A file, and the machines that it is run on.
pub(crate) struct Run {
    /// The file's name.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) source: Source,
    /// The machines.
    pub(crate) matrix: Matrix,
    /// How a log is replayed.
    pub(crate) options: Options,
    /// What was read from standard input, which can be read only once.
    stdin: Option<Arc<[u8]>>,
    /// Whether what is wrong with the file was said before.
    again: bool,
}

impl Run {
    /// Reads the file of the options; these defaults are for where they say nothing.
    pub(crate) fn new(args: &Traced, defaults: &Defaults) -> Result<Self, Failed> {
        let matrix = crate::beside::seen_within(&args.machines, defaults, args.memory)?;
        let name = args.file.display().to_string();
        let stdin = if args.file == Path::new("-") { Some(input::read(&args.file)?.into()) } else { None };
        let source = if is_log(args, stdin.as_deref()) {
            machines::note_log_sizes(&matrix, &args.thp);
            Source::Log(open_log(args, stdin.clone())?)
        } else {
            let scenario = match &stdin {
                Some(bytes) => input::scenario_in(&name, bytes)?,
                None => input::scenario(&args.file)?,
            };
            if !args.thp.is_empty() || args.fault_in.is_some() {
                let why = "--thp and --fault-in are for logs; a scenario says it by `thp(...)` and accesses";
                return Err(Failed::Unusable(format!("{name}: {why}")));
            }
            machines::note_sizes(&matrix, &scenario);
            Source::Scenario(scenario)
        };
        let options = Options {
            thp: args.thp.clone(),
            fault_in: args.fault_in.unwrap_or_default(),
            ..Options::default()
        };
        Ok(Self { name, source, matrix, options, stdin, again: false })
    }

    /// The same file on other machines.
    pub(crate) fn on(&self, matrix: Matrix, args: &Traced) -> Result<Self, Failed> {
        let source = match &self.source {
            Source::Scenario(scenario) => Source::Scenario(scenario.clone()),
            Source::Log(_) => Source::Log(open_log(args, self.stdin.clone())?),
        };
        let Self { name, options, stdin, .. } = self;
        let (name, options, stdin) = (name.clone(), options.clone(), stdin.clone());
        Ok(Self { name, source, matrix, options, stdin, again: true })
    }

    /// The emulated machine's number of a process that a log gives this number; the same number where it gives it to none.
    pub(crate) fn emulated_pid(&self, pid: u32, args: &Traced) -> Result<u32, Failed> {
        if pid == 1 {
            return Ok(pid);
        }
        let again = self.on(self.matrix.clone().hw(HwKind::Counting), args)?;
        let Self { source: Source::Log(log), name, options, matrix, .. } = again else {
            return Ok(pid);
        };
        let watch = Watch { stop: &STOP, tick: &|_| () };
        let done = replay::replay(Reader::new(log), &matrix, &options, None, watch);
        let done = done.map_err(|error| not_replayed(&name, error))?;
        let mut processes = done.machines.iter().flat_map(|played| &played.tally.processes);
        Ok(processes.find(|process| process.pid == Some(pid)).map_or(pid, |process| process.emulated))
    }

    /// Runs it on machines that record every step, each with an observer for the first `calls` calls. Returns the observers, and whether it ran to its end.
    pub(crate) fn observe<O: Observer>(
        self,
        calls: u64,
        observer: impl Fn(&dyn Backend) -> O,
    ) -> Result<(Vec<O>, bool), Failed> {
        progress::stop_on_ctrl_c();
        let Self { name, source, matrix, options, again, .. } = self;
        let (matrix, watch) = (matrix.hw(HwKind::Recording), Watch { stop: &STOP, tick: &|_| () });
        match source {
            Source::Scenario(scenario) => {
                if !ptelab_report::can_be_recorded_up_to(&scenario, calls) {
                    let text = "the calls up to that one name more than 4G of memory together, too much to record every step";
                    return Err(Failed::Unusable(format!("{name}: {text}")));
                }
                Ok(observe::scenario(&matrix, &scenario, watch, observer)?)
            }
            Source::Log(log) => {
                let done = replay::replay_observed(Reader::new(log), &matrix, &options, watch, observer);
                let (observers, replay) = done.map_err(|error| not_replayed(&name, error))?;
                if !again {
                    warn_of(&name, &replay);
                }
                Ok((observers, replay.finished))
            }
        }
    }

    /// Runs it and traces every machine, and names the rules that make them differ.
    pub(crate) fn trace(self, args: &Traced) -> Result<Trace, Failed> {
        let kept = self.on(self.matrix.clone(), args)?;
        let mut trace = self.trace_once()?;
        if trace.finished {
            let again = |machines| kept.on(machines, args)?.trace_once();
            ptelab_report::name_rules(&mut trace, &kept.matrix, again)?;
        }
        Ok(trace)
    }

    fn trace_once(self) -> Result<Trace, Failed> {
        progress::stop_on_ctrl_c();
        let Self { name, source, matrix, options, again, .. } = self;
        let steps = match &source {
            Source::Scenario(scenario) => {
                Some(exec::steps(scenario).saturating_mul(matrix.machines() as u128))
            }
            Source::Log(_) => None,
        };
        let bar = match steps {
            _ if again => ProgressBar::hidden(),
            Some(steps) => progress::bar(steps, "steps"),
            None => progress::spinner("lines"),
        };
        let watch = Watch { stop: &STOP, tick: &|n| bar.inc(n) };
        let trace = match source {
            Source::Scenario(scenario) => ptelab_report::trace_scenario(&name, &scenario, matrix, watch)?,
            Source::Log(log) => {
                let done = ptelab_report::trace_log(&name, Reader::new(log), matrix, &options, watch);
                let (trace, replay) = done.map_err(|error| not_replayed(&name, error))?;
                if !again {
                    warn_of(&name, &replay);
                }
                trace
            }
        };
        bar.finish_and_clear();
        Ok(trace)
    }
}

/// `12 calls`, with a word where the run was stopped.
pub(crate) fn counted(trace: &Trace) -> String {
    format!("{}{}", trace.counted(), if trace.finished { "" } else { " (stopped)" })
}

/// Says which machines a log was not replayed on, and which of its calls could not be read.
fn warn_of(name: &str, replay: &Replay) {
    for text in replay.provisos().iter().chain(&replay.mistakes) {
        progress::warn(&format!("{name}: {text}"));
    }
}

fn not_replayed(name: &str, error: ReplayError) -> Failed {
    match error {
        ReplayError::Read(error) => Failed::Unusable(format!("{name}: {error}")),
        other => Failed::Unusable(other.to_string()),
    }
}

/// Whether a file is a log: what the options say, or what standard input begins with, or the file's name.
fn is_log(args: &Traced, stdin: Option<&[u8]>) -> bool {
    match (args.input.as_deref(), stdin) {
        (Some(kind), _) => kind == "log",
        (None, Some(bytes)) => logs::is_log(bytes),
        (None, None) => args.file.extension().is_none_or(|extension| extension != "scn"),
    }
}

fn open_log(args: &Traced, stdin: Option<Arc<[u8]>>) -> Result<Box<dyn BufRead + Send>, Failed> {
    match stdin {
        Some(bytes) => logs::of_reader(&args.file, Box::new(Cursor::new(bytes))),
        None => logs::open(&args.file),
    }
}
