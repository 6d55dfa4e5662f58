//! What a reader has seen.

use std::collections::{BTreeMap, BTreeSet};

/// How many names of calls are counted one by one.
pub const MAX_NAMES: usize = 1024;

/// How many unfinished calls are kept.
pub const MAX_UNFINISHED: usize = 1024;

/// What has been seen so far; all of the log once the reader has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines, blank ones too.
    pub lines: u64,
    /// Calls that were delivered.
    pub calls: u64,
    /// Calls that could not be read.
    pub mistakes: u64,
    /// Tasks that the log has a line of, by their numbers.
    pub tasks: BTreeSet<u32>,
    /// Calls that were skipped as they concern no memory, by name; at most [`MAX_NAMES`] names.
    pub skipped: BTreeMap<String, u64>,
    /// Calls that were skipped when `skipped` had no place for another name.
    pub skipped_other: u64,
    /// Signals.
    pub signals: u64,
    /// Lines that say that a process was stopped.
    pub stops: u64,
    /// Ends of processes: exited, killed or superseded.
    pub ends: u64,
    /// Page faults.
    pub touches: u64,
    /// strace's own messages.
    pub messages: u64,
    /// Lines of stack traces.
    pub stack_lines: u64,
    /// Lines that say nothing to this reader, as what the program itself printed.
    pub unrecognised: u64,
    /// The first of those.
    pub first_unrecognised: Option<u64>,
    /// Ends of calls of which the beginning was not seen.
    pub orphans: u64,
    /// Lines longer than [`crate::strace::MAX_LINE`], which were skipped.
    pub too_long: u64,
    /// The first of those.
    pub first_too_long: Option<u64>,
    /// Calls that never came back, in the order in which that was known; at most [`MAX_UNFINISHED`].
    pub unfinished: Vec<Unfinished>,
    /// How many there were in all.
    pub unfinished_count: u64,
    /// Whether the log ends in the middle of a line.
    pub cut: Option<Cut>,
}

/// A call that was begun and is not known to have returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The line where it began, from 1.
    pub line: u64,
    /// The process.
    pub pid: Option<u32>,
    /// The call.
    pub name: &'static str,
}

/// A last line without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The line, from 1.
    pub line: u64,
    /// Whether it was whole enough to be delivered. Its result may still lack digits.
    pub delivered: bool,
}

impl Stats {
    pub(super) fn skip(&mut self, name: &str) {
        if let Some(count) = self.skipped.get_mut(name) {
            *count += 1;
        } else if self.skipped.len() < MAX_NAMES {
            self.skipped.insert(name.to_owned(), 1);
        } else {
            self.skipped_other += 1;
        }
    }

    pub(super) fn not_recognised(&mut self) {
        self.unrecognised += 1;
        self.first_unrecognised.get_or_insert(self.lines);
    }

    pub(super) fn line_too_long(&mut self) {
        self.too_long += 1;
        self.first_too_long.get_or_insert(self.lines);
    }

    pub(super) fn never_finished(&mut self, call: Unfinished) {
        self.unfinished_count += 1;
        if self.unfinished.len() < MAX_UNFINISHED {
            self.unfinished.push(call);
        }
    }
}
