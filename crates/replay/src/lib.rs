//! Logs of real programs, replayed: the log's results are the judge.
//!
//! Every call of a strace log is made again, on every chosen machine, with what the log says the kernel decided: where
//! mappings went, where the heap is, who the children are. It must then return what the log says it returned.

mod advice;
mod call;
mod cuts;
mod effects;
mod first_use;
mod life;
mod maps;
mod memory;
mod options;
mod parts;
mod pkeys;
mod player;
mod reading;
mod reads;
mod refused;
mod replay;
mod script;
mod shm;
mod show;
mod sites;
mod smaps;
mod tally;
mod tasks;
mod verdict;
mod words;

pub use cuts::{Cuts, CutsByKind, Cutter};
pub use first_use::{FirstUse, FirstUses, Interval, PagesSeen};
pub use maps::{MapsError, MapsLine, MapsReport, parse_maps};
pub use options::{FaultIn, Options, Used};
pub use replay::{Played, Replay, ReplayError, replay, replay_observed};
pub use show::{json, text};
pub use sites::{Site, Sites};
pub use smaps::{SmapsArea, parse_pagemap, parse_smaps};
pub use tally::{AdoptedRange, DearCall, LogDifference, ProcessReport, Tally, work};
