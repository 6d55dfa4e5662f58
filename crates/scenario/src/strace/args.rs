//! The arguments of a call, by place and by name.

use crate::strace::argument::{Fd, LoggedText};
use crate::strace::scan::{Item, Items};
use crate::strace::value::{self, Names};
use ptelab_uapi::{Kind, NameTable, Param, Value};

/// More than any decoded call has, or any struct among its arguments.
const MOST: usize = 12;

/// What strace appends to the arguments of a call that did not return.
const UNFINISHED: &[u8] = b"<unfinished ...>";

/// The arguments of a call or the fields of a struct.
#[derive(Clone, Debug)]
pub(super) struct Args<'a> {
    items: [Item<'a>; MOST],
    count: usize,
    /// Whether perf trace printed them, which leaves out what is zero and shortens names.
    perf: bool,
}

/// No place: an argument that always has its name.
pub(super) const NAMED: usize = usize::MAX;

/// Which argument: its place, from 0, and the kernel's name for it, which perf trace prints.
pub(super) type Place = (usize, &'static str);

impl<'a> Args<'a> {
    /// The list of which `text` is what follows the opening bracket, and what follows the closing one.
    pub(super) fn split(text: &'a [u8], close: u8, perf: bool) -> Option<(Self, &'a [u8])> {
        let mut list = Items::new(text, close);
        let mut args = Self { items: [Item::default(); MOST], count: 0, perf };
        for mut item in list.by_ref() {
            if let Some(before) = item.text.strip_suffix(UNFINISHED) {
                item.text = before.trim_ascii_end();
            }
            if args.count < MOST && !item.text.is_empty() {
                args.items[args.count] = item;
                args.count += 1;
            }
        }
        Some((args, list.after()?))
    }

    /// The text of an argument.
    pub(super) fn text(&self, (at, name): Place) -> Option<&'a [u8]> {
        let items = &self.items[..self.count];
        let by_name = items.iter().find(|item| item.name == Some(name.as_bytes()));
        let by_place = || items.get(at).filter(|item| item.name.is_none());
        by_name.or_else(by_place).map(|item| item.text)
    }

    /// An argument that must be a number.
    pub(super) fn number(&self, place: Place) -> Result<u64, String> {
        self.flags(place, &[])
    }

    /// An argument that must be made of numbers and the names of `tables`.
    pub(super) fn flags(&self, place: Place, tables: &[&NameTable]) -> Result<u64, String> {
        match self.text(place) {
            Some(text) => value::evaluate(text, Names { tables, short: self.perf })
                .map_err(|what| self.wrong(place, &what)),
            None => self.missing(place, 0),
        }
    }

    /// Flags of a kind, or another number that has names.
    pub(super) fn named<P: Param>(&self, place: Place) -> Result<P::Value, String> {
        let number = match P::KIND {
            Kind::Flags(table) => self.flags(place, &[table])?,
            _ => self.number(place)?,
        };
        P::take(Value::Number(number)).ok_or_else(|| self.wrong(place, "it is out of bounds"))
    }

    /// The same, where the log need not have it.
    pub(super) fn optional(&self, place: Place, tables: &[&NameTable]) -> Result<Option<u64>, String> {
        self.text(place).map(|_| self.flags(place, tables)).transpose()
    }

    /// An argument that must be a number of 32 bits.
    pub(super) fn int(&self, place: Place) -> Result<i32, String> {
        value::int(self.number(place)?).map_err(|what| self.wrong(place, &what))
    }

    /// An argument that must be a descriptor.
    pub(super) fn fd(&self, place: Place) -> Result<Option<Fd>, String> {
        match self.text(place) {
            Some(text) => value::fd(text).map(Some).map_err(|what| self.wrong(place, &what)),
            None => self.missing(place, None),
        }
    }

    /// An argument that is a string, or the address of one.
    pub(super) fn string(&self, place: Place) -> Option<LoggedText> {
        let text = self.text(place)?;
        let bare = self.perf && text.first() == Some(&b'/');
        if bare {
            return Some(LoggedText { text: value::unescape(text), truncated: false });
        }
        value::string(text)
    }

    /// The fields of a struct among the arguments, or `None` if the log has only its address.
    pub(super) fn fields(&self, place: Place) -> Option<Args<'a>> {
        let inner = self.text(place)?.strip_prefix(b"{")?;
        Self::split(inner, b'}', self.perf).map(|(fields, _)| fields)
    }

    fn missing<T>(&self, place: Place, zero: T) -> Result<T, String> {
        if self.perf { Ok(zero) } else { Err(self.wrong(place, "it is missing")) }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is about")]
    fn wrong(&self, (at, name): Place, what: &str) -> String {
        match at.checked_add(1) {
            Some(number) => format!("argument {number} ({name}): {what}"),
            None => format!("argument {name}: {what}"),
        }
    }
}
