//! Splits a line into tokens.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    /// Whatever begins with a digit; its digits are judged where its value is asked for.
    Number,
    /// A string with both quotes.
    Text,
    /// A string without its closing quote: the rest of the line.
    UnclosedText,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    Comma,
    Plus,
    Pipe,
    Minus,
    Equals,
    Question,
    /// From `#` to the end of the line.
    Comment,
    /// A run of characters that begin no token.
    Junk,
}

/// A piece of the source, in byte offsets from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn span(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether this can be a value by itself, so that two in a row lack something between them.
    pub(crate) fn is_value(self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Number | Kind::Text)
    }
}

/// Replaces `tokens` by those of `source` from `start` to `end`, which must be one line.
pub(crate) fn lex_line(source: &str, start: usize, end: usize, tokens: &mut Vec<Token>) {
    tokens.clear();
    let line = source.as_bytes().get(..end).unwrap_or_default();
    let mut at = start;
    while let Some(&byte) = line.get(at) {
        if matches!(byte, b' ' | b'\t') {
            at += 1;
            continue;
        }
        let (kind, end) = token(line, at, byte);
        tokens.push(Token { kind, start: at, end });
        at = end;
    }
}

/// The kind of the token at `at` and where it ends.
fn token(line: &[u8], at: usize, first: u8) -> (Kind, usize) {
    match first {
        b'#' => (Kind::Comment, line.len()),
        b'"' => text(line, at),
        b'0'..=b'9' => (Kind::Number, run(line, at, |b| is_word(b) || b == b'.')),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Name, run(line, at, is_word)),
        byte => match punctuation(byte) {
            Some(kind) => (kind, at + 1),
            None => (Kind::Junk, run(line, at, is_junk)),
        },
    }
}

fn text(line: &[u8], at: usize) -> (Kind, usize) {
    // The opening quote closes nothing.
    let mut escaped = true;
    for (offset, &byte) in line.iter().enumerate().skip(at) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (Kind::Text, offset + 1),
            _ => {}
        }
    }
    (Kind::UnclosedText, line.len())
}

fn run(line: &[u8], at: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = line.iter().skip(at);
    at + rest.take_while(|&&byte| belongs(byte)).count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every byte of a character outside ASCII is junk, so a run of junk ends between characters.
fn is_junk(byte: u8) -> bool {
    !is_word(byte) && !matches!(byte, b' ' | b'\t' | b'"' | b'#') && punctuation(byte).is_none()
}

fn punctuation(byte: u8) -> Option<Kind> {
    Some(match byte {
        b'(' => Kind::OpenParen,
        b')' => Kind::CloseParen,
        b'[' => Kind::OpenBracket,
        b']' => Kind::CloseBracket,
        b'{' => Kind::OpenBrace,
        b'}' => Kind::CloseBrace,
        b',' => Kind::Comma,
        b'+' => Kind::Plus,
        b'|' => Kind::Pipe,
        b'-' => Kind::Minus,
        b'=' => Kind::Equals,
        b'?' => Kind::Question,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Kind, lex_line};

    fn lex(line: &str) -> Vec<(Kind, &str)> {
        let mut tokens = Vec::new();
        lex_line(line, 0, line.len(), &mut tokens);
        tokens.iter().map(|token| (token.kind, &line[token.span()])).collect()
    }

    #[test]
    fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
        assert_eq!(lex(r##""a\"#b" #"##), [(Kind::Text, r##""a\"#b""##), (Kind::Comment, "#")]);
        assert_eq!(lex(r#""a\\"b"#), [(Kind::Text, r#""a\\""#), (Kind::Name, "b")]);
        assert_eq!(lex(r#""a\""#), [(Kind::UnclosedText, r#""a\""#)]);
        assert_eq!(lex(r#"""#), [(Kind::UnclosedText, r#"""#)]);
    }

    #[test]
    fn junk_is_one_token_and_ends_between_characters() {
        assert_eq!(lex("é@\0x"), [(Kind::Junk, "é@\0"), (Kind::Name, "x")]);
    }

    #[test]
    fn a_number_takes_all_that_is_attached_to_it() {
        assert_eq!(lex("1.5M|0x1G"), [(Kind::Number, "1.5M"), (Kind::Pipe, "|"), (Kind::Number, "0x1G"),]);
    }
}
