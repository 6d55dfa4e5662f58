//! The iterator over a log.

use std::io::BufRead;

use crate::strace::entry::{LogEntry, LogEvent, LoggedOutcome};
use crate::strace::error::ReadError;
use crate::strace::input::{Fetched, fetch};
use crate::strace::log::{Item, Log};
use crate::strace::stats::{Cut, Stats};
use crate::strace::value::shown;

/// How many lines with something on them are tried before a file is taken for no log.
pub const PROBED: u64 = 20;

/// How much of a line is repeated in a message.
const SHOWN: usize = 60;

/// Reads a log line by line; see [`crate::strace`].
///
/// A call that cannot be read is an `Err` of which [`ReadError::is_recoverable`] is true, and the reader goes on after
/// it; after any other error it has ended. A log that ends in the middle of a line is no error, see [`Stats::cut`].
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    log: Log,
    blank: u64,
    /// The first line that has anything on it, and its beginning.
    first: Option<(u64, String)>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads `input`, which may be of any size: no more is kept of it than the line at hand and one unfinished call
    /// per process.
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new(), log: Log::default(), blank: 0, first: None, ended: false }
    }

    /// What has been seen so far.
    pub const fn stats(&self) -> &Stats {
        &self.log.stats
    }

    /// What has been seen, without the rest of the reader.
    pub fn into_stats(self) -> Stats {
        self.log.stats
    }

    fn end(&mut self, error: Option<ReadError>) -> Item {
        self.ended = true;
        self.log.finish();
        error.map(Err)
    }

    /// A line that is not too long.
    fn read(&mut self, ended: bool) -> Item {
        self.begin_line();
        let item = self.log.line(&self.line);
        if ended || self.line.trim_ascii().is_empty() {
            return item;
        }
        let cut_call = matches!(item, Some(Err(ReadError::Call { .. })));
        if cut_call {
            self.log.stats.mistakes -= 1;
        }
        let mut item = if cut_call { None } else { item };
        if let Some(Ok(LogEntry { kind: LogEvent::Call(call), .. })) = &mut item
            && lacks_digits(&self.line)
        {
            call.outcome = LoggedOutcome::Unknown;
        }
        self.log.stats.cut = Some(Cut { line: self.log.stats.lines, delivered: item.is_some() });
        item
    }

    fn too_long(&mut self, ended: bool) {
        self.begin_line();
        self.log.stats.line_too_long();
        if !ended {
            self.log.stats.cut = Some(Cut { line: self.log.stats.lines, delivered: false });
        }
    }

    fn begin_line(&mut self) {
        self.log.stats.lines += 1;
        if self.line.trim_ascii().is_empty() {
            self.blank += 1;
        } else if self.first.is_none() {
            self.first = Some((self.log.stats.lines, shown(&self.line, SHOWN)));
        }
    }

    /// What is wrong with a file of which no line was recognised.
    fn not_a_log(&self, at_least: u64) -> Option<ReadError> {
        let stats = &self.log.stats;
        let tried = stats.unrecognised + stats.too_long;
        let none = tried >= at_least && tried + self.blank == stats.lines;
        let (line, found) = self.first.clone().filter(|_| none)?;
        Some(ReadError::NotALog { line, found, tried })
    }

    fn at_end(&mut self) -> Item {
        let error = if self.first.is_none() { Some(ReadError::Empty) } else { self.not_a_log(1) };
        self.end(error)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<LogEntry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let item = match fetch(&mut self.input, &mut self.line) {
                Ok(Fetched::End) => return self.at_end(),
                Ok(Fetched::Line { ended }) => self.read(ended),
                Ok(Fetched::TooLong { ended }) => {
                    self.too_long(ended);
                    None
                }
                Err(source) => {
                    let line = self.log.stats.lines + 1;
                    return self.end(Some(ReadError::Io { line, source }));
                }
            };
            if item.is_some() {
                return item;
            }
            // Cloning the first line's text would cost something at each line.
            if self.log.stats.lines <= PROBED + self.blank
                && let Some(error) = self.not_a_log(PROBED)
            {
                return self.end(Some(error));
            }
        }
        None
    }
}

/// Whether a line that lacks its end stops in the middle of an address: that of a page ends in three zeros.
fn lacks_digits(line: &[u8]) -> bool {
    let last = line.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    last.starts_with(b"0x") && !last.ends_with(b"000")
}
