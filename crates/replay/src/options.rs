//! How a log is replayed.

use crate::maps::MapsLine;
use ptelab_machine::{ThpKey, ThpMode};

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
