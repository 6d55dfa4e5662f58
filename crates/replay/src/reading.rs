//! Which maps a program has open.

use crate::maps::Reading;

/// Calls after the open in which a file may not have been read yet, where the log does not show it being closed.
const MAX_READING: u32 = 64;
/// The same where it does show reads.
const MAX_SHOWN: u32 = 4096;

/// Maps that a program is reading.
#[derive(Clone, Debug)]
pub(crate) struct OpenMaps {
    /// Whose they are, as an index into the list of processes.
    pub(crate) of: usize,
    /// Who reads them, by which descriptor.
    pub(crate) reader: usize,
    pub(crate) fd: i32,
    pub(crate) reading: Reading,
    left: u32,
}

impl OpenMaps {
    pub(crate) const fn new(of: usize, reader: usize, fd: i32, line: u64) -> Self {
        Self { of, reader, fd, reading: Reading::opened(line), left: MAX_READING }
    }

    /// The log shows reads of it, so that it will show the last, too.
    pub(crate) fn is_read(&mut self) {
        self.left = self.left.max(MAX_SHOWN);
    }

    /// Another call was made; says whether the file may still be read.
    pub(crate) const fn wait(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// Whose maps a file shows.
pub(crate) enum Whose {
    Caller,
    Task(u32),
}

/// Whose maps a path shows, if any's: `/proc/self/maps`, `/proc/42/smaps`.
pub(crate) fn maps_of(path: &str) -> Option<Whose> {
    let (whose, file) = path.strip_prefix("/proc/")?.split_once('/')?;
    if !["maps", "smaps"].contains(&file) {
        return None;
    }
    if ["self", "thread-self"].contains(&whose) {
        Some(Whose::Caller)
    } else {
        whose.parse().ok().map(Whose::Task)
    }
}
