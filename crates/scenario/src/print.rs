//! Scenarios as canonical text.
//!
//! What is printed reads back to an equal value, for every value that the parser can make.

use crate::ast::{Expect, Item, Line, Repeat, Scenario};
use ptelab_uapi::Outcome;
use std::fmt::{self, Display, Formatter, Write};

const INDENT: usize = 2;

impl Display for Scenario {
    /// The whole text, comments and blank lines included, every line ended by a newline.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_items(&self.items, 0, f)
    }
}

impl Display for Line {
    /// The line without its comment: `[pid 2] munmap(0x40000000, 4K) = 0`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "[pid {pid}] ")?;
        }
        write!(f, "{}", self.call)?;
        match self.expect {
            Some(expect) => write!(f, " = {expect}"),
            None => Ok(()),
        }
    }
}

impl Line {
    /// The line with its comment: `munmap(0x40000000, 4K) # the heap`.
    pub fn with_comment(&self) -> impl Display + '_ {
        WithComment(self)
    }
}

struct WithComment<'a>(&'a Line);

impl Display for WithComment<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, Trailing(self.0.comment.as_deref()))
    }
}

impl Display for Expect {
    /// The result as it stands behind the `=`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => Outcome::Value(*value).fmt(f),
            Self::Errno(errno) => write!(f, "-1 {errno}"),
            Self::Signal(signal) => write!(f, "{signal}"),
        }
    }
}

fn write_items(items: &[Item], depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    for item in items {
        if !matches!(item, Item::Blank) {
            write!(f, "{:1$}", "", depth * INDENT)?;
        }
        match item {
            Item::Comment(text) => write!(f, "#{text}")?,
            Item::Blank => {}
            Item::Line(line) => write!(f, "{}", line.with_comment())?,
            Item::Repeat(repeat) => write_repeat(repeat, depth, f)?,
        }
        f.write_char('\n')?;
    }
    Ok(())
}

fn write_repeat(repeat: &Repeat, depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let (count, indent) = (repeat.count, depth * INDENT);
    let comment = Trailing(repeat.comment.as_deref());
    let end_comment = Trailing(repeat.end_comment.as_deref());
    writeln!(f, "repeat {count} {{{comment}")?;
    write_items(&repeat.body, depth + 1, f)?;
    write!(f, "{:indent$}}}{end_comment}", "")
}

/// A comment behind something else.
struct Trailing<'a>(Option<&'a str>);

impl Display for Trailing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |text| write!(f, " #{text}"))
    }
}
