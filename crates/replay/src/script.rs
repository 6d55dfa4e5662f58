//! A log, written as a scenario while it is replayed.
//!
//! It has every call that was made on the machine, each with what it came to there, so that running it comes to the same. What
//! was not made here (calls that were refused, or cannot be judged) stands as a remark.

use ptelab_machine::{Call, CallError, Outcome, Pid};
use ptelab_scenario::{Expect, Line};
use std::io::{self, Write};

/// The writer.
pub(crate) struct Script {
    out: Box<dyn Write + Send>,
    /// The line of the log that is replayed, until a call is written for it.
    line: Option<u64>,
    failed: Option<io::Error>,
}

impl Script {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, line: None, failed: None }
    }

    /// The first thing that could not be written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn text(&mut self, text: &str) {
        if self.failed.is_none()
            && let Err(error) = writeln!(self.out, "{text}")
        {
            self.failed = Some(error);
        }
    }

    /// What follows is made for a line of the log.
    pub(crate) const fn at(&mut self, line: u64) {
        self.line = Some(line);
    }

    /// A remark: a line that does nothing.
    pub(crate) fn remark(&mut self, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.text(&format!("# {clean}"));
    }

    /// A call of the log is over; where none was written for it, it is a remark.
    pub(crate) fn unmade(&mut self, text: &str, why: &str) {
        if let Some(line) = self.line.take() {
            self.remark(&format!("line {line}: {text} (not made: {why})"));
        }
    }

    /// A call that was made, and what it came to.
    pub(crate) fn made(&mut self, pid: Pid, call: &Call, outcome: Outcome) {
        let expect = match outcome {
            Outcome::Failed(CallError::Errno(errno)) => Some(Expect::Errno(errno)),
            Outcome::Failed(CallError::Signal(info)) => Some(Expect::Signal(info.signal)),
            Outcome::Value(value) if call.form().class != ptelab_machine::uapi::Class::Access => {
                Some(Expect::Value(value))
            }
            _ => None,
        };
        let ends = matches!(call, Call::ExitGroup { .. });
        let comment = self.line.take().map(|line| format!(" line {line}"));
        let (pid, expect) = ((pid != 1).then_some(pid), expect.filter(|_| !ends));
        self.text(&Line { pid, call: call.clone(), expect, comment, line: 0 }.with_comment().to_string());
    }
}
