//! Numbers and names combined by `+` and `|`.

use crate::diag::{Diagnostic, quoted};
use crate::lex::{Kind, Token};
use ptelab_uapi::{Bounds, NameTable, TABLES};

use super::cursor::{Context, Cursor};
use super::number::number;

/// What kind of number is asked for.
#[derive(Debug)]
pub(super) struct Want {
    /// With its article: `a length`.
    pub(super) what: &'static str,
    pub(super) expected: &'static str,
    table: Option<&'static NameTable>,
    can_be_null: bool,
}

pub(super) const ADDRESS: Want =
    Want { can_be_null: true, ..Want::plain("an address", "an address, as in `0x40000000`") };
pub(super) const LENGTH: Want = Want::plain("a length", "a length in bytes, as in `64K`");
pub(super) const OFFSET: Want = Want::plain("an offset", "an offset in bytes, as in `0`");
pub(super) const RESULT: Want = Want {
    can_be_null: true,
    ..Want::plain("a result", "a result: `0`, `0x40000000`, `-1 ENOMEM`, `SIGSEGV` or `SIGBUS`")
};
impl Want {
    pub(super) const fn plain(what: &'static str, expected: &'static str) -> Self {
        Self { what, expected, table: None, can_be_null: false }
    }

    pub(super) const fn named(table: &'static NameTable) -> Self {
        Self { what: table.what, expected: table.hint, table: Some(table), can_be_null: false }
    }

    pub(super) const fn bounded(bounds: &'static Bounds) -> Self {
        Self::plain(bounds.what, bounds.expected)
    }

    fn value(&self, name: &str) -> Option<u64> {
        if self.can_be_null && name == "NULL" {
            return Some(0);
        }
        self.table?.value(name)
    }
}

/// The value of all tokens of `cursor`; every mistake in them is reported.
pub(super) fn evaluate(ctx: &mut Context<'_>, cursor: Cursor<'_>, want: &Want) -> Option<u64> {
    if let Some(operator) = senseless_operator(&cursor, want) {
        let message = format!("{} cannot be combined with another", want.what);
        ctx.report(Diagnostic::new(operator.span(), message).expected(want.expected));
        return None;
    }
    let mut evaluator = Evaluator { ctx, cursor, want, failed: false };
    let value = evaluator.alternatives()?;
    if evaluator.cursor.peek().is_some() {
        evaluator.ctx.unexpected(&evaluator.cursor, "`|`, `+` or the end of the number");
        return None;
    }
    (!evaluator.failed).then_some(value)
}

/// An operator next to a name of a kind whose names exclude each other.
fn senseless_operator(cursor: &Cursor<'_>, want: &Want) -> Option<Token> {
    let tokens = cursor.rest();
    let has_name = tokens.iter().any(|token| token.kind == Kind::Name);
    if !has_name || !want.table.is_some_and(NameTable::is_single) {
        return None;
    }
    tokens.iter().copied().find(|token| matches!(token.kind, Kind::Pipe | Kind::Plus))
}

struct Evaluator<'e, 's, 't> {
    ctx: &'e mut Context<'s>,
    cursor: Cursor<'t>,
    want: &'e Want,
    /// Whether a term was a mistake; the terms after it are read nevertheless, for theirs.
    failed: bool,
}

impl Evaluator<'_, '_, '_> {
    fn alternatives(&mut self) -> Option<u64> {
        let mut value = self.sum()?;
        while self.cursor.eat(Kind::Pipe).is_some() {
            value |= self.sum()?;
        }
        Some(value)
    }

    /// As in C, `+` binds closer than `|`.
    fn sum(&mut self) -> Option<u64> {
        let start = self.cursor.place().start;
        let mut value = self.term()?;
        while self.cursor.eat(Kind::Plus).is_some() {
            let end = self.cursor.place().end;
            let term = self.term()?;
            value = value
                .checked_add(term)
                .unwrap_or_else(|| self.fail(Diagnostic::new(start..end, "this sum does not fit 64 bits")));
        }
        Some(value)
    }

    /// `None` where nothing stands that could be a term at all.
    fn term(&mut self) -> Option<u64> {
        let want = self.want;
        match self.cursor.peek().map(|token| (token.kind, token)) {
            Some((Kind::Number, token)) => {
                self.cursor.next();
                Some(self.number(token))
            }
            Some((Kind::Name, token)) => {
                self.cursor.next();
                Some(self.name(token))
            }
            Some((Kind::Minus, token)) => {
                self.cursor.next();
                let end = self.cursor.eat(Kind::Number).map_or(token.end, |number| number.end);
                let message = format!("{} is never negative", want.what);
                Some(self.fail(Diagnostic::new(token.start..end, message).expected(want.expected)))
            }
            _ => {
                self.ctx.unexpected(&self.cursor, want.expected);
                None
            }
        }
    }

    fn number(&mut self, token: Token) -> u64 {
        number(self.ctx.text(token)).unwrap_or_else(|error| {
            let mistake = Diagnostic::new(token.span(), error.message);
            self.fail(mistake.expected(self.want.expected).help(error.help))
        })
    }

    fn name(&mut self, token: Token) -> u64 {
        let name = self.ctx.text(token);
        self.want.value(name).unwrap_or_else(|| {
            let mistake = wrong_name(self.ctx, token, self.want);
            self.fail(mistake)
        })
    }

    fn fail(&mut self, mistake: Diagnostic) -> u64 {
        self.failed = true;
        self.ctx.report(mistake);
        0
    }
}

fn wrong_name(ctx: &Context<'_>, token: Token, want: &Want) -> Diagnostic {
    let name = ctx.text(token);
    let quoted = quoted(name);
    let other = TABLES.into_iter().find(|table| table.value(name).is_some());
    let message = match other {
        Some(table) => format!("{quoted} is {}, not {}", table.what, want.what),
        None if name == "NULL" => format!("{quoted} is an address, not {}", want.what),
        None => format!("{quoted} is not {}", want.what),
    };
    let names = want.table.into_iter().flat_map(|table| table.entries);
    let help = match other {
        Some(_) => None,
        None => ctx.did_you_mean(name, names.map(|entry| entry.name)),
    };
    Diagnostic::new(token.span(), message).expected(want.expected).help(help)
}
