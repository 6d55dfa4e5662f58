//! Puts lines into the blocks they belong to.

use std::ops::Range;

use crate::ast::{Item, MAX_DEPTH, Repeat, Scenario};
use crate::diag::Diagnostic;

use super::cursor::Context;
use super::statement::Statement;

/// The blocks that are open, as a stack of its own: however deep a text nests them, the program's
/// stack does not grow.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Vec<Open>,
    /// The items of the innermost block, or of the whole scenario.
    items: Vec<Item>,
    /// How many blocks are open beyond the limit. What is in them is read for its mistakes only.
    too_deep: u64,
    /// The block that was closed last and the line of its end.
    closed: Option<(Place, u32)>,
}

/// A block that is open.
#[derive(Debug)]
struct Open {
    count: u64,
    comment: Option<String>,
    place: Place,
    /// The items around the block, before it.
    outer: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Place {
    span: Range<usize>,
    line: u32,
}

impl Blocks {
    /// Takes one line's statement.
    pub(super) fn push(&mut self, ctx: &mut Context<'_>, statement: Statement, line: u32) {
        match statement {
            Statement::Blank => self.items.push(Item::Blank),
            Statement::Comment(text) => self.items.push(Item::Comment(text)),
            Statement::Line(line) => self.items.push(Item::Line(line)),
            Statement::Open { count, comment, span } => {
                self.open(ctx, count, comment, Place { span, line });
            }
            Statement::Close { comment, span } => self.close(ctx, comment, Place { span, line }),
        }
    }

    /// The scenario, after its last line.
    pub(super) fn finish(mut self, ctx: &mut Context<'_>) -> Scenario {
        for open in self.open.drain(..) {
            let message = "this block is never closed";
            ctx.report(
                Diagnostic::new(open.place.span, message)
                    .expected("`}` on a line of its own after the block's lines"),
            );
        }
        Scenario { items: self.items }
    }

    fn open(&mut self, ctx: &mut Context<'_>, count: u64, comment: Option<String>, place: Place) {
        if self.open.len() < MAX_DEPTH {
            let outer = std::mem::take(&mut self.items);
            self.open.push(Open { count, comment, place, outer });
            return;
        }
        // Whatever is deeper still is the same mistake.
        if self.too_deep == 0 {
            ctx.report(self.depth_mistake(place.span));
        }
        self.too_deep += 1;
    }

    fn depth_mistake(&self, span: Range<usize>) -> Diagnostic {
        let message = format!("blocks are nested more than {MAX_DEPTH} deep");
        let mistake = Diagnostic::new(span, message);
        match self.open.first() {
            Some(Open { place, .. }) => {
                mistake.related(place.span.clone(), place.line, "the outermost block begins here")
            }
            None => mistake,
        }
    }

    fn close(&mut self, ctx: &mut Context<'_>, end_comment: Option<String>, end: Place) {
        if let Some(too_deep) = self.too_deep.checked_sub(1) {
            self.too_deep = too_deep;
            return;
        }
        let Some(Open { count, comment, place, outer }) = self.open.pop() else {
            ctx.report(self.stray(end.span));
            return;
        };
        let body = std::mem::replace(&mut self.items, outer);
        let line = place.line;
        self.items.push(Item::Repeat(Repeat { count, body, comment, end_comment, line }));
        self.closed = Some((place, end.line));
    }

    fn stray(&self, span: Range<usize>) -> Diagnostic {
        let mistake =
            Diagnostic::new(span, "`}` closes no block").expected("a call, or `repeat N {` before it");
        match &self.closed {
            Some((place, end)) => {
                let message = format!("the last block begins here and ended on line {end}");
                mistake.related(place.span.clone(), place.line, &message)
            }
            None => mistake,
        }
    }
}
