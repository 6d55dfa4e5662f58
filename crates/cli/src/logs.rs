//! Logs, in whatever files they come.

use crate::output::{self, Failed};
use crate::progress;
use ptelab::scenario::strace::{self, ThreadLog};
use ptelab::scenario::syz;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How much of a file is read to tell what it is, and how many calls of it are looked at.
const PROBED: usize = 1 << 16;
const MAX_STEPS: usize = 10_000;
/// What perf's own files begin with.
const PERF_MAGIC: &[u8] = b"PERFILE2";

/// The log in a file: as text, gzip'ed or not, or as perf's own file, which perf prints; or in the files of `strace -ff`, which
/// one path stands for that strace was given.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Failed> {
    output::keep(path);
    for thread in strace::thread_logs(path) {
        output::keep(&thread.path);
    }
    if is_perfs(path) {
        return of_perf(path);
    }
    let log = strace::open(path).map_err(|error| failed(path, &error))?;
    probed(path, log)
}

/// A log that ends where the run is stopped, so that one without an end or a line does too.
struct UntilStopped(Box<dyn BufRead + Send>);

impl Read for UntilStopped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if progress::stopped() { Ok(0) } else { self.0.read(buffer) }
    }
}

impl BufRead for UntilStopped {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if progress::stopped() { Ok(&[]) } else { self.0.fill_buf() }
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

/// The log that is read from somewhere, gzip'ed or not; `path` is its name.
pub(crate) fn of_reader(path: &Path, input: Box<dyn Read + Send>) -> Result<Box<dyn BufRead + Send>, Failed> {
    let log = strace::unpack(input).map_err(|error| failed(path, &error))?;
    probed(path, log)
}

/// Whether a file without a name begins as a log does: packed, with a process or a time before the call, or with an execve.
pub(crate) fn is_log(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PROBED)]);
    let first = head.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let (word, rest) = first.trim_start().split_once(' ').unwrap_or_default();
    let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ':'));
    strace::is_packed(bytes) || first.starts_with("execve(") || is_number && rest.contains('(')
}

fn probed(path: &Path, mut log: Box<dyn BufRead + Send>) -> Result<Box<dyn BufRead + Send>, Failed> {
    let mut head = Vec::new();
    log.by_ref().take(PROBED as u64).read_to_end(&mut head).map_err(|error| failed(path, &error))?;
    if head.len() == PROBED && head.contains(&0) && !head.contains(&b'\n') {
        return Err(failed(path, &"this is not a log: it is binary data"));
    }
    if let Some(kind) = of_calls_to_make(&head) {
        return Err(failed(path, &format!("{kind}, not a log: `ptelab run` runs it")));
    }
    Ok(Box::new(io::Cursor::new(head).chain(UntilStopped(log))))
}

/// What a text is that has calls to be made: a program of syzkaller, or a scenario, which reads as one and has what strace never
/// prints. A log of system calls alone may read as a scenario too.
fn of_calls_to_make(head: &[u8]) -> Option<&'static str> {
    let whole = head.len() < PROBED;
    let head = if whole { head } else { &head[..head.iter().rposition(|c| *c == b'\n').unwrap_or(0)] };
    let text = std::str::from_utf8(head).ok()?;
    if syz::is_program(text) {
        return Some("a program of syzkaller");
    }
    let scenario = ptelab::scenario::parse(text).ok()?;
    let only_here = scenario.steps().take(MAX_STEPS).any(|step| !strace::is_decoded(step.line.call.name()));
    only_here.then_some("a scenario")
}

/// One log, or several files of `strace -ff`.
pub(crate) fn open_all(paths: &[PathBuf]) -> Result<Box<dyn BufRead + Send>, Failed> {
    if let [path] = paths {
        return open(path);
    }
    let mut threads = Vec::new();
    for path in paths {
        output::keep(path);
        let thread = ThreadLog::of(path);
        let text = "several logs can only be the files of threads that `strace -ff` writes, whose names end in the thread's number";
        threads.push(thread.ok_or_else(|| failed(path, &text))?);
    }
    strace::open_threads(&threads).map_err(|error| Failed::Unusable(error.to_string()))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed::Unusable(format!("{}: {error}", path.display()))
}

fn is_perfs(path: &Path) -> bool {
    let mut magic = [0; PERF_MAGIC.len()];
    let read =
        path.is_file() && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok();
    read && magic == PERF_MAGIC
}

/// What perf prints of its file: as `perf trace` does where that recorded it, else as `perf script` does.
fn of_perf(path: &Path) -> Result<Box<dyn BufRead + Send>, Failed> {
    const SCRIPT: [&str; 5] =
        ["script", "-F", "trace:comm,tid,cpu,time,event,trace", "-F", "sw:comm,tid,cpu,time,event,addr"];
    let events = perf(path, &["evlist"])?;
    let of_trace = events.contains("raw_syscalls:");
    let text = if of_trace {
        let faults = if events.contains("-faults") { &["-F", "all"][..] } else { &[] };
        // It prints to standard error by itself.
        perf(path, &[&["trace", "-o", "/dev/stdout"], faults].concat())?
    } else {
        // Page faults have addresses only where they were recorded with -d.
        perf(path, &SCRIPT).or_else(|_| perf(path, &SCRIPT[..1]))?
    };
    Ok(Box::new(BufReader::new(io::Cursor::new(text))))
}

fn perf(path: &Path, args: &[&str]) -> Result<String, Failed> {
    const ELSEWHERE: &str = "where it was recorded, `perf script -i FILE > LOG` makes a log of it";
    let (command, rest) = args.split_first().unwrap_or((&"script", &[]));
    let output =
        Command::new("perf").arg(command).arg("-i").arg(path).args(rest).stdin(Stdio::null()).output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed(path, &format!("perf's own file, and perf is not here: {ELSEWHERE}"))
        }
        _ => failed(path, &format!("perf: {error}")),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().next().unwrap_or("it failed");
    Err(failed(path, &format!("perf's own file, but perf {command} says: {said}; {ELSEWHERE}")))
}
