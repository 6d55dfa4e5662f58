//! Scenarios as canonical text.
//!
//! What is printed reads back to an equal value, for every value that the parser can make.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{Expect, Item, Line, Repeat, Scenario, Signal};
use crate::call::{Call, ThpKey};
use crate::consts::{MADV, MAP, MREMAP, PAGE_IS, PM_SCAN, PROT, UFFD};

const INDENT: usize = 2;

impl Display for Scenario {
    /// The whole text, comments and blank lines included, every line ended by a newline.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_items(&self.items, 0, f)
    }
}

impl Display for Line {
    /// The line without its comment: `[pid 2] munmap(0x40000000, 4K) = 0`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "[pid {pid}] ")?;
        }
        write!(f, "{}", self.call)?;
        match self.expect {
            Some(expect) => write!(f, " = {expect}"),
            None => Ok(()),
        }
    }
}

impl Display for Expect {
    /// The result as it stands behind the `=`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) if *value < 4096 => write!(f, "{value}"),
            Self::Value(value) => write!(f, "{value:#x}"),
            Self::Errno(errno) => write!(f, "-1 {errno}"),
            Self::Signal(signal) => write!(f, "{signal}"),
        }
    }
}

impl Display for Signal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for Call {
    /// The call as C would have it: addresses in hex, lengths with a suffix where one fits, flags by name.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name())?;
        match self {
            Self::Mmap { .. }
            | Self::Munmap { .. }
            | Self::Mprotect { .. }
            | Self::Madvise { .. }
            | Self::Mremap { .. } => write_mapping_arguments(self, f)?,
            Self::Memset { .. } | Self::ExplicitBzero { .. } | Self::Touch { .. } | Self::Check { .. } => {
                write_access_arguments(self, f)?;
            }
            Self::Uffd { .. }
            | Self::UffdUnregister { .. }
            | Self::UffdWp { .. }
            | Self::UffdPoison { .. }
            | Self::PagemapScan { .. } => write_uffd_arguments(self, f)?,
            _ => write_other_arguments(self, f)?,
        }
        f.write_char(')')
    }
}

fn write_items(items: &[Item], depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    for item in items {
        if !matches!(item, Item::Blank) {
            write!(f, "{:1$}", "", depth * INDENT)?;
        }
        match item {
            Item::Comment(text) => write!(f, "#{text}")?,
            Item::Blank => {}
            Item::Line(line) => write!(f, "{line}{}", Trailing(line.comment.as_deref()))?,
            Item::Repeat(repeat) => write_repeat(repeat, depth, f)?,
        }
        f.write_char('\n')?;
    }
    Ok(())
}

fn write_repeat(repeat: &Repeat, depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let (count, indent) = (repeat.count, depth * INDENT);
    let comment = Trailing(repeat.comment.as_deref());
    let end_comment = Trailing(repeat.end_comment.as_deref());
    writeln!(f, "repeat {count} {{{comment}")?;
    write_items(&repeat.body, depth + 1, f)?;
    write!(f, "{:indent$}}}{end_comment}", "")
}

fn write_mapping_arguments(call: &Call, f: &mut Formatter<'_>) -> fmt::Result {
    match *call {
        Call::Mmap { addr, len, prot, flags, fd, offset } => {
            let (prot, flags) = (PROT.text(prot), MAP.text(flags));
            let (addr, len, offset) = (Addr(addr), Size(len), Offset(offset));
            write!(f, "{addr}, {len}, {prot}, {flags}, {fd}, {offset}")
        }
        Call::Munmap { addr, len } => write!(f, "{}, {}", Addr(addr), Size(len)),
        Call::Mprotect { addr, len, prot } => {
            write!(f, "{}, {}, {}", Addr(addr), Size(len), PROT.text(prot))
        }
        Call::Madvise { addr, len, advice } => {
            write!(f, "{}, {}, {}", Addr(addr), Size(len), MADV.text(advice))
        }
        Call::Mremap { old_addr, old_len, new_len, flags, new_addr } => {
            let (old_len, new_len) = (Size(old_len), Size(new_len));
            write!(f, "{}, {old_len}, {new_len}, {}", Addr(old_addr), MREMAP.text(flags))?;
            match new_addr {
                0 => Ok(()),
                new_addr => write!(f, ", {}", Addr(new_addr)),
            }
        }
        _ => Ok(()),
    }
}

fn write_access_arguments(call: &Call, f: &mut Formatter<'_>) -> fmt::Result {
    match *call {
        Call::Memset { addr, byte, len } => write!(f, "{}, {byte}, {}", Addr(addr), Size(len)),
        Call::ExplicitBzero { addr, len } => write!(f, "{}, {}", Addr(addr), Size(len)),
        Call::Touch { addr, len, access } => {
            write!(f, "{}, {}, {}", Addr(addr), Size(len), access.name())
        }
        Call::Check { addr, byte } => write!(f, "{}, {byte}", Addr(addr)),
        _ => Ok(()),
    }
}

fn write_uffd_arguments(call: &Call, f: &mut Formatter<'_>) -> fmt::Result {
    match *call {
        Call::Uffd { addr, len, features } => {
            write!(f, "{}, {}, {}", Addr(addr), Size(len), UFFD.text(features))
        }
        Call::UffdUnregister { addr, len } | Call::UffdPoison { addr, len } => {
            write!(f, "{}, {}", Addr(addr), Size(len))
        }
        Call::UffdWp { addr, len, how } => write!(f, "{}, {}, {}", Addr(addr), Size(len), how.name()),
        Call::PagemapScan { addr, len, flags, mask, returned, max_pages } => {
            let (mask, returned) = (PAGE_IS.text(mask), PAGE_IS.text(returned));
            write!(f, "{}, {}, {}, {mask}, {returned}", Addr(addr), Size(len), PM_SCAN.text(flags))?;
            if max_pages == 0 { Ok(()) } else { write!(f, ", {max_pages}") }
        }
        _ => Ok(()),
    }
}

fn write_other_arguments(call: &Call, f: &mut Formatter<'_>) -> fmt::Result {
    match call {
        Call::Thp { size, mode } => write!(f, "\"{size}\", \"{}\"", mode.name()),
        Call::ExitGroup { status } => write!(f, "{status}"),
        Call::ClearRefs { what } => write!(f, "{what}"),
        Call::Numa { nodes } => write!(f, "{nodes}"),
        Call::NumaAlloc { node } => write!(f, "{node}"),
        Call::Swapon { size } => write!(f, "{}", Size(*size)),
        Call::DeviceExclusive { addr } | Call::Hwpoison { addr } => write!(f, "{}", Addr(*addr)),
        Call::SplitFolio { addr, order } => write!(f, "{}, {order}", Addr(*addr)),
        Call::NumaScan { addr, len }
        | Call::MigrateBegin { addr, len }
        | Call::MigrateEnd { addr, len }
        | Call::Reclaim { addr, len }
        | Call::DevicePrivate { addr, len } => write!(f, "{}, {}", Addr(*addr), Size(*len)),
        Call::Dump { addr, len, name } => {
            write!(f, "{}, {}, {}", Addr(*addr), Size(*len), Quoted(name))
        }
        Call::Time { on } => write!(f, "\"{}\"", on.name()),
        _ => Ok(()),
    }
}

impl Display for ThpKey {
    /// The key without its quotes: `enabled`, `64kB`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.write_str("enabled"),
            Self::Kb(size) => write!(f, "{size}kB"),
        }
    }
}

/// A comment behind something else.
struct Trailing<'a>(Option<&'a str>);

impl Display for Trailing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |text| write!(f, " #{text}"))
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

/// A length in bytes, with the largest suffix that divides it.
struct Size(u64);

impl Display for Size {
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
