//! One line.

use std::ops::Range;

use crate::ast::{Expect, Line};
use crate::diag::{Diagnostic, quoted};
use crate::lex::{Kind, Token};
use ptelab_uapi::{Call, FORMS, Form, ThpKey, ThpMode};

use super::args::Args;
use super::cursor::{Context, Cursor};
use super::expect::expect;
use super::number::number;

/// What a line says.
#[derive(Debug)]
pub(super) enum Statement {
    Blank,
    Comment(String),
    Line(Line),
    /// `repeat COUNT {`, which stands at `span`.
    Open {
        count: u64,
        comment: Option<String>,
        span: Range<usize>,
    },
    /// `}`, which stands at `span`.
    Close {
        comment: Option<String>,
        span: Range<usize>,
    },
}

const CALL: &str = "a call, as in `munmap(0x40000000, 64K)`";
const AFTER_CALL: &str = "`= RESULT`, a comment or the end of the line";
const LINE_END: &str = "a comment or the end of the line";

/// Reads one line; `None` after a mistake that leaves nothing of it. Every mistake is reported.
pub(super) fn statement(ctx: &mut Context<'_>, mut cursor: Cursor<'_>, line: u32) -> Option<Statement> {
    let Some(first) = cursor.peek() else {
        return Some(Statement::Blank);
    };
    match first.kind {
        Kind::Comment => comment(ctx, &mut cursor).map(Statement::Comment),
        Kind::CloseBrace => {
            cursor.next();
            let comment = line_end(ctx, &mut cursor, LINE_END);
            Some(Statement::Close { comment, span: first.span() })
        }
        Kind::Name if ctx.text(first) == "repeat" => repeat(ctx, &mut cursor),
        Kind::OpenBracket => prefixed(ctx, &mut cursor, line),
        _ => call_line(ctx, &mut cursor, None, line),
    }
}

fn repeat(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<Statement> {
    let start = cursor.next()?.start;
    let count = count(ctx, cursor);
    let Some(brace) = cursor.skip_past(Kind::OpenBrace) else {
        // Without a count the brace is not the first thing that is missing.
        if count.is_some() {
            ctx.unexpected(cursor, "`{`");
        }
        let span = start..cursor.place().start;
        return Some(Statement::Open { count: 0, comment: None, span });
    };
    let closes = cursor.rest().iter().any(|token| token.kind == Kind::CloseBrace);
    let comment = line_end(ctx, cursor, "the end of the line: the block's lines follow on their own");
    // A block written in one line is one mistake, not two.
    let span = start..brace.end;
    (!closes).then_some(Statement::Open { count: count.unwrap_or(0), comment, span })
}

/// The number behind `repeat`. Whatever is in its place is skipped up to the brace.
fn count(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<u64> {
    const COUNT: &str = "how often, as in `repeat 40 {`";
    if cursor.peek().is_some_and(|token| token.kind == Kind::OpenBrace) {
        ctx.unexpected(cursor, COUNT);
        return None;
    }
    let mut before = cursor.take_until(Kind::OpenBrace, "the line");
    let Some(token) = before.eat(Kind::Number) else {
        ctx.unexpected(&before, COUNT);
        return None;
    };
    match number(ctx.text(token)) {
        Ok(_) if before.peek().is_some_and(|token| token.kind != Kind::Comment) => {
            ctx.unexpected(&before, "`{`");
            None
        }
        Ok(count) => Some(count),
        Err(error) => {
            let mistake = Diagnostic::new(token.span(), error.message);
            ctx.report(mistake.expected(COUNT).help(error.help));
            None
        }
    }
}

fn prefixed(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>, line: u32) -> Option<Statement> {
    let pid = pid(ctx, cursor)?;
    match cursor.peek() {
        Some(token) if token.kind == Kind::Name && ctx.text(token) == "repeat" => {
            let mistake = Diagnostic::new(token.span(), "a block belongs to no process").expected(CALL);
            ctx.report(mistake.help("put the prefix before each call in the block".to_owned()));
            // The block is opened nevertheless: its brace closes something.
            repeat(ctx, cursor)
        }
        _ => call_line(ctx, cursor, Some(pid), line),
    }
}

fn call_line(
    ctx: &mut Context<'_>,
    cursor: &mut Cursor<'_>,
    pid: Option<u32>,
    line: u32,
) -> Option<Statement> {
    let call = call(ctx, cursor)?;
    let expect = result(ctx, cursor);
    let comment = line_end(ctx, cursor, AFTER_CALL);
    Some(Statement::Line(Line { pid, call: call?, expect, comment, line }))
}

/// `[pid N]`
fn pid(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<u32> {
    const PREFIX: &str = "a process, as in `[pid 2]`";
    cursor.next();
    if cursor.peek().is_none_or(|token| token.kind != Kind::Name || ctx.text(token) != "pid") {
        ctx.unexpected(cursor, PREFIX);
        return None;
    }
    cursor.next();
    let Some(token) = cursor.eat(Kind::Number) else {
        ctx.unexpected(cursor, PREFIX);
        return None;
    };
    if cursor.eat(Kind::CloseBracket).is_none() {
        ctx.unexpected(cursor, "`]`");
        return None;
    }
    let value = number(ctx.text(token)).ok().and_then(|value| u32::try_from(value).ok());
    let pid = value.filter(|&pid| pid != 0);
    if pid.is_none() {
        let message = format!("{} is not the number of a process", quoted(ctx.text(token)));
        let mistake = Diagnostic::new(token.span(), message);
        ctx.report(mistake.expected("1 for the first process, 2 and up for its children"));
    }
    // The call behind a wrong number may hold mistakes of its own.
    Some(pid.unwrap_or(1))
}

/// `None` if the rest of the line makes no sense, `Some(None)` after a mistake in the arguments.
#[expect(clippy::option_option, reason = "two outcomes of one mistake, told apart by one caller")]
fn call(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<Option<Call>> {
    let form = form(ctx, cursor)?;
    if cursor.eat(Kind::OpenParen).is_none() {
        ctx.unexpected(cursor, "`(`");
        return None;
    }
    let inside = cursor.take_parenthesized();
    let last = inside.rest().last().copied();
    let is_closed = cursor.eat(Kind::CloseParen).is_some();
    if !is_closed && last.is_none_or(|token| token.kind != Kind::UnclosedText) {
        ctx.unexpected(cursor, "`)`");
    }
    let mut args = Args::new(ctx, inside);
    // After a mistake the others are read all the same, for theirs.
    let values: Vec<_> = form.params.iter().map(|slot| args.argument(slot)).collect();
    let call = values.into_iter().collect::<Option<Vec<_>>>().and_then(form.build);
    if let Some(Call::Thp { size: ThpKey::Enabled, mode: ThpMode::Inherit }) = call {
        let message = "the switch itself has nothing to inherit from".to_owned();
        args.wrong(message, "`\"always\"`, `\"madvise\"` or `\"never\"`", None);
        return Some(None);
    }
    if is_closed {
        args.finish(form);
    }
    Some(call)
}

fn form(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<&'static Form> {
    let Some(name) = cursor.eat(Kind::Name) else {
        ctx.unexpected(cursor, CALL);
        return None;
    };
    let text = ctx.text(name);
    let form = Form::find(text);
    if form.is_none() {
        let mistake = unknown_call(ctx, name);
        ctx.report(mistake);
    }
    form
}

fn unknown_call(ctx: &Context<'_>, name: Token) -> Diagnostic {
    let text = ctx.text(name);
    let mistake = Diagnostic::new(name.span(), format!("unknown call {}", quoted(text)));
    let names = FORMS.iter().map(|form| form.name);
    let help = ctx
        .did_you_mean(text, names.chain(["repeat"]))
        .unwrap_or_else(|| "`ptelab calls` lists the calls there are".to_owned());
    mistake.expected(CALL).help(help)
}

fn result(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<Expect> {
    cursor.eat(Kind::Equals)?;
    let result = cursor.take_until(Kind::Comment, "the line");
    expect(ctx, result)
}

/// The comment at the end of the line, if any; anything else is a mistake.
fn line_end(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>, expected: &str) -> Option<String> {
    if cursor.peek()?.kind == Kind::Comment {
        return comment(ctx, cursor);
    }
    ctx.unexpected(cursor, expected);
    None
}

/// The text behind `#`.
fn comment(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Option<String> {
    let token = cursor.next()?;
    let text = ctx.text(token).strip_prefix('#')?.trim_end_matches([' ', '\t']);
    if let Some((at, c)) = text.char_indices().find(|&(_, c)| c.is_control() && c != '\t') {
        let start = token.start + 1 + at;
        let message = format!("control character U+{:04X} in a comment", u32::from(c));
        ctx.report(Diagnostic::new(start..start + c.len_utf8(), message));
        return None;
    }
    Some(text.to_owned())
}
