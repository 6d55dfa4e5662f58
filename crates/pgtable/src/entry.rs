//! Page-table words, and what they mean on any architecture.

use crate::{Pfn, PhysAddr, SoftLeaf};
use bitflags::bitflags;
use std::fmt;

/// The raw word of one entry, of any level, as the port's hardware has it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// The word of no bits: an empty entry on most ports, but not on all ([`EMPTY`](crate::EntryFormat::EMPTY)).
    pub const NONE: Self = Self(0);

    /// Whether any of `bits` is set.
    #[inline]
    pub fn has(self, bits: impl EntryBits) -> bool {
        self.0 & bits.word() != 0
    }

    /// The entry with `bits`.
    #[inline]
    #[must_use]
    pub fn with(self, bits: impl EntryBits) -> Self {
        Self(self.0 | bits.word())
    }

    /// The entry without `bits`.
    #[inline]
    #[must_use]
    pub fn without(self, bits: impl EntryBits) -> Self {
        Self(self.0 & !bits.word())
    }
}

impl fmt::Debug for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// Bits of an entry: a set of named ones that [`entry_bits!`](crate::entry_bits) made, or a word of them.
pub trait EntryBits: Copy {
    /// As they stand in an entry.
    fn word(self) -> u64;
}

impl EntryBits for u64 {
    #[inline]
    fn word(self) -> u64 {
        self
    }
}

/// Makes a set of named bits of an entry, as `bitflags!` does: a doc comment and a constant for each.
///
/// ```
/// ptelab_pgtable::entry_bits! {
///     /// Bits of a present entry.
///     pub struct PteBits {
///         /// Valid to hardware.
///         const VALID = 1 << 0;
///     }
/// }
/// assert!(ptelab_pgtable::Pte(3).has(PteBits::VALID));
/// ```
#[macro_export]
macro_rules! entry_bits {
    ($(#[$attr:meta])* $vis:vis struct $name:ident { $($bits:tt)* }) => {
        $crate::bitflags! {
            $(#[$attr])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            $vis struct $name: u64 { $($bits)* }
        }

        impl $crate::EntryBits for $name {
            #[inline]
            fn word(self) -> u64 {
                self.bits()
            }
        }
    };
}

/// A protection: every bit of a leaf entry that is not its frame number (`pgprot_t`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct PgProt(pub u64);

impl fmt::Debug for PgProt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// Where in the tree a table's entries stand. A leaf at `Pte` maps one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// The last level: one page an entry.
    Pte = 0,
    /// One table of pages an entry, or one huge page.
    Pmd = 1,
    /// The level above.
    Pud = 2,
    /// The level above that: the root of a four-level tree, which Linux calls PGD then.
    P4d = 3,
    /// The root of a five-level tree.
    Pgd = 4,
}

impl Level {
    /// All of them, from the last up.
    pub const ALL: [Self; 5] = [Self::Pte, Self::Pmd, Self::Pud, Self::P4d, Self::Pgd];

    /// The level its entries point to, or `None` from the last.
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::Pte => None,
            Self::Pmd => Some(Self::Pte),
            Self::Pud => Some(Self::Pmd),
            Self::P4d => Some(Self::Pud),
            Self::Pgd => Some(Self::P4d),
        }
    }

    /// The hint that a TLB invalidation names leaves of this level by: hardware counts levels from the root (Arm ARM, TTL field).
    pub const fn ttl(self) -> u8 {
        3 - if (self as u8) < 3 { self as u8 } else { 3 }
    }
}

bitflags! {
    /// What a present leaf entry says, in words that every architecture shares.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PteAttrs: u16 {
        /// Present to Linux, but no access is allowed (`PROT_NONE` and NUMA hinting).
        const PROTNONE = 1 << 0;
        /// User code may read it.
        const USER = 1 << 1;
        /// Linux regards it as writable.
        const WRITE = 1 << 2;
        /// User code may execute it.
        const EXEC = 1 << 3;
        /// Accessed since last made old.
        const YOUNG = 1 << 4;
        /// Written since last made clean, by hardware's or software's account.
        const DIRTY = 1 << 5;
        /// Written since `clear_refs`.
        const SOFT_DIRTY = 1 << 6;
        /// No page struct stands behind it (zero page, raw frames).
        const SPECIAL = 1 << 7;
        /// userfaultfd write protection.
        const UFFD = 1 << 8;
        /// Part of a contiguous block.
        const CONT = 1 << 9;
    }
}

/// A present leaf entry in neutral terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// The first frame that it maps.
    pub pfn: Pfn,
    /// `Pte` or, for a huge page, `Pmd`.
    pub level: Level,
    /// What it allows and records.
    pub attrs: PteAttrs,
    /// Protection key, 0 where the port has none.
    pub pkey: u8,
}

/// What a word says, in neutral terms.
///
/// Law, tested by every port over every subset of attributes: where `encode(v)` gives a word, `decode` of it is `v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PteView {
    /// Nothing here.
    None,
    /// The next table, by where it stands.
    Table(PhysAddr),
    /// A page.
    Present(Mapping),
    /// A software entry.
    Soft(SoftLeaf),
}

bitflags! {
    /// What must be equal for entries to form one batch (`fpb_t`, `mm/internal.h`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Fpb: u8 {
        /// The dirty bit must be equal.
        const RESPECT_DIRTY = 1 << 0;
        /// The soft-dirty bit must be equal.
        const RESPECT_SOFT_DIRTY = 1 << 1;
        /// The write bit must be equal.
        const RESPECT_WRITE = 1 << 2;
    }
}

bitflags! {
    /// What `clear_young_dirty_ptes` clears (`cydp_t`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Cydp: u8 {
        /// The accessed bit.
        const CLEAR_YOUNG = 1 << 0;
        /// The dirty bit.
        const CLEAR_DIRTY = 1 << 1;
    }
}

/// What the hardware's walker does with a leaf entry that an access meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The access goes through. The word is what the entry holds afterwards: hardware may set accessed and dirty.
    Allowed(Pte),
    /// A fault is taken; the entry stays as it was.
    Fault,
}

/// One named bit of a word, or a field of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitField {
    /// Its name, as the port has it.
    pub name: &'static str,
    /// The bits of a word that it takes.
    pub mask: u64,
}

impl BitField {
    /// What it holds in a word.
    #[inline]
    pub const fn value(&self, pte: Pte) -> u64 {
        (pte.0 & self.mask) >> self.mask.trailing_zeros()
    }

    /// The bits of a word in which it holds `value`, as far as it fits.
    pub const fn bits(&self, value: u64) -> u64 {
        value << self.mask.trailing_zeros() & self.mask
    }

    /// The largest value that it can hold.
    pub const fn max(&self) -> u64 {
        self.mask >> self.mask.trailing_zeros()
    }
}
