//! What a scenario is once it is read.
//!
//! Source line numbers are carried along for messages but are no part of a scenario's identity: two scenarios that
//! differ only in them are equal.

use ptelab_uapi::{Call, Errno, Signal};

/// How deep blocks may be nested.
pub const MAX_DEPTH: usize = 64;

/// A whole scenario, in the order of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// Calls, blocks, comments and blank lines.
    pub items: Vec<Item>,
}

/// One line of text, or one block of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A line that is only a comment: the text after `#` exactly as written, without white space at its end.
    Comment(String),
    /// An empty line.
    Blank,
    /// A call.
    Line(Line),
    /// A block of lines that run several times.
    Repeat(Repeat),
}

/// A line that runs.
#[derive(Clone, Debug)]
pub struct Line {
    /// The process that makes the call, by its number; `None` for the first one. Never 0.
    pub pid: Option<u32>,
    /// The call itself.
    pub call: Call,
    /// What the call must return, if the scenario says so.
    pub expect: Option<Expect>,
    /// The text after the `#` at the end of the line, as in [`Item::Comment`].
    pub comment: Option<String>,
    /// Where the line stands in the source, from 1. Not compared by `==`.
    pub line: u32,
}

/// `repeat COUNT {` ... `}`
#[derive(Clone, Debug)]
pub struct Repeat {
    /// How often the body runs; 0 is legal.
    pub count: u64,
    /// The lines between the braces.
    pub body: Vec<Item>,
    /// A comment behind the opening brace.
    pub comment: Option<String>,
    /// A comment behind the closing brace.
    pub end_comment: Option<String>,
    /// Where the block begins in the source, from 1. Not compared by `==`.
    pub line: u32,
}

/// The result that a line must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// `= 0`, `= 0x40000000`
    Value(u64),
    /// `= -1 ENOMEM`
    Errno(Errno),
    /// `= SIGSEGV`
    Signal(Signal),
}

impl Line {
    /// A line without process, expected result or comment.
    #[must_use]
    pub const fn new(call: Call) -> Self {
        Self { pid: None, call, expect: None, comment: None, line: 0 }
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.pid == other.pid
            && self.call == other.call
            && self.expect == other.expect
            && self.comment == other.comment
    }
}

impl Eq for Line {}

impl PartialEq for Repeat {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
            && self.body == other.body
            && self.comment == other.comment
            && self.end_comment == other.end_comment
    }
}

impl Eq for Repeat {}
