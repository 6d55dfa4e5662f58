//! Replaying a log on many machines.

use crate::maps::MapsReport;
use crate::options::Options;
use crate::player::Player;
use crate::script::Script;
use crate::tally::Tally;
use ptelab_machine::uapi::ByteSize;
use ptelab_machine::{Backend, BuildError, CallError, KernelRules, Snapshot};
use ptelab_measure::cost::Mprotects;
use ptelab_run::exec::Watch;
use ptelab_run::observe::{Observer, Seen};
use ptelab_run::{Matrix, parallel};
use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedCall, LoggedOutcome, ReadError, Reader, Stats};
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// What a log came to on one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// Port.
    pub arch: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Its rules.
    pub rules: &'static KernelRules,
    /// Results and costs.
    pub tally: Tally,
    /// How its VMAs compare with the maps file; nothing without one, or where the log does not show a maps file being opened.
    pub maps: Option<MapsReport>,
    /// The memory that was asked for.
    pub dump: Option<Snapshot>,
}

/// What a log came to.
#[derive(Debug)]
pub struct Replay {
    /// Machine by machine.
    pub machines: Vec<Played>,
    /// What was read.
    pub stats: Stats,
    /// Calls of the log that could not be read, the first ones.
    pub mistakes: Vec<String>,
    /// Whether it was replayed to its end.
    pub finished: bool,
    /// Why it was not replayed on some of the machines.
    pub notes: Vec<String>,
}

impl Replay {
    /// What there is to know of entries that are shown of it: the notes, and what they rest on.
    pub fn provisos(&self) -> Vec<String> {
        let rests_on = self.machines.first().map_or("", |first| first.tally.used.proviso());
        let rests_on = (!rests_on.is_empty()).then(|| format!("what is shown holds{rests_on}"));
        self.notes.iter().cloned().chain(rests_on).collect()
    }
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A machine cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The machines do not take what they are told of huge pages.
    #[error("the machines have no folios of a size that is set: {0}")]
    Thp(CallError),
    /// The scenario cannot be written.
    #[error(transparent)]
    Write(io::Error),
    /// The log is of a machine whose pages are smaller than those of a machine it is to be replayed on.
    #[error(
        "line {line}: a mapping at {addr:#x}, which is not on the edge of a page of {arch} ({page}): the log is of a machine with smaller pages"
    )]
    Pages {
        /// The line.
        line: u64,
        /// Where it says a mapping is.
        addr: u64,
        /// The port.
        arch: &'static str,
        /// The size of its pages.
        page: ByteSize,
    },
    /// The log is of a machine with more addresses than one it is to be replayed on has.
    #[error("line {line}: a mapping at {addr:#x}, where {arch} has no addresses: they end at {end}")]
    Addresses {
        /// The line.
        line: u64,
        /// Where it says a mapping is.
        addr: u64,
        /// The port.
        arch: &'static str,
        /// Where its addresses end.
        end: ByteSize,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Entries that are read before they are replayed.
const CHUNK: usize = 1024;
/// Mistakes of the log that are kept.
const MAX_MISTAKES: usize = 100;

/// Replays a log on every machine of a matrix, in constant memory beside that of the machines, and writes it as a scenario
/// where that is asked for. The watch is told of the lines that have been read.
///
/// # Errors
/// Where a machine cannot be built, or the input is not a log.
pub fn replay<R: BufRead>(
    reader: Reader<R>,
    matrix: &Matrix,
    options: &Options,
    scenario: Option<Box<dyn Write + Send>>,
    watch: Watch<'_>,
) -> Result<Replay, ReplayError> {
    let done = replay_with(reader, matrix, options, scenario, watch, |_| None::<Nobody>)?;
    Ok(done.0)
}

/// Replays a log on every machine of a matrix, each with an observer.
///
/// # Errors
/// Where a machine cannot be built, or the input is not a log.
pub fn replay_observed<R: BufRead, O: Observer>(
    reader: Reader<R>,
    matrix: &Matrix,
    options: &Options,
    watch: Watch<'_>,
    observer: impl Fn(&dyn Backend) -> O,
) -> Result<(Vec<O>, Replay), ReplayError> {
    let (replay, observers) = replay_with(reader, matrix, options, None, watch, |vm| Some(observer(vm)))?;
    Ok((observers, replay))
}

/// Nobody.
struct Nobody;

impl Observer for Nobody {
    fn seen(&mut self, _: &dyn Backend, _: Seen<'_>) {}
}

/// The same, with an observer of each machine.
fn replay_with<R: BufRead, O: Observer>(
    mut reader: Reader<R>,
    matrix: &Matrix,
    options: &Options,
    scenario: Option<Box<dyn Write + Send>>,
    watch: Watch<'_>,
    observer: impl Fn(&dyn Backend) -> Option<O>,
) -> Result<(Replay, Vec<O>), ReplayError> {
    let mut script = scenario.map(Script::new);
    let mut players = Vec::new();
    for builder in matrix.builders() {
        let vm = builder.build()?;
        let observer = observer(&*vm);
        // The first machine writes the scenario.
        players.push(Player::new(vm, options, script.take(), observer).map_err(ReplayError::Thp)?);
    }
    let (mut chunk, mut mistakes, mut lines) = (Vec::new(), Vec::new(), 0);
    let (mut finished, mut notes) = (true, Vec::new());
    loop {
        chunk.clear();
        let more = fill(&mut reader, &mut chunk, &mut mistakes, options.until)?;
        leave_out(&chunk, &mut players, &mut notes)?;
        parallel::map(&mut players, |player| player.entries(&chunk));
        (watch.tick)(reader.stats().lines - lines);
        lines = reader.stats().lines;
        if watch.stopped() {
            finished = false;
        }
        if !more || !finished {
            break;
        }
    }
    notes.extend(players.first().and_then(|player| player.tally.thp.note()));
    let (mut machines, mut observers) = (Vec::new(), Vec::new());
    for mut player in players {
        player.finish();
        if let Some(mut script) = player.script.take() {
            if !finished {
                script.remark("stopped before the end of the log");
            }
            script.finish().map_err(ReplayError::Write)?;
        }
        observers.extend(player.observer.take());
        player.tally.silent.retain(|task| !reader.stats().tasks.contains(task));
        machines.push(played(player));
    }
    Ok((Replay { machines, stats: reader.into_stats(), mistakes, finished, notes }, observers))
}

/// Leaves out the machines that cannot map what the log maps. The first one writes a scenario, which cannot be left off.
fn leave_out<O: Observer>(
    chunk: &[Arc<LogEntry>],
    players: &mut Vec<Player<O>>,
    notes: &mut Vec<String>,
) -> Result<(), ReplayError> {
    let mapped = chunk.iter().filter_map(|entry| match entry.kind {
        LogEvent::Call(LoggedCall { name: "mmap", outcome: LoggedOutcome::Value(addr), .. }) => {
            Some((entry.line, addr))
        }
        _ => None,
    });
    for (line, addr) in mapped {
        let (mut left, mut writes) = (Vec::new(), false);
        players.retain(|player| {
            let why = unfit(&*player.vm, line, addr);
            let stays = why.is_none();
            writes |= !stays && player.script.is_some();
            left.extend(why.map(|error| (player.vm.arch(), error)));
            stays
        });
        if (players.is_empty() || writes)
            && let Some((_, error)) = left.pop()
        {
            return Err(error);
        }
        left.dedup_by_key(|(arch, _)| *arch);
        notes.extend(left.iter().map(|(arch, error)| format!("{arch}: left out: {error}")));
    }
    Ok(())
}

/// Why a machine cannot have a mapping at an address, if it cannot.
fn unfit(vm: &dyn Backend, line: u64, addr: u64) -> Option<ReplayError> {
    let (arch, page, end) = (vm.arch(), vm.page_size(), vm.shape().task_size);
    if !addr.is_multiple_of(page) {
        return Some(ReplayError::Pages { line, addr, arch, page: ByteSize(page) });
    }
    (addr >= end).then_some(ReplayError::Addresses { line, addr, arch, end: ByteSize(end) })
}

/// Reads the next entries; says whether there may be more.
fn fill<R: BufRead>(
    reader: &mut Reader<R>,
    chunk: &mut Vec<Arc<LogEntry>>,
    mistakes: &mut Vec<String>,
    until: Option<u64>,
) -> Result<bool, ReadError> {
    while chunk.len() < CHUNK {
        match reader.next() {
            None => return Ok(false),
            Some(Ok(entry)) if until.is_some_and(|last| entry.end_line > last) => return Ok(false),
            Some(Ok(entry)) => chunk.push(Arc::new(entry)),
            Some(Err(error)) if error.is_recoverable() => {
                if mistakes.len() < MAX_MISTAKES {
                    mistakes.push(error.to_string());
                }
            }
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(true)
}

fn played<O: Observer>(mut player: Player<O>) -> Played {
    Played {
        arch: player.vm.arch(),
        kernel: player.vm.rules().name,
        rules: player.vm.rules(),
        maps: player.maps.take(),
        dump: player.take_dump(),
        tally: player.tally,
    }
}

impl Played {
    /// The machine, as headings name it: `arm64 6.17`.
    pub fn machine(&self) -> String {
        format!("{} {}", self.arch, self.kernel)
    }

    /// Its mprotects; `None` where there is none.
    pub fn mprotects(&self) -> Option<Mprotects<'_>> {
        Mprotects::of(self.arch, self.rules, &self.tally.costs)
    }
}
