//! A call of a log, its process, and its result.

use ptelab_machine::{CallError, Pid};
use ptelab_scenario::strace::LoggedCall;

/// What tasks have in common that the log shows to be threads of one process: the number here of the first of them.
pub(crate) type Group = Pid;

/// A task as calls need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) log_pid: Option<u32>,
    pub(crate) pid: Pid,
    pub(crate) process: usize,
    pub(crate) group: Group,
}

/// A call at its place in the log.
#[derive(Clone, Copy)]
pub(crate) struct Logged<'a> {
    pub(crate) line: u64,
    pub(crate) call: &'a LoggedCall,
}

/// What a call came to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// This.
    Result(Result<u64, CallError>),
    /// Something else, by a rule of the machine's release.
    ByRule(&'static str),
    /// Nothing: the log's system refused it, for what a log does not show, which is this.
    Refused(&'static str),
    /// Whatever the log says: a number that only the kernel of the log can know.
    AsLogged,
    /// It cannot be judged.
    Skipped(&'static str),
}
