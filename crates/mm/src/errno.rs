//! How calls and accesses fail.

use ptelab_pgtable::{Pfn, VirtAddr};
use std::fmt;

/// Error numbers that memory calls return (`include/uapi/asm-generic/errno-base.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Errno {
    /// Not permitted.
    Eperm = 1,
    /// No such file.
    Enoent = 2,
    /// No such open file.
    Ebadf = 9,
    /// Try again.
    Eagain = 11,
    /// Out of memory, or nothing is mapped there.
    Enomem = 12,
    /// Permission denied.
    Eacces = 13,
    /// Bad address.
    Efault = 14,
    /// Busy.
    Ebusy = 16,
    /// Exists.
    Eexist = 17,
    /// Nothing that can be mapped.
    Enodev = 19,
    /// Invalid argument.
    Einval = 22,
    /// None left.
    Enospc = 28,
    /// No such system call.
    Enosys = 38,
    /// Offset too large.
    Eoverflow = 75,
    /// Not supported.
    Eopnotsupp = 95,
}

impl Errno {
    /// The name as in errno.h: `ENOMEM`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eperm => "EPERM",
            Self::Enoent => "ENOENT",
            Self::Ebadf => "EBADF",
            Self::Eagain => "EAGAIN",
            Self::Enomem => "ENOMEM",
            Self::Eacces => "EACCES",
            Self::Efault => "EFAULT",
            Self::Ebusy => "EBUSY",
            Self::Eexist => "EEXIST",
            Self::Enodev => "ENODEV",
            Self::Einval => "EINVAL",
            Self::Enospc => "ENOSPC",
            Self::Enosys => "ENOSYS",
            Self::Eoverflow => "EOVERFLOW",
            Self::Eopnotsupp => "EOPNOTSUPP",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Errno {}

/// Signals that a memory access ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// No such mapping, or it does not allow the access.
    Segv,
    /// The mapping has nothing there.
    Bus,
}

impl Signal {
    /// The name as in signal.h: `SIGSEGV`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segv => "SIGSEGV",
            Self::Bus => "SIGBUS",
        }
    }
}

/// What the handler of a signal is told (`siginfo_t`, `include/uapi/asm-generic/siginfo.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SigInfo {
    /// `si_signo`
    pub signal: Signal,
    /// `si_code`
    pub code: SigCode,
    /// `si_addr`
    pub addr: VirtAddr,
}

/// Why a memory access got its signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigCode {
    /// `SEGV_MAPERR`: nothing is mapped there, or a guard region.
    MapErr,
    /// `SEGV_ACCERR`: what is mapped there does not allow it.
    AccErr,
    /// `SEGV_PKUERR`: the key of what is mapped there does not.
    PkuErr,
    /// `BUS_ADRERR`: there is no such page in the file.
    AdrErr,
}

impl SigCode {
    /// Its number.
    pub const fn number(self) -> i32 {
        match self {
            Self::MapErr => 1,
            Self::AccErr | Self::AdrErr => 2,
            Self::PkuErr => 4,
        }
    }
}

/// Why a memory access did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FaultError {
    /// It got a signal.
    #[error("{}", .0.name())]
    Signal(Signal),
    /// The machine has no memory left for the page. Linux would call its OOM killer.
    #[error("ENOMEM")]
    OutOfMemory,
    /// The page migrates: Linux would let the process sleep until that is over (`migration_entry_wait`).
    #[error("the page migrates")]
    Migrating,
    /// The page is in a device's memory and mapped by others too: it comes back for all of them (`migrate_to_ram`).
    #[error("page {0} is in a device's memory")]
    InDevice(Pfn),
}

impl From<Errno> for FaultError {
    /// A fault path that meets an error number has run out of memory for a page or a table.
    fn from(_: Errno) -> Self {
        Self::OutOfMemory
    }
}
