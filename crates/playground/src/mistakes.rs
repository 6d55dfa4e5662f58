//! Mistakes in a scenario, at places as a page counts them.

use ptelab::scenario::{Diagnostic, Diagnostics};
use serde::Serialize;

/// A mistake.
#[derive(Debug, Serialize)]
pub(crate) struct Mistake {
    /// Its place, in UTF-16 code units, as scripts count.
    from: usize,
    to: usize,
    line: u32,
    column: u32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// The mistakes of a text.
pub(crate) fn of(text: &str, mistakes: &Diagnostics) -> Vec<Mistake> {
    let mut place = Place { text, bytes: 0, units: 0 };
    mistakes.items.iter().map(|one| mistake(&mut place, one)).collect()
}

fn mistake(place: &mut Place<'_>, one: &Diagnostic) -> Mistake {
    let from = place.units_at(one.span.start);
    let to = Place { ..*place }.units_at(one.span.end);
    Mistake {
        from,
        to,
        line: one.line,
        column: one.column,
        message: one.message.clone(),
        expected: one.expected.clone(),
        help: one.help.clone(),
    }
}

/// A place in a text that only moves forward, as mistakes are in order.
struct Place<'a> {
    text: &'a str,
    bytes: usize,
    units: usize,
}

impl Place<'_> {
    fn units_at(&mut self, bytes: usize) -> usize {
        if let Some(passed) = self.text.get(self.bytes..bytes) {
            self.units += passed.encode_utf16().count();
            self.bytes = bytes;
        }
        self.units
    }
}
