//! From text to [`Scenario`].

mod args;
mod blocks;
mod bytes;
mod cursor;
mod expect;
mod expr;
mod number;
mod statement;
mod text;

pub use bytes::parse_bytes;

use crate::ast::Scenario;
use crate::diag::{Diagnostics, Sink, saturating};
use crate::lex::lex_line;

use blocks::Blocks;
use cursor::{Context, Cursor};
use statement::statement;

/// Parses a scenario's text, in time linear in its length.
///
/// Line ends are LF or CR LF; a byte order mark at the start is skipped.
///
/// # Errors
///
/// All mistakes, each with its place. A mistake ends at the end of its line, and within a call at
/// the end of its argument.
pub fn parse(source: &str) -> Result<Scenario, Diagnostics> {
    parse_into(source, Sink::default())
}

/// Parses `source` with mistakes added to those in `sink`.
fn parse_into(source: &str, sink: Sink) -> Result<Scenario, Diagnostics> {
    let mut ctx = Context { source, sink };
    let mut blocks = Blocks::default();
    let mut tokens = Vec::new();
    let mut next_start = 0;
    for (index, line) in source.split_inclusive('\n').enumerate() {
        let number = saturating(index + 1);
        let start = next_start + if index == 0 { byte_order_mark(line) } else { 0 };
        next_start += line.len();
        let end = next_start - line_end(line);
        lex_line(source, start, end, &mut tokens);
        let cursor = Cursor::new(&tokens, end..end, "the line");
        if let Some(statement) = statement(&mut ctx, cursor, number) {
            blocks.push(&mut ctx, statement, number);
        }
    }
    let scenario = blocks.finish(&mut ctx);
    ctx.sink.finish(source, scenario)
}

fn byte_order_mark(line: &str) -> usize {
    if line.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// How many bytes at the end of a line are not its text.
fn line_end(line: &str) -> usize {
    let text = line.strip_suffix('\n').unwrap_or(line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    line.len() - text.len()
}
