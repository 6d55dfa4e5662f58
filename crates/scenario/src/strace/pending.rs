//! Calls that have begun and not ended.

use std::collections::BTreeMap;

use crate::strace::decode::Spec;
use crate::strace::entry::Stamp;
use crate::strace::stats::Unfinished;

/// The beginning of a call.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) spec: &'static Spec,
    pub(super) line: u64,
    pub(super) pid: Option<u32>,
    pub(super) time: Option<Stamp>,
    pub(super) text: Vec<u8>,
}

impl Begun {
    pub(super) fn unfinished(&self) -> Unfinished {
        Unfinished { line: self.line, pid: self.pid, name: self.spec.name }
    }
}

/// At most one call per process.
#[derive(Debug, Default)]
pub(super) struct Pending {
    calls: BTreeMap<Option<u32>, Begun>,
}

impl Pending {
    /// Keeps a call; gives the one that the process had begun before.
    pub(super) fn begin(&mut self, call: Begun) -> Option<Begun> {
        self.calls.insert(call.pid, call)
    }

    /// The call that a process goes on with. Where the log names processes only at times, its beginning may lie under
    /// no number, or its end.
    pub(super) fn resume(&mut self, pid: Option<u32>, spec: &Spec) -> Option<Begun> {
        let fits = |call: &Begun| call.spec.name == spec.name;
        let key = if self.calls.get(&pid).is_some_and(fits) {
            pid
        } else if pid.is_some() {
            self.calls.get(&None).filter(|call| fits(call)).map(|_| None)?
        } else {
            let mut fitting = self.calls.iter().filter(|(_, call)| fits(call)).map(|(key, _)| *key);
            let only = fitting.next()?;
            if fitting.next().is_some() {
                return None;
            }
            only
        };
        self.calls.remove(&key)
    }

    /// The call of a process that has ended.
    pub(super) fn end(&mut self, pid: Option<u32>) -> Option<Begun> {
        self.calls.remove(&pid)
    }

    /// What `from` had begun is now begun by `to`; gives what `to` had begun.
    pub(super) fn hand_over(&mut self, from: Option<u32>, to: Option<u32>) -> Option<Begun> {
        let mut call = self.calls.remove(&from)?;
        call.pid = to;
        self.begin(call)
    }

    /// Everything that is left, by line.
    pub(super) fn drain(&mut self) -> Vec<Begun> {
        let mut left: Vec<_> = std::mem::take(&mut self.calls).into_values().collect();
        left.sort_by_key(|call| call.line);
        left
    }
}
