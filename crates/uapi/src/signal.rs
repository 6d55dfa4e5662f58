//! Signals that a memory access ends in.

use crate::SIGNAL;
use std::fmt;

/// A signal, by its number (`include/uapi/asm-generic/signal.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(i32);

impl Signal {
    /// `SIGBUS`: the mapping has nothing there.
    pub const BUS: Self = Self(7);
    /// `SIGSEGV`: no such mapping, or it does not allow the access.
    pub const SEGV: Self = Self(11);

    /// The signal of this number.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The signal of this name, or `None` if no memory access ends in it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::BUS, Self::SEGV].into_iter().find(|signal| signal.to_string() == name)
    }
}

impl fmt::Display for Signal {
    /// The name, as in C; the number of one without a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIGNAL.entries.iter().find(|named| i64::from(self.0) == named.value as i64) {
            Some(named) => f.write_str(named.name),
            None => write!(f, "signal {}", self.0),
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
    pub addr: u64,
}

/// Why a memory access got its signal, as the number that `si_code` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SigCode(pub i32);

impl SigCode {
    /// `SEGV_MAPERR`: nothing is mapped there, or a guard region.
    pub const MAPERR: Self = Self(1);
    /// `SEGV_ACCERR`: what is mapped there does not allow it.
    pub const ACCERR: Self = Self(2);
    /// `SEGV_PKUERR`: the key of what is mapped there does not.
    pub const PKUERR: Self = Self(4);
    /// `BUS_MCEERR_AR`: the page failed that was accessed.
    pub const MCEERR_AR: Self = Self(4);
    /// `BUS_ADRERR`: there is no such page in the file.
    pub const ADRERR: Self = Self(2);
    /// `SI_KERNEL`: the kernel does not say.
    pub const KERNEL: Self = Self(128);
}

impl fmt::Display for SigInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (si_code {}, at {:#x})", self.signal, self.code.0, self.addr)
    }
}
