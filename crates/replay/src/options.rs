//! How a log is replayed.

use crate::maps::MapsLine;
use crate::smaps::SmapsArea;
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

/// How it is known which pages were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// It is assumed.
    Assumed(FaultIn),
    /// A saved smaps says how many of each mapping; the rest is assumed.
    Smaps(FaultIn),
    /// A saved pagemap says which of all pages, as it was at one time.
    Pagemap,
    /// Looks at the process found them, and each was used as early as that allows.
    Seen,
    /// The log says it.
    Logged,
}

impl Default for Used {
    fn default() -> Self {
        Self::Assumed(FaultIn::default())
    }
}

impl Used {
    /// What figures rest on that follow from which pages were used, to be put behind them; nothing where it was seen.
    pub const fn proviso(self) -> &'static str {
        match self {
            Self::Assumed(FaultIn::Writable) => ", if all writable memory was used",
            Self::Assumed(FaultIn::All) => ", if all readable memory was used",
            Self::Assumed(FaultIn::None) => ", if no memory was used but what calls fill",
            Self::Smaps(_) => ", by smaps; what that does not show is assumed",
            Self::Pagemap => ", by pagemap, as it was at one time",
            Self::Seen => ", by the pages seen in use",
            Self::Logged => "",
        }
    }

    /// The same in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Assumed(FaultIn::Writable) => "assumed: writable",
            Self::Assumed(FaultIn::All) => "assumed: all",
            Self::Assumed(FaultIn::None) => "assumed: none",
            Self::Smaps(_) => "smaps",
            Self::Pagemap => "pagemap",
            Self::Seen => "seen",
            Self::Logged => "logged",
        }
    }
}

/// Who says what the machines allow of huge pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Thp {
    /// Nobody: none are allowed.
    #[default]
    Unsaid,
    /// The options.
    Given,
    /// The log, these.
    Logged(Vec<(ThpKey, ThpMode)>),
}

impl Thp {
    /// What to tell of it, if it is not what was asked for.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::Unsaid => Some(
                "huge pages are off, as the log does not say which its system allows; --thp 2048kB=always turns them on".to_owned(),
            ),
            Self::Given => None,
            Self::Logged(settings) => {
                let settings: Vec<_> = settings.iter().map(|(key, mode)| format!("{key}={}", mode.name())).collect();
                Some(format!("huge pages as the log says: {}", settings.join(",")))
            }
        }
    }
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
    /// The process whose maps that is, by its number in the log; nothing for whoever opens maps last.
    pub maps_of: Option<u32>,
    /// How much of each mapping was resident, as the program's smaps said at some time.
    pub smaps: Option<Vec<SmapsArea>>,
    /// Whether those are of pagemap, and so all there was.
    pub is_pagemap: bool,
}
