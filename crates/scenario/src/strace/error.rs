//! What can be wrong with a log.

use std::io;

/// Why there is no entry. A mistake in a call is of its line only, and the reader goes on; all others end it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error("line {line}: {source}")]
    Io {
        /// The line that was being read, from 1.
        line: u64,
        /// What the input said.
        source: io::Error,
    },
    /// There is not one line.
    #[error("the log is empty")]
    Empty,
    /// None of the first lines looks like a line of strace or perf trace.
    #[error("line {line}: {}", not_a_log(.found, *.tried))]
    NotALog {
        /// The first line that has anything on it, from 1.
        line: u64,
        /// Its beginning, with control characters escaped.
        found: String,
        /// How many lines were looked at.
        tried: u64,
    },
    /// A call that should be decoded cannot be.
    #[error("line {line}: {name}: {what}")]
    Call {
        /// The line where the call began, from 1.
        line: u64,
        /// The call.
        name: &'static str,
        /// What is wrong with it.
        what: String,
        /// The call as the log has it.
        text: String,
    },
}

/// What is wrong with a file of which none of the lines that were tried is one of a log.
fn not_a_log(found: &str, tried: u64) -> String {
    let other = other_kind(found);
    if other == BINARY {
        return format!("this is not a line of strace{other}");
    }
    let nor = if tried > 1 { format!(" (nor is any of the {tried} lines tried)") } else { String::new() };
    format!(
        "`{found}` is not a line of strace: expected `NAME(ARGUMENTS) = RESULT`, as in `munmap(0x7f89f0543000, 4096) = 0`{nor}{other}"
    )
}

/// What a file is that is no text.
const BINARY: &str = "; it is binary data";

/// What a file with this beginning is instead, and what reads it.
fn other_kind(found: &str) -> &'static str {
    const PACKED: [(&str, &str); 4] = [
        ("BZh", "; it is packed: `bzip2 -dc FILE | ptelab replay -` reads it"),
        ("\u{fffd}7zXZ", "; it is packed: `xz -dc FILE | ptelab replay -` reads it"),
        ("(\u{fffd}/\u{fffd}", "; it is packed: `zstd -dc FILE | ptelab replay -` reads it"),
        (
            "\u{fffd}\u{fffd}",
            "; if it is text in UTF-16, `iconv -f utf-16 -t utf-8 FILE | ptelab replay -` reads it",
        ),
    ];
    let found = found.trim_start();
    if let Some((_, what)) = PACKED.iter().find(|(magic, _)| found.starts_with(magic)) {
        return what;
    }
    // A NUL, escaped.
    if found.contains("\\u{0}") {
        return BINARY;
    }
    if found.starts_with("PERFILE2") {
        "; it is perf's own file: `perf script -i FILE` prints its lines"
    } else if found.starts_with('{') {
        "; JSON is golden files', for `ptelab verify`"
    } else if found.contains("sys_enter: NR ") || found.contains("sys_exit: NR ") {
        "; raw_syscalls has calls without their names: `perf trace -i FILE` prints these, `trace-cmd record -e syscalls` records them"
    } else if crate::syz::is_program(found) {
        "; a program of syzkaller is run by `ptelab run`"
    } else if found.starts_with('[') || !found.starts_with("#!") && crate::parse(found).is_ok() {
        "; a scenario is run by `ptelab run`"
    } else if found.split_once('-').is_some_and(|(from, _)| u64::from_str_radix(from, 16).is_ok()) {
        "; /proc/PID/maps and smaps go with a log: `--maps FILE`, `--smaps FILE`"
    } else {
        ""
    }
}

impl ReadError {
    /// The line, from 1, if one can be named.
    #[must_use]
    pub const fn line(&self) -> Option<u64> {
        match self {
            Self::Io { line, .. } | Self::NotALog { line, .. } | Self::Call { line, .. } => Some(*line),
            Self::Empty => None,
        }
    }

    /// Whether the reader goes on after it.
    #[must_use]
    pub const fn is_recoverable(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}
