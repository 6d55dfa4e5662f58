//! The result of a call.

use crate::{Errno, SigInfo};
use std::fmt;

/// A process: 1 is the first, children count on in the order of their forks.
pub type Pid = u32;

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned this; `check` the byte it read.
    Value(u64),
    /// It failed.
    Failed(CallError),
    /// `check` read this byte, which is not what it wanted.
    Mismatch(u8),
}

impl Outcome {
    /// Whether Linux would make this call again and again, until a signal ends the process.
    pub const fn never_ends(self) -> bool {
        matches!(self, Self::Failed(CallError::Errno(errno)) if errno.number() == Errno::ERESTARTNOINTR.number())
    }
}

/// Why a call did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CallError {
    /// It returned an error number.
    #[error("{0}")]
    Errno(Errno),
    /// The access got a signal.
    #[error("{}", .0.signal)]
    Signal(SigInfo),
    /// The access found no memory for its page. Linux would call its OOM killer.
    #[error("ENOMEM (the OOM killer)")]
    OutOfMemory,
    /// The page that it needs migrates: Linux would wait until that is over.
    #[error("the page migrates: this waits for migrate_end")]
    Migrating,
    /// Nothing there migrates.
    #[error("nothing there migrates: migrate_begin comes first")]
    NotMigrating,
    /// A kernel of this release does it, and the emulated one does not (docs/limits.md); nothing was done.
    #[error("not emulated: {0}")]
    NotEmulated(&'static str),
    /// There is no such process, or it has ended.
    #[error("ESRCH: there is no process {0}")]
    NoProcess(Pid),
}

impl From<Errno> for CallError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Result<u64, CallError>> for Outcome {
    fn from(result: Result<u64, CallError>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(error) => Self::Failed(error),
        }
    }
}

impl Outcome {
    /// What was returned.
    ///
    /// # Errors
    /// Why it failed. A byte that is not the one wanted was read all the same.
    pub const fn result(self) -> Result<u64, CallError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Mismatch(byte) => Ok(byte as u64),
            Self::Failed(error) => Err(error),
        }
    }

    /// The error number that it failed with, if it did.
    #[must_use]
    pub const fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(CallError::Errno(errno)) => Some(errno),
            _ => None,
        }
    }
}

/// The largest number that people read as a number; what is larger is an address.
const PLAIN: u64 = 4095;

impl fmt::Display for Outcome {
    /// As strace prints results: `0`, `0x40000000`, `-1 ENOMEM`, `SIGSEGV`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(n) if *n <= PLAIN => write!(f, "{n}"),
            Self::Value(n) => write!(f, "{n:#x}"),
            Self::Failed(error @ CallError::Errno(_)) => write!(f, "-1 {error}"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Mismatch(byte) => write!(f, "read {byte:#04x}"),
        }
    }
}
