//! What parameters and arguments of calls can be.

use crate::names::NameTable;
use crate::thp::ThpKey;

/// What a parameter is, as far as reading, printing, shrinking and moving calls need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where the range of the call begins.
    Addr,
    /// How many bytes the range has.
    Len,
    /// Where the range goes.
    NewAddr,
    /// How many bytes it has there.
    NewLen,
    /// An offset into a file, in bytes.
    Offset,
    /// Any other number of bytes.
    Bytes,
    /// Names of a table.
    Flags(&'static NameTable),
    /// A number of a few bits.
    Number(&'static Bounds),
    /// C's `int`; as a message shows it.
    Int(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, in quotes.
    Quoted(&'static [&'static str]),
    /// Any text in quotes; as a message shows it.
    Text(&'static str),
    /// The name of a size of huge pages, in quotes.
    ThpKey,
    /// Addresses and lengths in brackets.
    Ranges,
}

/// Which numbers a parameter may be.
#[derive(Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What it is, with its article: `a byte`.
    pub what: &'static str,
    /// What is expected, as a message shows it: `a byte, 0 to 255`.
    pub expected: &'static str,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

/// A parameter of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out at the end, which then means 0 or nothing.
    pub optional: bool,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, flags, or the place of a word among those that it may be.
    Number(u64),
    /// A number that may be negative.
    Int(i32),
    /// Text.
    Text(String),
    /// The name of a size of huge pages.
    ThpKey(ThpKey),
    /// Addresses and lengths.
    Ranges(Vec<(u64, u64)>),
    /// Left out.
    Missing,
}

impl Value {
    /// It as a number, where it is one; 0 where it is left out.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Missing => Some(0),
            Self::Int(_) | Self::Text(_) | Self::ThpKey(_) | Self::Ranges(_) => None,
        }
    }
}

/// The type of a parameter: what its field holds, and how that is an argument of a kind.
pub trait Param {
    /// What the field holds.
    type Value;
    /// What it is.
    const KIND: Kind;
    /// Whether it may be left out at the end.
    const OPTIONAL: bool = false;

    /// The argument of this value.
    fn put(value: &Self::Value) -> Value;
    /// The value of this argument, if it is of the kind.
    fn take(value: Value) -> Option<Self::Value>;
}
