//! What every part of the parser works with.

use std::ops::Range;

use crate::diag::{Diagnostic, Sink, quoted};
use crate::lex::{Kind, Token};
use crate::suggest::did_you_mean;

/// The text that is parsed and the mistakes found in it.
#[derive(Debug)]
pub(super) struct Context<'s> {
    pub(super) source: &'s str,
    pub(super) sink: Sink,
}

impl<'s> Context<'s> {
    pub(super) fn text(&self, token: Token) -> &'s str {
        self.source.get(token.span()).unwrap_or_default()
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.sink.report(diagnostic);
    }

    /// A question that names the candidate nearest to `name`, if one is near.
    pub(super) fn did_you_mean<'a>(
        &self,
        name: &str,
        candidates: impl Iterator<Item = &'a str>,
    ) -> Option<String> {
        // Looking is slow, and the help of a mistake that is only counted is not shown.
        if self.sink.is_full() { None } else { did_you_mean(name, candidates) }
    }

    /// Reports that something else than `expected` stands, or that nothing stands, where the
    /// cursor is.
    pub(super) fn unexpected(&mut self, cursor: &Cursor<'_>, expected: &str) {
        let message = match cursor.peek() {
            Some(token) => format!("unexpected {}", self.describe(token)),
            None => format!("{} ends too early", cursor.within),
        };
        self.report(Diagnostic::new(cursor.place(), message).expected(expected));
    }

    /// A token as a message names it.
    pub(super) fn describe(&self, token: Token) -> String {
        let text = self.text(token);
        match token.kind {
            Kind::Comment => "comment".to_owned(),
            Kind::Junk => describe_junk(text),
            _ => quoted(text),
        }
    }
}

/// Tokens of one line, or of a part of it, that are read from left to right.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    tokens: &'t [Token],
    /// What stands behind the tokens.
    end: Range<usize>,
    /// What the tokens make up, with its article: `the line`.
    within: &'static str,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(tokens: &'t [Token], end: Range<usize>, within: &'static str) -> Self {
        Self { tokens, end, within }
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.tokens.first().copied()
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn eat(&mut self, kind: Kind) -> Option<Token> {
        self.peek().filter(|token| token.kind == kind)?;
        self.next()
    }

    pub(super) fn rest(&self) -> &'t [Token] {
        self.tokens
    }

    /// Skips tokens until one of this kind is taken; skips nothing if there is none.
    pub(super) fn skip_past(&mut self, kind: Kind) -> Option<Token> {
        let at = self.tokens.iter().position(|token| token.kind == kind)?;
        self.tokens = self.tokens.get(at..)?;
        self.next()
    }

    /// Cuts off what comes before the first token of this kind.
    pub(super) fn take_until(&mut self, kind: Kind, within: &'static str) -> Cursor<'t> {
        let at = self.tokens.iter().position(|token| token.kind == kind);
        self.cut(at, within)
    }

    /// Cuts off what comes before the next comma outside parentheses and brackets, or before a value that stands
    /// right behind another.
    pub(super) fn take_argument(&mut self) -> Cursor<'t> {
        let mut depth = 0_usize;
        let mut was_value = false;
        let at = self.tokens.iter().position(|token| {
            match token.kind {
                Kind::OpenParen | Kind::OpenBracket => depth += 1,
                Kind::CloseParen | Kind::CloseBracket => depth = depth.saturating_sub(1),
                Kind::Comma if depth == 0 => return true,
                _ if was_value && token.is_value() => return true,
                _ => {}
            }
            was_value = token.is_value();
            false
        });
        self.cut(at, "the argument")
    }

    /// Cuts off what stands inside the parenthesis that was just opened: up to its end, or to what
    /// can only stand behind it.
    pub(super) fn take_parenthesized(&mut self) -> Cursor<'t> {
        let mut depth = 0_usize;
        let at = self.tokens.iter().position(|token| {
            match token.kind {
                Kind::OpenParen => depth += 1,
                Kind::CloseParen if depth == 0 => return true,
                Kind::CloseParen => depth -= 1,
                Kind::Equals | Kind::Comment => return true,
                _ => {}
            }
            false
        });
        self.cut(at, "the call")
    }

    /// Where the next token is, or where it is missing.
    pub(super) fn place(&self) -> Range<usize> {
        self.peek().map_or_else(|| self.end.clone(), Token::span)
    }

    /// From the start of the next token to the end of the last.
    pub(super) fn span(&self) -> Range<usize> {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => self.end.clone(),
        }
    }

    fn cut(&mut self, at: Option<usize>, within: &'static str) -> Cursor<'t> {
        let (taken, rest) = self.tokens.split_at(at.unwrap_or(self.tokens.len()));
        self.tokens = rest;
        Cursor { tokens: taken, end: self.place(), within }
    }
}

/// Names characters that cannot be seen by their code points.
fn describe_junk(text: &str) -> String {
    match text.chars().next() {
        Some(c) if !c.is_ascii_graphic() => format!("character U+{:04X}", u32::from(c)),
        _ => quoted(text),
    }
}
