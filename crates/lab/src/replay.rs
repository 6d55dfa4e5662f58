//! Logs of real programs, replayed: the log's results are the judge.
//!
//! Every call of a strace log is made again, on every chosen machine, with what the log says the kernel decided: where
//! mappings went, where the heap is, who the children are. It must then return what the log says it returned.

mod maps;
mod memory;
mod player;
mod script;
mod show;
mod tally;
mod tasks;

pub use maps::{MapsError, MapsLine, MapsReport, parse_maps};
pub use show::{json, text};
pub use tally::{AdoptedRange, DearCall, LogDifference, ProcessReport, Tally, work};

use crate::cost::Mprotects;
use crate::exec::Watch;
use crate::matrix::Matrix;
use crate::observe::{Observer, Seen};
use crate::parallel;
use player::Player;
use ptelab_machine::{Backend, BuildError, CallError, KernelRules, Snapshot, ThpKey, ThpMode};
use ptelab_scenario::strace::{Entry, ReadError, Reader, Stats};
use script::Script;
use std::io::{self, BufRead, Write};

/// Which pages a program uses of its memory: a log does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultIn {
    /// None.
    None,
    /// Those of writable memory, once it is mapped or made writable.
    #[default]
    Writable,
    /// Those of readable memory as well.
    All,
}

/// How a log is replayed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the machines allow of huge pages.
    pub thp: Vec<(ThpKey, ThpMode)>,
    /// Which pages are used.
    pub fault_in: FaultIn,
    /// The last line that is replayed.
    pub until: Option<u64>,
    /// Memory to show at the end: of which process (the first where none is named), first address, bytes.
    pub dump: Option<(Option<u32>, u64, u64)>,
    /// What the program's maps file held, to compare with.
    pub maps: Option<Vec<MapsLine>>,
}

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
    #[error("the scenario: {0}")]
    Write(io::Error),
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
/// Where a machine cannot be had, or the input is no log.
pub fn replay<R: BufRead>(
    reader: Reader<R>,
    matrix: &Matrix,
    options: &Options,
    scenario: Option<Box<dyn Write + Send>>,
    watch: Watch<'_>,
) -> Result<Replay, ReplayError> {
    let done = replay_observed(reader, matrix, options, scenario, watch, |_| None::<Nobody>)?;
    Ok(done.0)
}

/// Nobody.
struct Nobody;

impl Observer for Nobody {
    fn seen(&mut self, _: &dyn Backend, _: Seen<'_>) {}
}

/// The same, with an observer of each machine.
pub(crate) fn replay_observed<R: BufRead, O: Observer>(
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
    let mut finished = true;
    loop {
        chunk.clear();
        let more = fill(&mut reader, &mut chunk, &mut mistakes, options.until)?;
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
    let (mut machines, mut observers) = (Vec::new(), Vec::new());
    for mut player in players {
        player.finish();
        if let Some(script) = player.script.take() {
            script.finish().map_err(ReplayError::Write)?;
        }
        observers.extend(player.observer.take());
        machines.push(played(player));
    }
    Ok((Replay { machines, stats: reader.into_stats(), mistakes, finished }, observers))
}

/// Reads the next entries; says whether there may be more.
fn fill<R: BufRead>(
    reader: &mut Reader<R>,
    chunk: &mut Vec<Entry>,
    mistakes: &mut Vec<String>,
    until: Option<u64>,
) -> Result<bool, ReadError> {
    while chunk.len() < CHUNK {
        match reader.next() {
            None => return Ok(false),
            Some(Ok(entry)) if until.is_some_and(|last| entry.end_line > last) => return Ok(false),
            Some(Ok(entry)) => chunk.push(entry),
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
