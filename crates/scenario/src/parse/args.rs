//! The arguments between a call's parentheses, taken one by one.

use std::ops::Range;

use crate::diag::{Diagnostic, quoted};
use crate::lex::Kind;
use ptelab_uapi::{Bounds, Form, Kind as ParamKind, Params, Slot, ThpKey, Value};

use super::cursor::{Context, Cursor};
use super::expr::{ADDRESS, LENGTH, OFFSET, Want, evaluate};
use super::number::number;
use super::text::string;

const THP_SIZE: &str = "a size as sysfs names it, as in `\"64kB\"`, or `\"enabled\"`";
const RANGES: &str = "ranges in brackets, as in `[0x40000000, 64K]`";

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

    /// One argument of the kind that its parameter is.
    pub(super) fn argument(&mut self, slot: &Slot) -> Option<Value> {
        if slot.optional && self.is_at_end() {
            return Some(Value::Missing);
        }
        let name = slot.name;
        match slot.kind {
            ParamKind::Addr | ParamKind::NewAddr => self.number(name, &ADDRESS),
            ParamKind::Len | ParamKind::NewLen | ParamKind::Bytes => self.number(name, &LENGTH),
            ParamKind::Offset => self.number(name, &OFFSET),
            ParamKind::Flags(table) => self.number(name, &Want::named(table)),
            ParamKind::Number(bounds) => self.bounded(name, bounds),
            ParamKind::Int(expected) => self.int(name, expected).map(Value::Int),
            ParamKind::Word(words) => self.word(name, words),
            ParamKind::Quoted(words) => self.quoted_word(name, words),
            ParamKind::Text(expected) => self.text(name, expected).map(Value::Text),
            ParamKind::ThpKey => {
                let text = self.text(name, THP_SIZE)?;
                self.thp_key(&text).map(Value::ThpKey)
            }
            ParamKind::Ranges => self.ranges(name),
        }
    }

    fn number(&mut self, name: &'static str, want: &Want) -> Option<Value> {
        let argument = self.take(name, want.expected)?;
        evaluate(self.ctx, argument, want).map(Value::Number)
    }

    fn bounded(&mut self, name: &'static str, bounds: &'static Bounds) -> Option<Value> {
        let value = self.number(name, &Want::bounded(bounds))?.number()?;
        if !(bounds.min..=bounds.max).contains(&value) {
            self.wrong(format!("{value} is not {}", bounds.what), bounds.expected, None);
            return None;
        }
        Some(Value::Number(value))
    }

    /// `[ADDR, LEN, ADDR, LEN]`
    fn ranges(&mut self, name: &'static str) -> Option<Value> {
        let mut argument = self.take(name, RANGES)?;
        let mut inside =
            argument.eat(Kind::OpenBracket).map(|_| argument.take_until(Kind::CloseBracket, "the list"));
        let (Some(inside), Some(_), None) = (&mut inside, argument.eat(Kind::CloseBracket), argument.peek())
        else {
            self.wrong("this is no list of ranges".to_owned(), RANGES, None);
            return None;
        };
        let mut ranges = Vec::new();
        while inside.peek().is_some() {
            let addr = evaluate(self.ctx, inside.take_argument(), &ADDRESS)?;
            if inside.eat(Kind::Comma).is_none() {
                self.ctx.unexpected(inside, "`,` and the length of the range");
                return None;
            }
            let len = evaluate(self.ctx, inside.take_argument(), &LENGTH)?;
            ranges.push((addr, len));
            if inside.eat(Kind::Comma).is_none() && inside.peek().is_some() {
                self.ctx.unexpected(inside, "`,` or `]`");
                return None;
            }
        }
        Some(Value::Ranges(ranges))
    }

    /// A number of C's type `int`.
    fn int(&mut self, name: &'static str, expected: &'static str) -> Option<i32> {
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
    fn text(&mut self, name: &'static str, expected: &str) -> Option<String> {
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
    fn quoted_word(&mut self, name: &'static str, words: &[&str]) -> Option<Value> {
        let expected = one_of(words.iter().map(|word| format!("`\"{word}\"`")));
        let text = self.text(name, &expected)?;
        self.one_of(&text, &expected, words)
    }

    /// One of a few words without quotes.
    fn word(&mut self, name: &'static str, words: &[&str]) -> Option<Value> {
        let expected = one_of(words.iter().map(|word| format!("`{word}`")));
        let mut argument = self.take(name, &expected)?;
        let Some(token) = argument.eat(Kind::Name).filter(|_| argument.peek().is_none()) else {
            self.ctx.unexpected(&argument, &expected);
            return None;
        };
        let text = self.ctx.text(token);
        self.one_of(text, &expected, words)
    }

    fn thp_key(&mut self, text: &str) -> Option<ThpKey> {
        let key = ThpKey::parse(text);
        if key.is_none() {
            let help = thp_key_help(text).or_else(|| self.ctx.did_you_mean(text, ["enabled"].into_iter()));
            self.wrong(format!("{} is not the name of a size", quoted(text)), THP_SIZE, help);
        }
        key
    }

    /// Reports a mistake in the argument taken last.
    pub(super) fn wrong(&mut self, message: String, expected: &str, help: Option<String>) {
        let mistake = Diagnostic::new(self.last.clone(), message);
        self.ctx.report(mistake.expected(expected).help(help));
    }

    /// Reports arguments that are missing or too many, after all were taken.
    pub(super) fn finish(self, form: &Form) {
        if !self.is_countable {
            return;
        }
        let call = form.name;
        let signature = format!("`{call}({})`", Params(form.params));
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

    fn one_of(&mut self, text: &str, expected: &str, words: &[&str]) -> Option<Value> {
        let found = words.iter().position(|word| *word == text);
        if found.is_none() {
            let help = self.ctx.did_you_mean(text, words.iter().copied());
            let written = self.ctx.source.get(self.last.clone()).unwrap_or_default();
            self.wrong(format!("unexpected {}", quoted(written)), expected, help);
        }
        found.map(|at| Value::Number(at as u64))
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

/// `a`, `a or b`, `a, b or c`
fn one_of(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    }
}

/// What to write for `64K`, `64KB`, `2M` ...
fn thp_key_help(text: &str) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let factor = match unit.to_ascii_uppercase().as_str() {
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 1024,
        "G" | "GB" | "GIB" => 1024 * 1024,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let kb = count.checked_mul(factor)?;
    Some(if kb.is_power_of_two() {
        format!("write `\"{kb}kB\"`")
    } else {
        "sizes are powers of two".to_owned()
    })
}
