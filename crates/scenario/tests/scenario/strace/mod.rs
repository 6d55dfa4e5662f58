//! Tests of the log reader from outside.

mod broken;
mod forms;
mod hostile;
mod logs;
mod parts;
mod perf;

use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedCall, ReadError, Reader, Stats};

/// Lines, each with its end.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// The entries of a log but for the first parts of calls, and what was seen; nothing may be wrong with it.
fn read(log: &str) -> (Vec<LogEntry>, Stats) {
    let (mut entries, stats) = read_all(log);
    entries.retain(|entry| !matches!(entry.kind, LogEvent::Begun(_)));
    (entries, stats)
}

/// Every entry of a log, and what was seen; nothing may be wrong with it.
fn read_all(log: &str) -> (Vec<LogEntry>, Stats) {
    let mut reader = Reader::new(log.as_bytes());
    let entries = reader.by_ref().map(|item| item.unwrap_or_else(|error| panic!("{error}\n{log}"))).collect();
    (entries, reader.into_stats())
}

/// The only call of a log.
fn call(log: &str) -> LoggedCall {
    let (entries, _) = read(log);
    match <[LogEntry; 1]>::try_from(entries) {
        Ok([LogEntry { kind: LogEvent::Call(call), .. }]) => call,
        other => panic!("not one call: {other:?}"),
    }
}

/// What is wrong with a log.
fn errors(log: &[u8]) -> (Vec<ReadError>, Stats) {
    let mut reader = Reader::new(log);
    let errors = reader.by_ref().filter_map(Result::err).collect();
    (errors, reader.into_stats())
}
