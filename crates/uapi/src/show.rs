//! Calls as text. What is printed is what the scenario language reads.

use crate::{Call, Kind, Value};
use std::fmt::{self, Display, Formatter, Write};

impl Display for Call {
    /// The call as C would have it: addresses in hex, lengths with a suffix where one fits, flags by name.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let form = self.form();
        write!(f, "{}(", form.name)?;
        let mut separator = "";
        for (slot, value) in form.params.iter().zip(self.values()) {
            if value == Value::Missing {
                continue;
            }
            f.write_str(separator)?;
            write_argument(slot.kind, &value, f)?;
            separator = ", ";
        }
        f.write_char(')')
    }
}

fn write_argument(kind: Kind, value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match (kind, value) {
        (Kind::Addr | Kind::NewAddr, Value::Number(addr)) => write!(f, "{}", Addr(*addr)),
        (Kind::Len | Kind::NewLen | Kind::Bytes, Value::Number(len)) => write!(f, "{}", ByteSize(*len)),
        (Kind::Offset, Value::Number(offset)) => write!(f, "{}", Offset(*offset)),
        (Kind::Flags(table), Value::Number(flags)) => write!(f, "{}", table.text(*flags)),
        (Kind::Word(words), Value::Number(at)) => f.write_str(words[*at as usize]),
        (Kind::Quoted(words), Value::Number(at)) => write!(f, "{}", Quoted(words[*at as usize])),
        (_, Value::Number(number)) => write!(f, "{number}"),
        (_, Value::Int(int)) => write!(f, "{int}"),
        (_, Value::Text(text)) => write!(f, "{}", Quoted(text)),
        (_, Value::ThpKey(key)) => write!(f, "{}", Quoted(&key.to_string())),
        (_, Value::Ranges(ranges)) => {
            let each = ranges.iter().map(|(addr, len)| format!("{}, {}", Addr(*addr), ByteSize(*len)));
            write!(f, "[{}]", each.collect::<Vec<_>>().join(", "))
        }
        (_, Value::Missing) => Ok(()),
    }
}

/// An address, as strace prints it.
struct Addr(u64);

impl Display for Addr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("NULL"),
            addr => write!(f, "{addr:#x}"),
        }
    }
}

/// An offset into a file, as strace prints it.
struct Offset(u64);

impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_char('0'),
            offset => write!(f, "{offset:#x}"),
        }
    }
}

/// A length in bytes, with the largest suffix that divides it: `64K`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl Display for ByteSize {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let size = self.0;
        let fits = |shift: u32| size != 0 && size.trailing_zeros() >= shift;
        match [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')].into_iter().find(|(shift, _)| fits(*shift)) {
            Some((shift, suffix)) => write!(f, "{}{suffix}", size >> shift),
            None => write!(f, "{size}"),
        }
    }
}

/// A string in quotes, with the escapes that the parser knows.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
