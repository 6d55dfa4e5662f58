//! What calls take by where in the program they are made, where the log has stacks (`strace -k`).

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Calls that a stack may belong to, the last ones.
const MAX_RECENT: usize = 256;
/// Places that are kept.
const MAX_SITES: usize = 10_000;

/// What the calls of a place took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Calls.
    pub calls: u64,
    /// Steps: see [`work`](crate::work).
    pub steps: u64,
}

/// Places in the program, and the calls that wait for theirs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sites {
    recent: VecDeque<(u64, &'static str, u64)>,
    /// By place and name of the call.
    pub all: BTreeMap<(String, &'static str), Site>,
}

impl Sites {
    /// A call was made that took so many steps; its stack may follow.
    pub(crate) fn made(&mut self, line: u64, name: &'static str, steps: u64) {
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((line, name, steps));
    }

    /// The call of a line was made here.
    pub(crate) fn at(&mut self, line: u64, place: &str) {
        let Some(&(_, name, steps)) = self.recent.iter().rev().find(|call| call.0 == line) else { return };
        let key = (place.to_owned(), name);
        if self.all.len() < MAX_SITES || self.all.contains_key(&key) {
            let site = self.all.entry(key).or_default();
            site.calls += 1;
            site.steps += steps;
        }
    }
}
