//! What a log is made of.

use crate::strace::argument::LoggedRange;
use crate::strace::syscall::Syscall;
use ptelab_uapi::{Errno, ThpKey, ThpMode};

/// Something that happened, as one or two lines of a log tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// The line where it began, from 1.
    pub line: u64,
    /// The line where it ended: another than `line` for a call that was printed in parts.
    pub end_line: u64,
    /// The process (in Linux's words the thread), or `None` where the log does not name it; see [`crate::strace`].
    pub pid: Option<u32>,
    /// When it began, if the log says so.
    pub time: Option<Stamp>,
    /// What happened.
    pub kind: LogEvent,
}

impl LogEntry {
    /// How long it took, in seconds, where the log says it of a call.
    pub fn duration(&self) -> Option<f64> {
        if let LogEvent::Call(call) = &self.kind { call.duration } else { None }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum LogEvent {
    /// A call of which the arguments were read.
    Call(LoggedCall),
    /// The first part of a call that was printed in parts, where it says enough. The call itself follows when it returns, if it
    /// does; what it does, it may have done before.
    Begun(LoggedCall),
    /// `--- SIGSEGV {si_signo=SIGSEGV, si_addr=0x10} ---`: a signal arrived.
    Signal {
        /// The name, as `SIGSEGV`.
        name: String,
        /// The address that caused it, for the signals that have one.
        addr: Option<u64>,
        /// The child whose end it tells of: `SIGCHLD {si_code=CLD_EXITED, si_pid=7}`.
        ended: Option<u32>,
    },
    /// `+++ exited with 0 +++`
    Exited {
        /// The exit status, 0 to 255.
        code: i32,
    },
    /// `+++ killed by SIGKILL +++`
    Killed {
        /// The name, as `SIGKILL`.
        signal: String,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// `+++ superseded by execve in pid 7 +++`: thread 7 called execve, and goes on under this entry's pid.
    Superseded {
        /// The thread that called execve.
        by: u32,
    },
    /// Where in the program the call of this entry's line was made, as its stack says (`-k`): the first frame outside of the C library,
    /// as `/usr/bin/cat(main+0x10)`.
    Site(String),
    /// A page fault, as `perf trace -F all` prints it.
    Touch(Touch),
    /// `+++ in use 0x7f0000000000+8192 +++`: pages that were seen in use since the last such line, as `ptelab watch` writes it.
    InUse(Vec<LoggedRange>),
    /// `+++ had 8192 resident +++`: the most that a process had resident so far, in bytes, as the kernel keeps count (`VmHWM`) and
    /// `ptelab watch` writes it.
    MostResident(u64),
    /// `+++ huge pages enabled=madvise 2048kB=inherit +++`: what the system allows of huge pages, as `ptelab watch` writes it.
    HugePages(Vec<(ThpKey, ThpMode)>),
}

/// A call that returned, or that never does.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedCall {
    /// The name, as the log has it: `mmap2`, where `call` says [`Syscall::Mmap`].
    pub name: &'static str,
    /// The arguments.
    pub call: Syscall,
    /// What came of it.
    pub outcome: LoggedOutcome,
    /// What `-y` says of the result: the path of a new descriptor.
    pub result_path: Option<String>,
    /// How long it took, in seconds.
    pub duration: Option<f64>,
    /// The call as the log has it, without the columns before it; parts are joined.
    pub text: String,
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedOutcome {
    /// A number or an address.
    Value(u64),
    /// `-1 ENOMEM (Cannot allocate memory)`
    Failed(Errno),
    /// The same with a name or number that [`Errno`] does not have, as the log has it.
    FailedOther(String),
    /// `? ERESTARTSYS (To be restarted)`: a signal interrupted the call, which may be made again.
    Restarted,
    /// `?`: it did not return, as `exit_group`, or was not seen to return.
    Unknown,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    /// In seconds, counted as `clock` says.
    pub seconds: f64,
    /// From when on.
    pub clock: Clock,
}

/// What a time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// 1970 (`-ttt`).
    Epoch,
    /// Midnight (`-t`, `-tt`).
    Midnight,
    /// The line before (`-r`).
    PreviousLine,
    /// The beginning of the log (`perf trace`).
    Start,
    /// When the machine started (tracepoints).
    Boot,
}

/// A page fault. Whether it was a read or a write is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Whether the page had to be read from disk.
    pub major: bool,
    /// The address, where the log has one: for anonymous memory, heap and stack.
    pub addr: Option<u64>,
    /// What is mapped there, if it has a name: a path, `//anon`, `[heap]`, `[stack]`.
    pub map: Option<String>,
    /// The offset in the file `map`, in bytes, where the log has no address.
    pub offset: Option<u64>,
}
