//! What is asked of a process that plays a scenario on a real kernel, and what it answers: one line of text each.
//!
//! The same lines go to a child process on the running kernel ([`crate::host`]) and to the guest program under QEMU
//! (`guest/guest.c`): `NAME ARG...` with up to six arguments in hex, and back
//!
//! ```text
//! = VALUE              the call returned this (hex)
//! ! ERRNO              it failed (decimal)
//! ~ SIGNAL CODE ADDR   the access got this signal (decimal), with this si_code (decimal) and address (hex)
//! ```

use std::fmt;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// mmap(2): address, length, protection, flags, file descriptor, offset.
    Mmap,
    /// munmap(2): address, length.
    Munmap,
    /// mprotect(2): address, length, protection.
    Mprotect,
    /// madvise(2): address, length, advice.
    Madvise,
    /// mremap(2): old address, old length, new length, flags, new address.
    Mremap,
    /// set_mempolicy(2) for one node: `MPOL_BIND` to it, or the default where it is 64.
    SetMempolicy,
    /// Writes every byte: address, byte, length.
    Memset,
    /// One access a page: address, length, 1 to write and 0 to read.
    Touch,
    /// Reads one byte, which is the answer: address.
    Read,
    /// fork(2).
    Fork,
    /// exit_group(2): status.
    Exit,
    /// Registers for write protection with the userfaultfd that has these features: address, length, features.
    Uffd,
    /// `UFFDIO_UNREGISTER`: address, length.
    UffdUnregister,
    /// `UFFDIO_WRITEPROTECT`: address, length, 1 to protect and 0 to end it.
    UffdWp,
    /// `UFFDIO_POISON`: address, length.
    UffdPoison,
    /// `PAGEMAP_SCAN`, answered with the number of regions: address, length, flags, mask, return mask, pages at most.
    PagemapScan,
    /// move_pages(2) to the other of two nodes, whoever maps the pages too: address, length.
    MovePages,
    /// madvise(2) of one page with `MADV_HWPOISON`: address.
    Hwpoison,
    /// A write to debugfs's split_huge_pages: address, order.
    SplitFolio,
    /// swapon(2) of a new disk in memory: bytes.
    Swapon,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Mmap,
        Self::Munmap,
        Self::Mprotect,
        Self::Madvise,
        Self::Mremap,
        Self::SetMempolicy,
        Self::Memset,
        Self::Touch,
        Self::Read,
        Self::Fork,
        Self::Exit,
        Self::Uffd,
        Self::UffdUnregister,
        Self::UffdWp,
        Self::UffdPoison,
        Self::PagemapScan,
        Self::MovePages,
        Self::Hwpoison,
        Self::SplitFolio,
        Self::Swapon,
    ];

    /// Its name in a line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mmap => "mmap",
            Self::Munmap => "munmap",
            Self::Mprotect => "mprotect",
            Self::Madvise => "madvise",
            Self::Mremap => "mremap",
            Self::SetMempolicy => "set_mempolicy",
            Self::Memset => "memset",
            Self::Touch => "touch",
            Self::Read => "read",
            Self::Fork => "fork",
            Self::Exit => "exit",
            Self::Uffd => "uffd",
            Self::UffdUnregister => "uffd_unregister",
            Self::UffdWp => "uffd_wp",
            Self::UffdPoison => "uffd_poison",
            Self::PagemapScan => "pagemap_scan",
            Self::MovePages => "move_pages",
            Self::Hwpoison => "hwpoison",
            Self::SplitFolio => "split_folio",
            Self::Swapon => "swapon",
        }
    }
}

/// One call with its arguments; those that it does not take are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The call.
    pub call: Call,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It returned this.
    Value(u64),
    /// It failed with this error number.
    Errno(i32),
    /// The access got a signal.
    Signal(SigInfo),
}

/// What a signal handler is told (`siginfo_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// `si_signo`
    pub signal: i32,
    /// `si_code`
    pub code: i32,
    /// `si_addr`
    pub addr: u64,
}

impl Command {
    /// A call with these arguments, six at most.
    pub fn new(call: Call, given: &[u64]) -> Self {
        let mut args = [0; 6];
        args.iter_mut().zip(given).for_each(|(arg, &value)| *arg = value);
        Self { call, args }
    }

    /// The command that a line says, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let call = Call::ALL.into_iter().find(|call| call.name() == name)?;
        let args: Vec<u64> =
            words.map(|word| u64::from_str_radix(word, 16)).collect::<Result<_, _>>().ok()?;
        (args.len() <= 6).then(|| Self::new(call, &args))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call.name())?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg:x}"))
    }
}

impl Reply {
    /// The reply that a line says, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let hex = |word: &str| u64::from_str_radix(word, 16).ok();
        match words.as_slice() {
            ["=", value] => Some(Self::Value(hex(value)?)),
            ["!", errno] => Some(Self::Errno(errno.parse().ok()?)),
            ["~", signal, code, addr] => Some(Self::Signal(SigInfo {
                signal: signal.parse().ok()?,
                code: code.parse().ok()?,
                addr: hex(addr)?,
            })),
            _ => None,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "= {value:x}"),
            Self::Errno(errno) => write!(f, "! {errno}"),
            Self::Signal(SigInfo { signal, code, addr }) => write!(f, "~ {signal} {code} {addr:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        for call in Call::ALL {
            let command = Command::new(call, &[u64::MAX, 1, 0, 4096]);
            assert_eq!(Command::parse(&command.to_string()), Some(command));
        }
        let signal = Reply::Signal(SigInfo { signal: 11, code: 2, addr: 0x4000_0000 });
        for reply in [Reply::Value(u64::MAX), Reply::Errno(12), signal] {
            assert_eq!(Reply::parse(&reply.to_string()), Some(reply));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "frobnicate", "mmap x", "mmap 1 2 3 4 5 6 7"] {
            assert_eq!(Command::parse(line), None, "{line}");
        }
        for line in ["", "=", "= x", "! y", "~ 11", "? 1"] {
            assert_eq!(Reply::parse(line), None, "{line}");
        }
    }
}
