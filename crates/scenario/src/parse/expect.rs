//! The result behind `=`.

use crate::ast::Expect;
use crate::diag::{Diagnostic, quoted};
use crate::lex::{Kind, Token};
use ptelab_uapi::{Errno, Signal};

use super::cursor::{Context, Cursor};
use super::expr::{RESULT, evaluate};
use super::number::number;

const ERRNO: &str = "the name of an errno, as in `-1 ENOMEM`";

/// The result that `cursor` holds. `?`, which strace prints for calls that do not return, asks for
/// no result.
pub(super) fn expect(ctx: &mut Context<'_>, mut cursor: Cursor<'_>) -> Option<Expect> {
    let expect = match cursor.peek() {
        Some(token) if token.kind == Kind::Name && ctx.text(token) != "NULL" => {
            cursor.next();
            Some(word(ctx, token)?)
        }
        Some(token) if token.kind == Kind::Minus => {
            cursor.next();
            Some(error(ctx, &mut cursor, token)?)
        }
        Some(token) if token.kind == Kind::Question => {
            cursor.next();
            None
        }
        _ => return evaluate(ctx, cursor, &RESULT).map(Expect::Value),
    };
    if cursor.peek().is_some() {
        ctx.unexpected(&cursor, "a comment or the end of the line");
    }
    expect
}

fn word(ctx: &mut Context<'_>, token: Token) -> Option<Expect> {
    let name = ctx.text(token);
    if let Some(signal) = Signal::from_name(name) {
        return Some(Expect::Signal(signal));
    }
    let mistake = Diagnostic::new(token.span(), format!("{} is not a result", quoted(name)));
    let help = match Errno::from_name(name) {
        Some(errno) => Some(format!("write `-1 {errno}`")),
        None => ctx.did_you_mean(name, ["SIGSEGV", "SIGBUS"].into_iter()),
    };
    ctx.report(mistake.expected(RESULT.expected).help(help));
    None
}

/// `-1 ENOMEM`, with or without strace's `(Cannot allocate memory)`.
fn error(ctx: &mut Context<'_>, cursor: &mut Cursor<'_>, minus: Token) -> Option<Expect> {
    let Some(one) = cursor.eat(Kind::Number) else {
        ctx.unexpected(cursor, "`1` and the name of an errno, as in `-1 ENOMEM`");
        return None;
    };
    if ctx.text(one) != "1" {
        let help = errno_of(ctx.text(one)).map(|errno| format!("write `-1 {errno}`"));
        let message = format!("{} is not a result", quoted(&format!("-{}", ctx.text(one))));
        let mistake = Diagnostic::new(minus.start..one.end, message);
        ctx.report(mistake.expected(RESULT.expected).help(help));
        return None;
    }
    let Some(name) = cursor.eat(Kind::Name) else {
        ctx.unexpected(cursor, ERRNO);
        return None;
    };
    let errno = errno(ctx, name);
    if let Some(open) = cursor.eat(Kind::OpenParen) {
        cursor.take_parenthesized();
        if cursor.eat(Kind::CloseParen).is_none() {
            let message = "this parenthesis is never closed";
            ctx.report(Diagnostic::new(open.span(), message).expected("`)` behind it"));
            return None;
        }
    }
    errno.map(Expect::Errno)
}

fn errno(ctx: &mut Context<'_>, token: Token) -> Option<Errno> {
    let name = ctx.text(token);
    let errno = Errno::from_name(name);
    if errno.is_none() {
        let help = ctx.did_you_mean(name, Errno::ALL.iter().map(|errno| errno.name()));
        let mistake = Diagnostic::new(token.span(), format!("{} is not an errno", quoted(name)));
        ctx.report(mistake.expected(ERRNO).help(help));
    }
    errno
}

fn errno_of(digits: &str) -> Option<Errno> {
    let value = number(digits).ok()?;
    u16::try_from(value).ok().and_then(Errno::from_number)
}
