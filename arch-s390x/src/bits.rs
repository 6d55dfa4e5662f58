//! The bits of the entry format: z/Architecture Principles of Operation, "Dynamic address translation", and Linux's use of the bits
//! that hardware ignores (`arch/s390/include/asm/pgtable.h`, 6.12 and 7.2).

use ptelab_pgtable::entry_bits;

entry_bits! {
    /// Bits of a present page's entry. The frame number stands in bits 63:12. Hardware looks at `NOEXEC`, `PROTECT` and `INVALID`, and
    /// sets nothing.
    pub struct PteBits {
        /// Present to Linux (software).
        const PRESENT = 1 << 0;
        /// Written since `clear_refs` (software).
        const SOFT_DIRTY = 1 << 1;
        /// Accessed (software).
        const YOUNG = 1 << 2;
        /// Written (software).
        const DIRTY = 1 << 3;
        /// User code may read (software).
        const READ = 1 << 4;
        /// User code may write (software).
        const WRITE = 1 << 5;
        /// No page struct (software).
        const SPECIAL = 1 << 6;
        /// User code may not execute.
        const NOEXEC = 1 << 8;
        /// User code may not write: that of an entry that may not be written, or that is clean.
        const PROTECT = 1 << 9;
        /// Invalid to hardware: an entry without access, or an old one.
        const INVALID = 1 << 10;
        /// A segment of 1M, as Linux's page entries have it for a huge page.
        const LARGE = 1 << 11;
    }
}

entry_bits! {
    /// What an entry says beside where its table stands.
    pub struct TableBits {
        /// Present to Linux, in a segment-table entry of 7.2; in a region-table entry, with `LENGTH`, that the table below is whole.
        const PRESENT = 1 << 0;
        /// See `PRESENT`.
        const LENGTH = 1 << 1;
        /// An entry of a region-third table; with `R2`, of a region-first table.
        const R3 = 1 << 2;
        /// An entry of a region-second table.
        const R2 = 1 << 3;
    }
}

entry_bits! {
    /// Bits of a software entry of a page. The type stands in bits 6:2, the offset in bits 63:12.
    pub struct SoftBits {
        /// Soft-dirty.
        const SOFT_DIRTY = 1 << 1;
        /// Not for writing: set in all.
        const PROTECT = 1 << 9;
        /// Invalid: set in all.
        const INVALID = 1 << 10;
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 11;
    }
}

/// The frame number's field.
pub(crate) const PFN_MASK: u64 = !0xfff;
/// That of a segment (`_SEGMENT_ENTRY_ORIGIN_LARGE`).
pub(crate) const SEGMENT_MASK: u64 = !0xf_ffff;
/// Where a page table stands, in a segment-table entry (`_SEGMENT_ENTRY_ORIGIN`).
pub(crate) const PAGE_TABLE_MASK: u64 = !0x7ff;
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x1f << 2;
/// How much further up the type stands in that of a segment.
pub(crate) const SEGMENT_TYPE_UP: u32 = 4;
/// What makes a segment-table entry one of software (`_SEGMENT_ENTRY_INVALID`, `_SEGMENT_ENTRY_COMM`).
pub(crate) const SEGMENT_SOFT: u64 = SEGMENT_INVALID | 1 << 4;
/// A segment-table entry that is invalid to hardware.
pub(crate) const SEGMENT_INVALID: u64 = 1 << 5;
/// A segment-table entry of a huge page.
pub(crate) const SEGMENT_LARGE: u64 = 1 << 10;
/// Soft-dirty in a segment-table entry of software.
pub(crate) const SEGMENT_SOFT_DIRTY: u64 = 1 << 1;

/// Bits of a page's entry, and those of a segment-table entry that say the same (`_SEGMENT_ENTRY_*`).
pub(crate) type Segment = [(PteBits, u64); 10];

/// In 6.12, where what is not empty is present.
pub(crate) const SEGMENT_6_12: Segment = segment(0, 1 << 0, 1 << 1, 1 << 14);
/// In 7.2.
pub(crate) const SEGMENT_7_2: Segment = segment(1 << 0, 1 << 14, 1 << 15, 1 << 1);

const fn segment(present: u64, read: u64, write: u64, soft_dirty: u64) -> Segment {
    [
        (PteBits::PRESENT, present),
        (PteBits::SOFT_DIRTY, soft_dirty),
        (PteBits::YOUNG, 1 << 12),
        (PteBits::DIRTY, 1 << 13),
        (PteBits::READ, read),
        (PteBits::WRITE, write),
        (PteBits::NOEXEC, 1 << 8),
        (PteBits::PROTECT, 1 << 9),
        (PteBits::INVALID, SEGMENT_INVALID),
        (PteBits::LARGE, SEGMENT_LARGE),
    ]
}
