//! The arguments between a call's parentheses, taken one by one.

use std::ops::{Range, RangeInclusive};

use crate::diag::{Diagnostic, quoted};
use crate::lex::Kind;

use super::cursor::{Context, Cursor};
use super::expr::{ADDRESS, LENGTH, Want, evaluate};
use super::number::number;
use super::text::string;

/// The arguments not taken yet.
///
/// Each method takes one argument by its parameter's name and reports every mistake in it. It
/// returns `None` after a mistake, so that a caller takes all arguments before it gives up.
#[derive(Debug)]
pub(super) struct Args<'p, 's> {
    ctx: &'p mut Context<'s>,
    rest: Cursor<'p>,
    /// Whether the last thing taken was a comma, behind which an argument must stand.
    after_comma: bool,
    /// Whether commas are where they should be, so that arguments can be counted.
    is_countable: bool,
    missing: Vec<&'static str>,
    /// The place of the argument taken last.
    last: Range<usize>,
}

impl<'p, 's> Args<'p, 's> {
    pub(super) fn new(ctx: &'p mut Context<'s>, inside: Cursor<'p>) -> Self {
        let last = inside.place();
        Self { ctx, rest: inside, after_comma: false, is_countable: true, missing: Vec::new(), last }
    }

    pub(super) fn address(&mut self, name: &'static str) -> Option<u64> {
        self.number(name, &ADDRESS)
    }

    pub(super) fn length(&mut self, name: &'static str) -> Option<u64> {
        self.number(name, &LENGTH)
    }

    /// An address that may be left out at the end.
    pub(super) fn optional_address(&mut self, name: &'static str) -> Option<u64> {
        self.optional_number(name, &ADDRESS)
    }

    /// A number that may be left out at the end, where it is 0.
    pub(super) fn optional_number(&mut self, name: &'static str, want: &Want) -> Option<u64> {
        if self.is_at_end() { Some(0) } else { self.number(name, want) }
    }

    pub(super) fn number(&mut self, name: &'static str, want: &Want) -> Option<u64> {
        let argument = self.take(name, want.expected)?;
        evaluate(self.ctx, argument, want)
    }

    /// A number within bounds.
    pub(super) fn bounded(
        &mut self,
        name: &'static str,
        want: &Want,
        bounds: &RangeInclusive<u8>,
    ) -> Option<u8> {
        let value = self.number(name, want)?;
        let bounded = u8::try_from(value).ok().filter(|value| bounds.contains(value));
        if bounded.is_none() {
            self.wrong(format!("{value} is not {}", want.what), want.expected, None);
        }
        bounded
    }

    /// A number of C's type `int`.
    pub(super) fn int(&mut self, name: &'static str, expected: &'static str) -> Option<i32> {
        let mut argument = self.take(name, expected)?;
        let is_negative = argument.eat(Kind::Minus).is_some();
        let Some(token) = argument.eat(Kind::Number).filter(|_| argument.peek().is_none()) else {
            self.ctx.unexpected(&argument, expected);
            return None;
        };
        match number(self.ctx.text(token)) {
            Ok(value) => {
                let value = if is_negative { -i128::from(value) } else { i128::from(value) };
                let int = i32::try_from(value).ok();
                if int.is_none() {
                    self.wrong(format!("{value} does not fit 32 bits"), expected, None);
                }
                int
            }
            Err(error) => {
                self.wrong(error.message, expected, error.help);
                None
            }
        }
    }

    /// A string in quotes.
    pub(super) fn text(&mut self, name: &'static str, expected: &str) -> Option<String> {
        let mut argument = self.take(name, expected)?;
        let first = argument.next()?;
        if argument.peek().is_some() {
            self.ctx.unexpected(&argument, "`,` or the end of the string");
            return None;
        }
        match first.kind {
            Kind::Text | Kind::UnclosedText => string(self.ctx, first),
            Kind::Name | Kind::Number => {
                let text = self.ctx.text(first);
                let help = format!("write it as {}", quoted(&format!("\"{text}\"")));
                self.wrong(format!("{} is not in quotes", quoted(text)), expected, Some(help));
                None
            }
            _ => {
                let message = format!("unexpected {}", self.ctx.describe(first));
                self.wrong(message, expected, None);
                None
            }
        }
    }

    /// A string in quotes that is one of a few words.
    pub(super) fn quoted_word<T: Copy>(
        &mut self,
        name: &'static str,
        expected: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(name, expected)?;
        self.one_of(&text, expected, words)
    }

    /// One of a few words without quotes.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        expected: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let mut argument = self.take(name, expected)?;
        let Some(token) = argument.eat(Kind::Name).filter(|_| argument.peek().is_none()) else {
            self.ctx.unexpected(&argument, expected);
            return None;
        };
        let text = self.ctx.text(token);
        self.one_of(text, expected, words)
    }

    /// A question that names the candidate nearest to `name`, if one is near.
    pub(super) fn did_you_mean(&self, name: &str, candidate: &'static str) -> Option<String> {
        self.ctx.did_you_mean(name, [candidate].into_iter())
    }

    /// Reports a mistake in the argument taken last.
    pub(super) fn wrong(&mut self, message: String, expected: &str, help: Option<String>) {
        let mistake = Diagnostic::new(self.last.clone(), message);
        self.ctx.report(mistake.expected(expected).help(help));
    }

    /// Reports arguments that are missing or too many, after all were taken.
    pub(super) fn finish(self, call: &str, parameters: &str) {
        if !self.is_countable {
            return;
        }
        let signature = format!("`{call}({parameters})`");
        if let Some(names) = join(&self.missing) {
            let message = format!("{call} lacks {names}");
            let mistake = Diagnostic::new(self.rest.place(), message).expected(names);
            self.ctx.report(mistake.help(format!("the call is {signature}")));
        } else if !self.is_at_end() {
            let mistake = Diagnostic::new(self.rest.span(), format!("too many arguments to {call}"));
            let mistake = mistake.expected("`)`");
            self.ctx.report(mistake.help(format!("the call is {signature}")));
        }
    }

    fn is_at_end(&self) -> bool {
        self.rest.peek().is_none() && !self.after_comma
    }

    fn one_of<T: Copy>(&mut self, text: &str, expected: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let help = self.ctx.did_you_mean(text, words.iter().map(|(word, _)| *word));
            let written = self.ctx.source.get(self.last.clone()).unwrap_or_default();
            self.wrong(format!("unexpected {}", quoted(written)), expected, help);
        }
        found.map(|(_, value)| *value)
    }

    /// Cuts off the next argument and the comma behind it.
    fn take(&mut self, name: &'static str, expected: &str) -> Option<Cursor<'p>> {
        if self.is_at_end() {
            self.missing.push(name);
            return None;
        }
        let argument = self.rest.take_argument();
        self.last = argument.span();
        self.after_comma = self.rest.eat(Kind::Comma).is_some();
        if !self.after_comma && self.rest.peek().is_some() {
            self.is_countable = false;
            self.ctx.unexpected(&self.rest, "`,` before the next argument, or `|` or `+`");
        }
        if argument.peek().is_none() {
            let message = format!("nothing stands for {name}");
            self.ctx.report(Diagnostic::new(argument.place(), message).expected(expected));
            return None;
        }
        Some(argument)
    }
}

/// `a`, `a and b`, `a, b and c`, or `None` for nothing.
fn join(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [only] => Some((*only).to_owned()),
        [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
    }
}
