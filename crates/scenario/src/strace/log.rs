//! From lines to entries.

use crate::strace::call::{self, Fault};
use crate::strace::columns::{Columns, columns};
use crate::strace::decode::{Spec, spec};
use crate::strace::entry::{Clock, LogEntry, LogEvent, LoggedCall, LoggedOutcome, Stamp, Touch};
use crate::strace::error::ReadError;
use crate::strace::marks::{self, Mark};
use crate::strace::pending::{Begun, Pending};
use crate::strace::perf::{self, What};
use crate::strace::processes::Processes;
use crate::strace::stats::Stats;
use crate::strace::syscall::Syscall;
use crate::strace::tracepoint::{self, Event, Tracepoint};
use crate::strace::wrapped::unwrapped;
use std::collections::BTreeSet;

/// What a line may be.
pub(super) type Item = Option<Result<LogEntry, ReadError>>;

/// Everything that is remembered from line to line.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) stats: Stats,
    processes: Processes,
    pending: Pending,
    /// A call in the middle of which strace announced a process, and which goes on in the next line.
    held: Option<Begun>,
    /// Descriptors of maps, in any process.
    maps: BTreeSet<i32>,
    /// The task of the line before.
    last_task: Option<u32>,
    /// The line and task of the call whose stack may follow.
    last_call: Option<(u64, Option<u32>)>,
}

/// Where and when a call was made.
#[derive(Clone, Copy, Debug)]
struct At {
    line: u64,
    pid: Option<u32>,
    time: Option<Stamp>,
    /// What perf trace prints before the call, in seconds.
    duration: Option<f64>,
    perf: bool,
}

impl At {
    const fn begun(self, spec: &'static Spec, text: Vec<u8>) -> Begun {
        Begun { spec, line: self.line, pid: self.pid, time: self.time, text }
    }
}

impl Log {
    /// Reads the line of which [`Stats::lines`] is the number.
    pub(super) fn line(&mut self, line: &[u8]) -> Item {
        if let Some(held) = self.held.take() {
            if line.starts_with(marks::MESSAGE) {
                self.held = Some(held);
            } else if marks::goes_on(line) {
                return self.resume(held, line, None, false);
            } else {
                self.stats.never_finished(held.unfinished());
            }
        }
        if line.starts_with(b" > ") {
            self.stats.stack_lines += 1;
            return self.stack(line);
        }
        let called = self.last_call.take();
        let item = self.call_or_mark(line);
        if let Some(Ok(LogEntry { line, pid, kind: LogEvent::Call(_), .. })) = &item {
            self.last_call = Some((*line, *pid));
        } else if called.is_some() && line.is_empty() {
            self.last_call = called;
        }
        item
    }

    /// A frame of the stack of the last call.
    fn stack(&mut self, line: &[u8]) -> Item {
        let frame = std::str::from_utf8(line).ok()?.strip_prefix(" > ")?;
        let frame = frame.rsplit_once(" [").map_or(frame, |(frame, _)| frame);
        if marks::is_library(frame) {
            return None;
        }
        let (line, pid) = self.last_call.take()?;
        let end_line = self.stats.lines;
        Some(Ok(LogEntry { line, end_line, pid, time: None, kind: LogEvent::Site(frame.to_owned()) }))
    }

    fn call_or_mark(&mut self, line: &[u8]) -> Item {
        let columns = columns(line);
        match columns.rest {
            [] => None,
            [b'>', b' ', ..] if !marks::is_quoted(line) => {
                self.stats.stack_lines += 1;
                None
            }
            [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => self.mark(columns),
            [b'<', ..] => self.resumed(columns),
            [b'(' | b'?', ..] => self.perf(line),
            rest if rest.starts_with(marks::MESSAGE) => self.message(rest),
            rest if call::name(rest).is_some() => self.strace_call(columns),
            _ => match tracepoint::parse(line) {
                Some(point) => self.tracepoint(point),
                None => match unwrapped(line) {
                    Some(inner) => self.call_or_mark(inner),
                    None => self.unrecognised(),
                },
            },
        }
    }

    /// What is unfinished at the end of the log will not be finished.
    pub(super) fn finish(&mut self) {
        let left = self.held.take().into_iter().chain(self.pending.drain());
        for call in left {
            self.stats.never_finished(call.unfinished());
        }
    }

    fn unrecognised(&mut self) -> Item {
        self.stats.not_recognised();
        None
    }

    fn message(&mut self, message: &[u8]) -> Item {
        self.stats.messages += 1;
        if let Some(pid) = marks::attached(message) {
            self.processes.attach(pid);
        }
        None
    }

    /// The process of a line.
    fn pid(&mut self, column: Option<u32>) -> Option<u32> {
        let (pid, is_first) = self.processes.of_line(column);
        if let Some(pid) = pid.filter(|_| pid != self.last_task) {
            self.stats.tasks.insert(pid);
            self.last_task = Some(pid);
        }
        if is_first {
            let displaced = self.pending.hand_over(None, pid);
            self.give_up(displaced);
        }
        pid
    }

    fn give_up(&mut self, call: Option<Begun>) {
        if let Some(call) = call {
            self.stats.never_finished(call.unfinished());
        }
    }

    fn mark(&mut self, columns: Columns<'_>) -> Item {
        let Some(mark) = marks::mark(columns.rest) else {
            return self.unrecognised();
        };
        if let Mark::Event(LogEvent::Superseded { by }) = &mark {
            // The thread is gone already when the line is printed, which so need not name the process that is left.
            self.processes.end(Some(*by));
        }
        let pid = self.pid(columns.pid);
        let Mark::Event(kind) = mark else {
            self.stats.stops += 1;
            return None;
        };
        match &kind {
            LogEvent::Exited { .. } | LogEvent::Killed { .. } => {
                self.end(pid);
                self.processes.end(pid);
            }
            LogEvent::Superseded { by } => {
                self.end(pid);
                let displaced = self.pending.hand_over(Some(*by), pid);
                self.give_up(displaced);
            }
            LogEvent::InUse(_) | LogEvent::MostResident(_) | LogEvent::HugePages(_) => {
                self.stats.touches += 1;
            }
            _ => self.stats.signals += 1,
        }
        let line = self.stats.lines;
        Some(Ok(LogEntry { line, end_line: line, pid, time: columns.time, kind }))
    }

    /// The call of `pid` will not be finished.
    fn end(&mut self, pid: Option<u32>) {
        self.stats.ends += 1;
        let left = self.pending.end(pid);
        self.give_up(left);
    }

    /// The call of this name, if it is to be decoded: reads and closes are where they are of a process's maps.
    fn spec(&self, name: &str, body: &[u8]) -> Option<&'static Spec> {
        let watched = || call::descriptor(name, body).is_some_and(|fd| self.maps.contains(&fd));
        spec(name.as_bytes()).filter(|spec| !spec.of_descriptor() || watched())
    }

    /// Notes that a process's maps are opened.
    fn watch(&mut self, call: &LoggedCall) {
        let (Syscall::Open { path, .. }, LoggedOutcome::Value(fd)) = (&call.call, &call.outcome) else {
            return;
        };
        let path = call.result_path.as_deref().or(path.as_ref().map(|path| path.text.as_str()));
        let Ok(fd) = i32::try_from(*fd) else { return };
        if path.is_some_and(|path| path.starts_with("/proc/") && path.ends_with("maps")) {
            self.maps.insert(fd);
        } else {
            self.maps.remove(&fd);
        }
    }

    fn strace_call(&mut self, columns: Columns<'_>) -> Item {
        let body = columns.rest;
        let Some(name) = call::name(body) else {
            return self.unrecognised();
        };
        if let Some(spec) = self.spec(name, body) {
            let pid = self.pid(columns.pid);
            let at = At { line: self.stats.lines, pid, time: columns.time, duration: None, perf: false };
            return self.call(spec, body, at);
        }
        self.other_call(name, body, columns.pid)
    }

    fn other_call(&mut self, name: &str, body: &[u8], column: Option<u32>) -> Item {
        let message = marks::message_at(body);
        if message.is_none() && !call::has_end(body) {
            return self.unrecognised();
        }
        self.pid(column);
        self.stats.skip(name);
        message.and_then(|at| self.message(&body[at..]))
    }

    /// `<... mmap resumed>) = 0x7f0000000000`
    fn resumed(&mut self, columns: Columns<'_>) -> Item {
        if columns.rest.starts_with(b"<unfinished ...>") || columns.rest.starts_with(b"<detached ...>") {
            // What follows a message in the middle of a call that is not decoded.
            self.stats.messages += 1;
            return None;
        }
        let parts = columns.rest.strip_prefix(b"<... ").and_then(|inner| split_at(inner, b" resumed>"));
        let Some((name, rest)) = parts else {
            return self.unrecognised();
        };
        let pid = self.pid(columns.pid);
        let spec = spec(name)?;
        let Some(begun) = self.pending.resume(pid, spec) else {
            self.stats.orphans += u64::from(!spec.of_descriptor());
            return None;
        };
        if let (Some(pid), None) = (pid, begun.pid) {
            self.processes.name_first(pid);
        }
        let pid = pid.or(begun.pid);
        self.resume(Begun { pid, ..begun }, rest, None, false)
    }

    fn resume(&mut self, begun: Begun, rest: &[u8], duration: Option<f64>, perf: bool) -> Item {
        let mut text = begun.text;
        text.extend_from_slice(rest);
        let at = At { line: begun.line, pid: begun.pid, time: begun.time, duration, perf };
        self.call(begun.spec, &text, at)
    }

    fn call(&mut self, spec: &'static Spec, body: &[u8], at: At) -> Item {
        let body = body.trim_ascii_end();
        if let Some(head) = unfinished(body) {
            let displaced = self.pending.begin(at.begun(spec, head.to_vec()));
            self.give_up(displaced);
            return self.begun(spec, head, at);
        }
        if body.ends_with(b" <detached ...>") {
            self.give_up(Some(at.begun(spec, Vec::new())));
            return None;
        }
        match call::decode(spec, body, at.perf) {
            Ok(Some(mut call)) => {
                self.stats.calls += 1;
                self.watch(&call);
                call.duration = call.duration.or(at.duration);
                Some(Ok(self.entry(at, LogEvent::Call(call))))
            }
            Ok(None) => {
                self.stats.skip(spec.name);
                None
            }
            Err(fault) => self.fault(spec, body, at, fault),
        }
    }

    /// A call that has begun, as far as its first part says what it is.
    fn begun(&self, spec: &'static Spec, head: &[u8], at: At) -> Item {
        let whole = [head, b") = ?"].concat();
        let call = call::decode(spec, &whole, at.perf).ok()??;
        Some(Ok(self.entry(at, LogEvent::Begun(call))))
    }

    fn fault(&mut self, spec: &'static Spec, body: &[u8], at: At, fault: Fault) -> Item {
        let what = match fault {
            Fault::Open => {
                if let Some(message) = marks::message_at(body) {
                    self.held = Some(at.begun(spec, body[..message].to_vec()));
                    return self.message(&body[message..]);
                }
                "the arguments have no closing parenthesis".to_owned()
            }
            Fault::Wrong(what) => what,
        };
        self.stats.mistakes += 1;
        Some(Err(ReadError::Call { line: at.line, name: spec.name, what, text: call::text(body) }))
    }

    fn entry(&self, at: At, kind: LogEvent) -> LogEntry {
        LogEntry { line: at.line, end_line: self.stats.lines, pid: at.pid, time: at.time, kind }
    }

    fn perf(&mut self, line: &[u8]) -> Item {
        let parsed = perf::time(line).and_then(|(seconds, rest)| Some((seconds, perf::parse(rest)?)));
        let Some((seconds, parsed)) = parsed else {
            return self.unrecognised();
        };
        let time = seconds.map(|seconds| Stamp { seconds, clock: Clock::Start });
        let at = At { line: self.stats.lines, pid: parsed.pid, time, duration: parsed.duration, perf: true };
        match parsed.what {
            What::Touch(touch) => {
                self.stats.touches += 1;
                Some(Ok(self.entry(at, LogEvent::Touch(touch))))
            }
            What::Continued { name, rest } => self.perf_continued(spec(name)?, rest, at),
            What::Call(body) | What::Interrupted(body) => {
                let name = call::name(body)?;
                let Some(spec) = self.spec(name, body) else {
                    self.stats.skip(name);
                    return None;
                };
                if let What::Call(_) = parsed.what {
                    return self.call(spec, body, at);
                }
                let displaced = self.pending.begin(at.begun(spec, body.to_vec()));
                self.give_up(displaced);
                self.begun(spec, body, at)
            }
        }
    }

    /// A line of a tracepoint, which has either end of a call, or a page fault.
    fn tracepoint(&mut self, Tracepoint { pid, time, what }: Tracepoint<'_>) -> Item {
        let (pid, time) = (Some(pid), Some(Stamp { seconds: time, clock: Clock::Boot }));
        let at = At { line: self.stats.lines, pid, time, duration: None, perf: true };
        match what {
            Event::Enter(name, text) => {
                let Some(spec) = self.spec(name, &text) else {
                    self.stats.skip(name);
                    return None;
                };
                if name.starts_with("exit") {
                    return self.call(spec, &[&text[..], b") = ?"].concat(), at);
                }
                let item = self.begun(spec, &text, at);
                let displaced = self.pending.begin(at.begun(spec, text));
                self.give_up(displaced);
                item
            }
            Event::Exit(name, rest) => {
                let spec = spec(name.as_bytes())?;
                // Whom a call made returns from it too.
                if let Some(begun) = self.pending.resume(pid, spec) {
                    return self.resume(begun, rest.as_bytes(), None, true);
                }
                self.stats.orphans += u64::from(!spec.of_descriptor() && rest != ") = 0x0");
                None
            }
            Event::Fault(addr) => {
                self.stats.touches += 1;
                let touch = Touch { major: false, addr: Some(addr), map: None, offset: None };
                Some(Ok(self.entry(at, LogEvent::Touch(touch))))
            }
            Event::Other(name) => {
                self.stats.skip(name);
                None
            }
        }
    }

    fn perf_continued(&mut self, spec: &'static Spec, rest: &[u8], at: At) -> Item {
        let Some(begun) = self.pending.resume(at.pid, spec) else {
            self.stats.orphans += u64::from(!spec.of_descriptor());
            return None;
        };
        self.resume(begun, rest, at.duration, true)
    }
}

fn split_at<'a>(text: &'a [u8], middle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(middle.len()).position(|part| part == middle)?;
    Some((&text[..at], &text[at + middle.len()..]))
}

/// What a line has of a call that goes on in another: it waits, or its thread takes the number of the first one to execute a program.
fn unfinished(body: &[u8]) -> Option<&[u8]> {
    const CHANGED: &[u8] = b" <pid changed to ";
    if let Some(head) = body.strip_suffix(b" <unfinished ...>") {
        return Some(head);
    }
    let rest = body.strip_suffix(b" ...>")?;
    let at = rest.iter().rposition(|&c| c == b'<')?.checked_sub(1)?;
    let number = rest[at..].strip_prefix(CHANGED)?;
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)).then_some(&rest[..at])
}
