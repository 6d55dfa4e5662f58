//! A streaming reader of logs: strace's, and `perf trace`'s of the same calls.
//!
//! ```
//! use ptelab_scenario::strace::{LogEvent, LoggedOutcome, Reader, Syscall};
//!
//! let log = "10990 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3</usr/lib/libc.so.6>, 0x26000) = 0x7f89f0387000\n\
//!            10990 futex(0x7f89f0387000, FUTEX_WAKE, 1) = 0\n";
//! let mut reader = Reader::new(log.as_bytes());
//! let entry = reader.next().unwrap()?;
//! assert_eq!((entry.line, entry.pid), (1, Some(10990)));
//! let LogEvent::Call(call) = entry.kind else { panic!("a call") };
//! assert_eq!(call.outcome, LoggedOutcome::Value(0x7f89_f038_7000));
//! let Syscall::Mmap { len, fd: Some(fd), .. } = call.call else { panic!("mmap") };
//! assert_eq!((len, fd.path.as_deref()), (8192, Some("/usr/lib/libc.so.6")));
//! assert!(reader.next().is_none());
//! assert_eq!(reader.stats().skipped["futex"], 1);
//! # Ok::<(), ptelab_scenario::strace::ReadError>(())
//! ```
//!
//! # What is read
//!
//! Output of strace 5 and 6, with or without `-f`, `-t`, `-tt`, `-ttt`, `-r`, `-T`, `-y`, `-yy`, `-Y`, `-k`, `-i`,
//! `-n` and `-X raw|abbrev|verbose`; of `perf trace`, with or without `-F all`. Calls that concern memory and
//! processes are decoded ([`Syscall`]); all others are counted by name and not looked at. Addresses, lengths and
//! offsets are in bytes, flags the kernel's numbers, times and durations seconds.
//!
//! A call that strace prints in two parts (`<unfinished ...>`, `<... mmap resumed>`) is one entry, delivered where it
//! ended. So entries come in the order in which calls returned. At most one unfinished call per process is kept, and
//! one line: a log of any size is read in constant memory.
//!
//! # Which process
//!
//! Without `-f` no line names a process, and [`LogEntry::pid`] is `None` throughout. With `-f` and a log that went to the
//! terminal, strace names processes only while there are several. Lines before are the first process's, and have `None`;
//! once the log has named it, lines without a name get its number, or that of the only process that is left. So a
//! `None` is the same process as the first `[pid N]` that no line announced as attached.

mod args;
mod argument;
mod call;
mod columns;
mod decode;
mod entry;
mod error;
mod input;
mod log;
mod marks;
mod outcome;
mod pending;
mod perf;
mod process;
mod processes;
mod reader;
mod scan;
mod stats;
mod syscall;
mod threads;
mod tracepoint;
mod value;
mod wrapped;

pub use argument::{Fd, LoggedRange, LoggedText};
pub use decode::is_decoded;
pub use entry::{Clock, LogEntry, LogEvent, LoggedCall, LoggedOutcome, Stamp, Touch};
pub use error::ReadError;
pub use input::{MAX_LINE, is_packed, open, open_threads, unpack};
pub use reader::{PROBED, Reader};
pub use stats::{Cut, MAX_NAMES, MAX_UNFINISHED, Stats, Unfinished};
pub use syscall::Syscall;
pub use threads::{ThreadLog, thread_logs};
