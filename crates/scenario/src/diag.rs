//! Mistakes in a scenario's text.

use std::error::Error;
use std::fmt;
use std::ops::Range;

/// How many mistakes are kept; more are only counted, so that a large file of anything at all
/// cannot exhaust memory.
pub const MAX_KEPT: usize = 10_000;

/// All mistakes of one text, by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The mistakes, at most [`MAX_KEPT`].
    pub items: Vec<Diagnostic>,
    /// How many mistakes were found beyond those.
    pub omitted: u64,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The exact place, in bytes from the start of the source; empty where something is missing.
    pub span: Range<usize>,
    /// The line of the place, from 1.
    pub line: u32,
    /// The column of the place, in characters from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What may stand in this place.
    pub expected: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place that explains this one.
    pub related: Option<Related>,
}

/// A place that explains a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The place, in bytes from the start of the source.
    pub span: Range<usize>,
    /// The line of the place, from 1.
    pub line: u32,
    /// What is there.
    pub message: String,
}

impl Diagnostics {
    /// How many mistakes there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        (self.items.len() as u64).saturating_add(self.omitted)
    }
}

impl fmt::Display for Diagnostics {
    /// The first mistake and how many more there are, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.items.first() else {
            return f.write_str("no mistakes");
        };
        write!(f, "{first}")?;
        match self.total().saturating_sub(1) {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more mistake)"),
            more => write!(f, " (and {more} more mistakes)"),
        }
    }
}

impl Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Error for Diagnostic {}

impl Diagnostic {
    /// A mistake whose line and column are found later, all at once.
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, line: 0, column: 0, message: message.into(), expected: None, help: None, related: None }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    pub(crate) fn related(mut self, span: Range<usize>, line: u32, message: &str) -> Self {
        self.related = Some(Related { span, line, message: message.into() });
        self
    }
}

/// Where a parser puts mistakes.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    found: Diagnostics,
}

impl Sink {
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if self.is_full() {
            self.found.omitted += 1;
        } else {
            self.found.items.push(diagnostic);
        }
    }

    /// Whether mistakes are only counted from now on.
    pub(crate) fn is_full(&self) -> bool {
        self.found.items.len() >= MAX_KEPT
    }

    /// `value` if nothing was reported, or all mistakes with their lines and columns.
    pub(crate) fn finish<T>(mut self, source: &str, value: T) -> Result<T, Diagnostics> {
        if self.found.items.is_empty() {
            return Ok(value);
        }
        // A stable sort: mistakes in one place stay in the order in which they were found.
        self.found.items.sort_by_key(|item| (item.span.start, item.span.end));
        let mut place = Place::start(source);
        for item in &mut self.found.items {
            place.advance(source, item.span.start);
            (item.line, item.column) = (place.line, place.column);
        }
        Err(self.found)
    }
}

/// A position that only moves forward, so that placing all mistakes reads the source once.
struct Place {
    offset: usize,
    line: u32,
    column: u32,
}

impl Place {
    fn start(source: &str) -> Self {
        // A byte order mark does not count as a column.
        let offset = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { offset, line: 1, column: 1 }
    }

    fn advance(&mut self, source: &str, to: usize) {
        let Some(passed) = source.get(self.offset..to) else {
            return;
        };
        self.offset = to;
        let last_line = match passed.rsplit_once('\n') {
            Some((before, last_line)) => {
                let lines = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
                self.line = self.line.saturating_add(saturating(lines));
                self.column = 1;
                last_line
            }
            None => passed,
        };
        self.column = self.column.saturating_add(saturating(last_line.chars().count()));
    }
}

/// `text` in backquotes for a message: short, and without characters that a terminal would obey.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut quoted: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}

/// `c`, or a stand-in if a terminal would obey it rather than show it.
pub(crate) fn visible(c: char) -> char {
    match c {
        '\u{7f}' => '\u{2421}',
        // Control pictures stand in the order of the characters they picture.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        c if c.is_control() || is_invisible_format(c) => '\u{fffd}',
        c => c,
    }
}

/// Characters that change the direction or the joining of others, or that take no room.
fn is_invisible_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

pub(crate) fn saturating(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
