//! The names of the numbers that calls take, one table per kind.
//!
//! The numbers are those of the Linux UAPI headers (`include/uapi/asm-generic/mman-common.h`, `mman.h` and
//! `include/uapi/linux/mman.h`, with the `arm64` and `x86` additions), as raw `u64`. A number without a name is
//! legal in a scenario, because a kernel answers it with an errno like any other.

use std::fmt;

mod logged;

pub use logged::{CLONE, LOGGED, MCL, MLOCK, MS, PR, SHMAT, SHMGET, SIGNAL};

/// Protections of `mmap` and `mprotect`.
pub const PROT: Table = Table {
    what: "a protection",
    prefix: "PROT_",
    zero: Some("PROT_NONE"),
    style: Style::Flags,
    entries: &[
        Named::flag("PROT_READ", 0x1),
        Named::flag("PROT_WRITE", 0x2),
        Named::flag("PROT_EXEC", 0x4),
        Named::flag("PROT_SEM", 0x8),
        Named::flag("PROT_BTI", 0x10),
        Named::flag("PROT_MTE", 0x20),
        Named::flag("PROT_GROWSDOWN", 0x0100_0000),
        Named::flag("PROT_GROWSUP", 0x0200_0000),
        Named::alias("PROT_NONE", 0),
    ],
};

/// Flags of `mmap`.
pub const MAP: Table = Table {
    what: "a mapping flag",
    prefix: "MAP_",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::field("MAP_SHARED", 0x1, MAP_TYPE_MASK),
        Named::field("MAP_PRIVATE", 0x2, MAP_TYPE_MASK),
        Named::field("MAP_SHARED_VALIDATE", 0x3, MAP_TYPE_MASK),
        Named::field("MAP_DROPPABLE", 0x8, MAP_TYPE_MASK),
        Named::flag("MAP_FIXED", 0x10),
        Named::flag("MAP_ANONYMOUS", 0x20),
        Named::flag("MAP_32BIT", 0x40),
        Named::flag("MAP_ABOVE4G", 0x80),
        Named::flag("MAP_GROWSDOWN", 0x100),
        Named::flag("MAP_DENYWRITE", 0x800),
        Named::flag("MAP_EXECUTABLE", 0x1000),
        Named::flag("MAP_LOCKED", 0x2000),
        Named::flag("MAP_NORESERVE", 0x4000),
        Named::flag("MAP_POPULATE", 0x8000),
        Named::flag("MAP_NONBLOCK", 0x1_0000),
        Named::flag("MAP_STACK", 0x2_0000),
        Named::flag("MAP_HUGETLB", 0x4_0000),
        Named::flag("MAP_SYNC", 0x8_0000),
        Named::flag("MAP_FIXED_NOREPLACE", 0x10_0000),
        Named::huge("MAP_HUGE_16KB", 14),
        Named::huge("MAP_HUGE_64KB", 16),
        Named::huge("MAP_HUGE_512KB", 19),
        Named::huge("MAP_HUGE_1MB", 20),
        Named::huge("MAP_HUGE_2MB", 21),
        Named::huge("MAP_HUGE_8MB", 23),
        Named::huge("MAP_HUGE_16MB", 24),
        Named::huge("MAP_HUGE_32MB", 25),
        Named::huge("MAP_HUGE_256MB", 28),
        Named::huge("MAP_HUGE_512MB", 29),
        Named::huge("MAP_HUGE_1GB", 30),
        Named::huge("MAP_HUGE_2GB", 31),
        Named::huge("MAP_HUGE_16GB", 34),
        // The lowest bit of the huge page size: the flag only where no size is meant.
        Named::field("MAP_UNINITIALIZED", 1 << MAP_HUGE_SHIFT, MAP_HUGE_MASK),
        Named::alias("MAP_ANON", 0x20),
        Named::alias("MAP_FILE", 0),
    ],
};

/// Advices of `madvise`.
pub const MADV: Table = Table {
    what: "an advice",
    prefix: "MADV_",
    zero: Some("MADV_NORMAL"),
    style: Style::Single,
    entries: &[
        Named::flag("MADV_NORMAL", 0),
        Named::flag("MADV_RANDOM", 1),
        Named::flag("MADV_SEQUENTIAL", 2),
        Named::flag("MADV_WILLNEED", 3),
        Named::flag("MADV_DONTNEED", 4),
        Named::flag("MADV_FREE", 8),
        Named::flag("MADV_REMOVE", 9),
        Named::flag("MADV_DONTFORK", 10),
        Named::flag("MADV_DOFORK", 11),
        Named::flag("MADV_MERGEABLE", 12),
        Named::flag("MADV_UNMERGEABLE", 13),
        Named::flag("MADV_HUGEPAGE", 14),
        Named::flag("MADV_NOHUGEPAGE", 15),
        Named::flag("MADV_DONTDUMP", 16),
        Named::flag("MADV_DODUMP", 17),
        Named::flag("MADV_WIPEONFORK", 18),
        Named::flag("MADV_KEEPONFORK", 19),
        Named::flag("MADV_COLD", 20),
        Named::flag("MADV_PAGEOUT", 21),
        Named::flag("MADV_POPULATE_READ", 22),
        Named::flag("MADV_POPULATE_WRITE", 23),
        Named::flag("MADV_DONTNEED_LOCKED", 24),
        Named::flag("MADV_COLLAPSE", 25),
        Named::flag("MADV_HWPOISON", 100),
        Named::flag("MADV_SOFT_OFFLINE", 101),
        Named::flag("MADV_GUARD_INSTALL", 102),
        Named::flag("MADV_GUARD_REMOVE", 103),
    ],
};

/// Flags of `mremap`.
pub const MREMAP: Table = Table {
    what: "an mremap flag",
    prefix: "MREMAP_",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("MREMAP_MAYMOVE", 1),
        Named::flag("MREMAP_FIXED", 2),
        Named::flag("MREMAP_DONTUNMAP", 4),
    ],
};

/// Features of a userfaultfd (`include/uapi/linux/userfaultfd.h`), without their prefix: a scenario's `WP` is
/// `UFFD_FEATURE_PAGEFAULT_FLAG_WP`.
pub const UFFD: Table = Table {
    what: "a userfaultfd feature",
    prefix: "",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("WP", 1),
        Named::flag("EVENT_FORK", 1 << 1),
        Named::flag("EVENT_REMAP", 1 << 2),
        Named::flag("WP_UNPOPULATED", 1 << 13),
        Named::flag("POISON", 1 << 14),
        Named::flag("WP_ASYNC", 1 << 15),
    ],
};

/// Flags of `pagemap_scan` (`include/uapi/linux/fs.h`).
pub const PM_SCAN: Table = Table {
    what: "a flag of pagemap_scan",
    prefix: "PM_SCAN_",
    zero: None,
    style: Style::Flags,
    entries: &[Named::flag("PM_SCAN_WP_MATCHING", 1), Named::flag("PM_SCAN_CHECK_WPASYNC", 2)],
};

/// Categories of pages for `pagemap_scan` (`include/uapi/linux/fs.h`).
pub const PAGE_IS: Table = Table {
    what: "a category of pages",
    prefix: "PAGE_IS_",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("PAGE_IS_WPALLOWED", 1),
        Named::flag("PAGE_IS_WRITTEN", 1 << 1),
        Named::flag("PAGE_IS_FILE", 1 << 2),
        Named::flag("PAGE_IS_PRESENT", 1 << 3),
        Named::flag("PAGE_IS_SWAPPED", 1 << 4),
        Named::flag("PAGE_IS_PFNZERO", 1 << 5),
        Named::flag("PAGE_IS_HUGE", 1 << 6),
        Named::flag("PAGE_IS_SOFT_DIRTY", 1 << 7),
        Named::flag("PAGE_IS_GUARD", 1 << 8),
        Named::flag("PAGE_IS_ACCESSED", 1 << 9),
    ],
};

/// All tables of which scenarios use names.
pub const TABLES: [&Table; 7] = [&PROT, &MAP, &MADV, &MREMAP, &UFFD, &PM_SCAN, &PAGE_IS];

const MAP_TYPE_MASK: u64 = 0xf;
/// Where in the flags of `mmap` and of `shmget` the huge page size lies.
pub const MAP_HUGE_SHIFT: u32 = 26;
const MAP_HUGE_MASK: u64 = 0x3f << MAP_HUGE_SHIFT;

/// The names of one kind of number.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// What a number of this kind is, with its article: `a protection`.
    pub what: &'static str,
    /// What every name begins with: `PROT_`.
    pub prefix: &'static str,
    /// The names, in the order in which they are printed.
    pub entries: &'static [Named],
    zero: Option<&'static str>,
    style: Style,
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

impl Table {
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
    pub fn text(&self, value: u64) -> impl fmt::Display + use<> {
        Text { zero: self.zero, entries: self.entries, style: self.style, value }
    }

    pub(crate) const fn is_single(&self) -> bool {
        matches!(self.style, Style::Single)
    }
}

impl Named {
    const fn flag(name: &'static str, value: u64) -> Self {
        Self { name, value, mask: value }
    }

    const fn field(name: &'static str, value: u64, mask: u64) -> Self {
        Self { name, value, mask }
    }

    /// A huge page size, as its power of two in the field above `MAP_HUGE_SHIFT`.
    const fn huge(name: &'static str, log2: u64) -> Self {
        Self::field(name, log2 << MAP_HUGE_SHIFT, MAP_HUGE_MASK)
    }

    const fn alias(name: &'static str, value: u64) -> Self {
        Self { name, value, mask: 0 }
    }

    fn is_in(&self, value: u64) -> bool {
        self.mask != 0 && value & self.mask == self.value
    }
}

struct Text {
    zero: Option<&'static str>,
    entries: &'static [Named],
    style: Style,
    value: u64,
}

impl Text {
    fn single(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries.iter().find(|entry| entry.value == self.value) {
            Some(entry) => f.write_str(entry.name),
            None => write!(f, "{}", self.value),
        }
    }

    fn flags(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.value;
        let mut separator = "";
        // Matched against the rest, so that bits already named do not count twice.
        for entry in self.entries {
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
        match (self.style, self.value, self.zero) {
            (Style::Single, ..) => self.single(f),
            (Style::Flags, 0, zero) => f.write_str(zero.unwrap_or("0")),
            (Style::Flags, ..) => self.flags(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MADV, MAP, MREMAP, PROT, TABLES};

    #[test]
    fn flags_print_by_name_and_leave_the_rest_in_hex() {
        assert_eq!(PROT.text(0).to_string(), "PROT_NONE");
        assert_eq!(PROT.text(0x43).to_string(), "PROT_READ|PROT_WRITE|0x40");
        assert_eq!(MAP.text(0x23).to_string(), "MAP_SHARED_VALIDATE|MAP_ANONYMOUS");
        assert_eq!(MREMAP.text(0).to_string(), "0");
        assert_eq!(MADV.text(4).to_string(), "MADV_DONTNEED");
        assert_eq!(MADV.text(77).to_string(), "77");
    }

    #[test]
    fn a_field_of_several_bits_prints_whole_or_as_a_number() {
        assert_eq!(MAP.text(0x4_0000 | (21 << 26)).to_string(), "MAP_HUGETLB|MAP_HUGE_2MB");
        assert_eq!(MAP.text(15 << 26).to_string(), "0x3c000000");
        assert_eq!(MAP.text(1 << 26).to_string(), "MAP_UNINITIALIZED");
        assert_eq!(MAP.text(0x7).to_string(), "0x7");
    }

    #[test]
    fn every_name_begins_with_its_tables_prefix_and_is_found() {
        for table in TABLES {
            for entry in table.entries {
                assert!(entry.name.starts_with(table.prefix), "{}", entry.name);
                assert_eq!(table.value(entry.name), Some(entry.value));
            }
        }
    }
}
