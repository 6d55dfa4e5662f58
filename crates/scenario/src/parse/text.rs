//! Quoted strings.

use std::ops::Range;

use crate::diag::{Diagnostic, quoted};
use crate::lex::{Kind, Token};

use super::cursor::Context;

const ESCAPES: &str = r#"`\\`, `\"`, `\n`, `\r`, `\t` or `\u{HEX}`"#;

/// The value of a string token; the first mistake in it is reported.
pub(super) fn string(ctx: &mut Context<'_>, token: Token) -> Option<String> {
    if token.kind == Kind::UnclosedText {
        let message = "this string is never closed";
        ctx.report(Diagnostic::new(token.span(), message).expected("`\"` at its end"));
        return None;
    }
    let inside = token.start + 1..token.end - 1;
    let source = ctx.source;
    let mut chars = Chars { source, at: inside.start, end: inside.end };
    let mut value = String::new();
    while let Some((place, decoded)) = chars.next_decoded() {
        let Some(c) = decoded else {
            ctx.report(mistake(source, place));
            return None;
        };
        value.push(c);
    }
    Some(value)
}

fn mistake(source: &str, place: Range<usize>) -> Diagnostic {
    let text = source.get(place.clone()).unwrap_or_default();
    if text.starts_with('\\') {
        Diagnostic::new(place, format!("unknown escape {}", quoted(text))).expected(ESCAPES)
    } else {
        let code = text.chars().next().map_or(0, u32::from);
        Diagnostic::new(place, format!("control character U+{code:04X} in a string"))
            .help(format!("write it as `\\u{{{code:x}}}`"))
    }
}

struct Chars<'s> {
    source: &'s str,
    at: usize,
    end: usize,
}

impl Chars<'_> {
    /// The next character and its place, `None` for one that may not stand in a string.
    fn next_decoded(&mut self) -> Option<(Range<usize>, Option<char>)> {
        let rest = self.source.get(self.at..self.end)?;
        let first = rest.chars().next()?;
        let (len, decoded) = match first {
            '\\' => escape(rest),
            c => (c.len_utf8(), Some(c).filter(|c| !c.is_control())),
        };
        let place = self.at..self.at + len;
        self.at = place.end;
        Some((place, decoded))
    }
}

/// How long the escape at the start of `text` is, and what it stands for.
fn escape(text: &str) -> (usize, Option<char>) {
    let code = text.chars().nth(1);
    let decoded = match code {
        Some(c @ ('"' | '\\')) => c,
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unicode_escape(text),
        _ => return (1 + code.map_or(0, char::len_utf8), None),
    };
    (2, Some(decoded))
}

/// `\u{HEX}` with at most six digits.
fn unicode_escape(text: &str) -> (usize, Option<char>) {
    const LONGEST: usize = r"\u{10ffff}".len();
    let Some(close) = text.bytes().take(LONGEST).position(|byte| byte == b'}') else {
        return (2, None);
    };
    let digits = text.get(..close).and_then(|escape| escape.strip_prefix(r"\u{"));
    let is_hex = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code = digits.filter(is_hex).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    (close + 1, code.and_then(char::from_u32))
}
