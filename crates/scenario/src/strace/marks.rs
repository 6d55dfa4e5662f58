//! Lines that are no calls: signals, ends of processes, strace's own messages.

use crate::strace::argument::LoggedRange;
use crate::strace::call;
use crate::strace::entry::LogEvent;
use crate::strace::value::number;
use crate::strace::wrapped::unwrapped;
use ptelab_uapi::{ThpKey, ThpMode};

/// What a line between `---` or `+++` says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// Something that is delivered.
    Event(LogEvent),
    /// `--- stopped by SIGSTOP ---`
    Stopped,
}

/// Reads a line that begins with `---` or `+++`.
pub(super) fn mark(line: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    if let Some(inner) = between(text, "---") {
        return if inner.starts_with("stopped by ") {
            Some(Mark::Stopped)
        } else {
            signal(inner).map(Mark::Event)
        };
    }
    end(between(text, "+++")?).map(Mark::Event)
}

fn between<'a>(text: &'a str, fence: &str) -> Option<&'a str> {
    text.strip_prefix(fence)?.strip_suffix(fence)?.strip_prefix(' ')?.strip_suffix(' ')
}

/// `SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x1234}`
fn signal(inner: &str) -> Option<LogEvent> {
    let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
    if !name.starts_with("SIG") {
        return None;
    }
    let addr = rest.split_once("si_addr=").and_then(|(_, rest)| {
        let word = rest.split([',', '}', ' ']).next()?;
        if word == "NULL" { Some(0) } else { number(word) }
    });
    Some(LogEvent::Signal { name: name.to_owned(), addr, ended: ended_child(rest) })
}

/// The child that `si_pid` names, where `si_code` says that it is no more.
fn ended_child(rest: &str) -> Option<u32> {
    let field = |name| rest.split_once(name).and_then(|(_, rest)| rest.split([',', '}', ' ']).next());
    let is_end = ["CLD_EXITED", "CLD_KILLED", "CLD_DUMPED"].contains(&field("si_code=")?);
    if is_end { field("si_pid=")?.parse().ok() } else { None }
}

fn end(inner: &str) -> Option<LogEvent> {
    if let Some(code) = inner.strip_prefix("exited with ") {
        return Some(LogEvent::Exited { code: code.parse().ok()? });
    }
    if let Some(by) = inner.strip_prefix("superseded by execve in pid ") {
        let digits = by.split(|c: char| !c.is_ascii_digit()).next()?;
        return Some(LogEvent::Superseded { by: digits.parse().ok()? });
    }
    if let Some(ranges) = inner.strip_prefix("in use ") {
        return ranges.split(' ').map(range).collect::<Option<_>>().map(LogEvent::InUse);
    }
    if let Some(most) = inner.strip_prefix("had ") {
        return most.strip_suffix(" resident").and_then(number).map(LogEvent::MostResident);
    }
    if let Some(settings) = inner.strip_prefix("huge pages ") {
        return settings.split(' ').map(setting).collect::<Option<_>>().map(LogEvent::HugePages);
    }
    let signal = inner.strip_prefix("killed by ")?;
    let name = signal.strip_suffix(" (core dumped)");
    Some(LogEvent::Killed { signal: name.unwrap_or(signal).to_owned(), core_dumped: name.is_some() })
}

/// `2048kB=madvise`
fn setting(text: &str) -> Option<(ThpKey, ThpMode)> {
    let (key, name) = text.split_once('=')?;
    Some((ThpKey::parse(key)?, ThpMode::from_name(name)?))
}

/// `0x7f0000000000+8192`
fn range(text: &str) -> Option<LoggedRange> {
    let (addr, len) = text.split_once('+')?;
    Some(LoggedRange { addr: number(addr)?, len: number(len)? })
}

/// What strace says of itself.
pub(super) const MESSAGE: &[u8] = b"strace: ";

const PROCESS: &[u8] = b"strace: Process ";

/// Where in a line strace's message about a process begins, if the line ends with one. On a terminal, it comes in the
/// middle of the call that made the process.
pub(super) fn message_at(line: &[u8]) -> Option<usize> {
    if !line.ends_with(b" attached") && !line.ends_with(b" detached") {
        return None;
    }
    line.windows(PROCESS.len()).rposition(|part| part == PROCESS)
}

/// The process of `strace: Process 7 attached`, and of `strace: Process 7 attached with 3 threads`.
pub(super) fn attached(message: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(message.strip_prefix(PROCESS)?).ok()?;
    let (number, threads) = text.split_once(" attached")?;
    let is_whole = threads.is_empty() || threads.starts_with(" with ");
    number.parse().ok().filter(|_| is_whole)
}

/// Whether a line is a quotation, not a frame of a stack: it has the mark at its very beginning, and a call behind.
pub(super) fn is_quoted(line: &[u8]) -> bool {
    line.starts_with(b">")
        && unwrapped(line).is_some_and(|inner| !inner.contains(&b'[') || call::has_end(inner))
}

/// Whether a frame is of the C library or the dynamic linker, which every call goes through: `/lib/libc.so.6(mmap+0x26)`.
pub(super) fn is_library(frame: &str) -> bool {
    let path = frame.split('(').next().unwrap_or(frame);
    let name = path.rsplit('/').next().unwrap_or(path);
    ["libc.", "libc-", "ld-", "libpthread", "ld.so"].iter().any(|library| name.starts_with(library))
}

/// Whether a line is the rest of a call in the middle of which strace announced a process.
pub(super) fn goes_on(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    matches!(text, [b',' | b')' | b'}' | b']' | b'=' | b'|' | b'<', ..]) && !text.starts_with(b"<... ")
}

#[cfg(test)]
mod tests {
    use super::{Mark, attached, mark, message_at};
    use crate::strace::argument::LoggedRange;
    use crate::strace::entry::LogEvent;
    use ptelab_uapi::{ThpKey, ThpMode};

    #[test]
    fn signals_and_ends() {
        let signal = |name: &str, addr| {
            Some(Mark::Event(LogEvent::Signal { name: name.to_owned(), addr, ended: None }))
        };
        let child =
            Some(Mark::Event(LogEvent::Signal { name: "SIGCHLD".to_owned(), addr: None, ended: Some(7) }));
        let killed = |signal: &str, core_dumped| {
            Some(Mark::Event(LogEvent::Killed { signal: signal.to_owned(), core_dumped }))
        };
        for (line, expected) in [
            (
                "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x1234} ---",
                signal("SIGSEGV", Some(0x1234)),
            ),
            ("--- SIGBUS {si_signo=7 /* SIGBUS */, si_addr=NULL} ---", signal("SIGBUS", Some(0))),
            ("--- SIGCHLD {si_signo=SIGCHLD, si_pid=7} ---", signal("SIGCHLD", None)),
            ("--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7, si_uid=0} ---", child),
            ("--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_STOPPED, si_pid=7} ---", signal("SIGCHLD", None)),
            ("--- SIGRT_1 (Real-time signal 1) @ 0 (0) ---", signal("SIGRT_1", None)),
            ("--- stopped by SIGSTOP ---", Some(Mark::Stopped)),
            ("+++ exited with 3 +++", Some(Mark::Event(LogEvent::Exited { code: 3 }))),
            ("+++ killed by SIGKILL +++", killed("SIGKILL", false)),
            ("+++ killed by SIGSEGV (core dumped) +++", killed("SIGSEGV", true)),
            ("+++ superseded by execve in pid 12 +++", Some(Mark::Event(LogEvent::Superseded { by: 12 }))),
            (
                "+++ in use 0x1000+4096 0x7f0000000000+8192 +++",
                Some(Mark::Event(LogEvent::InUse(
                    [(0x1000, 4096), (0x7f00_0000_0000, 8192)]
                        .map(|(addr, len)| LoggedRange { addr, len })
                        .to_vec(),
                ))),
            ),
            ("+++ had 8192 resident +++", Some(Mark::Event(LogEvent::MostResident(8192)))),
            (
                "+++ huge pages enabled=madvise 64kB=always +++",
                Some(Mark::Event(LogEvent::HugePages(vec![
                    (ThpKey::Enabled, ThpMode::Madvise),
                    (ThpKey::Kb(64), ThpMode::Always),
                ]))),
            ),
            ("+++ huge pages 64kB=sometimes +++", None),
            ("+++ in use 0x1000 +++", None),
            ("+++ exited with", None),
            ("--- a/file", None),
            ("--- --- ---", None),
            ("+++", None),
        ] {
            assert_eq!(mark(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn messages() {
        assert_eq!(message_at(b"vfork(strace: Process 12 attached"), Some(6));
        assert_eq!(message_at(b"vfork() = 12"), None);
        assert_eq!(attached(b"strace: Process 12 attached"), Some(12));
        assert_eq!(attached(b"strace: Process 12 attached with 3 threads"), Some(12));
        assert_eq!(attached(b"strace: Process 12 detached"), None);
    }
}
