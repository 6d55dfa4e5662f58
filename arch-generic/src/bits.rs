//! The bits of the entry format, which is this port's own.

use ptelab_pgtable::entry_bits;

entry_bits! {
    /// Bits of a present entry. The frame number stands in bits 51:12.
    pub struct PteBits {
        /// Valid to hardware.
        const PRESENT = 1 << 0;
        /// Invalid to hardware and present to Linux, where `PRESENT` is clear.
        const PROTNONE = 1 << 1;
        /// User code may read.
        const READ = 1 << 2;
        /// User code may write.
        const WRITE = 1 << 3;
        /// User code may execute.
        const EXEC = 1 << 4;
        /// Accessed; hardware sets it.
        const YOUNG = 1 << 5;
        /// Written; hardware sets it.
        const DIRTY = 1 << 6;
        /// A huge page; clear in entries of the last level and in entries that point to tables.
        const LEAF = 1 << 7;
        /// No page struct.
        const SPECIAL = 1 << 8;
        /// userfaultfd write protection.
        const UFFD = 1 << 9;
    }
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 8:4, the offset in bits 61:12.
    pub struct SoftBits {
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 2;
        /// userfaultfd write protection.
        const UFFD = 1 << 3;
        /// Set in every software entry, so that none of them is zero.
        const SOFT = 1 << 11;
    }
}

/// The frame number's field.
pub(crate) const PFN_MASK: u64 = ((1 << 40) - 1) << 12;
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x1f << 4;
/// The offset's field in a software entry, 50 bits.
pub(crate) const SOFT_OFFSET_MASK: u64 = ((1 << 50) - 1) << 12;
