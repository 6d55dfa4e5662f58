//! Names of numbers, as tables.

use std::fmt;

/// The names of one kind of number.
#[derive(Debug, PartialEq, Eq)]
pub struct NameTable {
    /// What a number of this kind is, with its article: `a protection`.
    pub what: &'static str,
    /// What every name begins with: `PROT_`.
    pub prefix: &'static str,
    /// What a message says is expected.
    pub hint: &'static str,
    /// The names, in the order in which they are printed.
    pub entries: &'static [Named],
    /// The name of zero, where that has one.
    pub(crate) zero: Option<&'static str>,
    pub(crate) style: Style,
}

/// One name and its number.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// The name, as in C.
    pub name: &'static str,
    /// The number, as in the kernel's headers.
    pub value: u64,
    /// The bits that must equal `value` for the name to be printed; an alias has none and is only read.
    mask: u64,
}

/// How numbers of a kind are made of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Names are or-ed together.
    Flags,
    /// A number has one name, or none.
    Single,
}

impl NameTable {
    /// The number that `name` stands for.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        let named = self.entries.iter().find(|entry| entry.name == name)?;
        Some(named.value)
    }

    /// The number that `name` without the table's prefix stands for: `READ` for `PROT_READ`.
    #[must_use]
    pub fn short_value(&self, name: &str) -> Option<u64> {
        let named = self.entries.iter().find(|entry| entry.name.strip_prefix(self.prefix) == Some(name))?;
        Some(named.value)
    }

    /// `value` as text that reads back to the same value: names joined by `|`, then what has no name as a number.
    #[must_use]
    pub fn text(&'static self, value: u64) -> impl fmt::Display + use<> {
        Text { table: self, value }
    }

    /// Whether a number has one name at most, so that names cannot be or-ed together.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        matches!(self.style, Style::Single)
    }
}

impl Named {
    pub(crate) const fn flag(name: &'static str, value: u64) -> Self {
        Self { name, value, mask: value }
    }

    pub(crate) const fn field(name: &'static str, value: u64, mask: u64) -> Self {
        Self { name, value, mask }
    }

    pub(crate) const fn alias(name: &'static str, value: u64) -> Self {
        Self { name, value, mask: 0 }
    }

    fn is_in(&self, value: u64) -> bool {
        self.mask != 0 && value & self.mask == self.value
    }
}

struct Text {
    table: &'static NameTable,
    value: u64,
}

impl Text {
    fn single(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table.entries.iter().find(|entry| entry.value == self.value) {
            Some(entry) => f.write_str(entry.name),
            None => write!(f, "{}", self.value),
        }
    }

    fn flags(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.value;
        let mut separator = "";
        // Matched against the rest, so that bits already named do not count twice.
        for entry in self.table.entries {
            if entry.is_in(rest) {
                write!(f, "{separator}{}", entry.name)?;
                rest &= !entry.mask;
                separator = "|";
            }
        }
        if rest == 0 { Ok(()) } else { write!(f, "{separator}{rest:#x}") }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.table.style, self.value, self.table.zero) {
            (Style::Single, ..) => self.single(f),
            (Style::Flags, 0, zero) => f.write_str(zero.unwrap_or("0")),
            (Style::Flags, ..) => self.flags(f),
        }
    }
}
