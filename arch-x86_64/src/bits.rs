//! The bits of the entry format: Intel SDM volume 3, 4.5 "4-level paging", and Linux's use of the software bits
//! (`arch/x86/include/asm/pgtable_types.h`, 7.3).

use ptelab_pgtable::{BitField, entry_bits};

entry_bits! {
    /// Bits of a present entry. The frame number stands in bits 51:12, the protection key in bits 62:59.
    pub struct PteBits {
        /// Valid to hardware.
        const PRESENT = 1 << 0;
        /// Writable.
        const RW = 1 << 1;
        /// User code may use it.
        const USER = 1 << 2;
        /// Write-through.
        const PWT = 1 << 3;
        /// Uncached.
        const PCD = 1 << 4;
        /// Accessed; hardware sets it.
        const ACCESSED = 1 << 5;
        /// Written; hardware sets it.
        const DIRTY = 1 << 6;
        /// A huge page. In the last level hardware takes it for PAT, which no user page here has.
        const PSE = 1 << 7;
        /// Present to Linux where `PRESENT` is clear. Global where it is set, which no user page is.
        const PROTNONE = 1 << 8;
        /// No page struct (software bit 1).
        const SPECIAL = 1 << 9;
        /// userfaultfd write protection (software bit 2).
        const UFFD = 1 << 10;
        /// Written since `clear_refs` (software bit 3).
        const SOFT_DIRTY = 1 << 11;
        /// Written, in an entry that is not writable (software bit 5).
        const SAVED_DIRTY = 1 << 58;
        /// User code may not execute it.
        const NX = 1 << 63;
    }
}

impl PteBits {
    /// Both bits that say dirty.
    pub const DIRTY_BITS: Self = Self::DIRTY.union(Self::SAVED_DIRTY);
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 63:59, the inverted offset in bits 58:9.
    pub struct SoftBits {
        /// Soft-dirty.
        const SOFT_DIRTY = 1 << 1;
        /// userfaultfd write protection.
        const UFFD = 1 << 2;
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 3;
    }
}

/// The frame number's field.
pub(crate) const PFN_MASK: u64 = ((1 << 40) - 1) << 12;
/// The frame number's field of a huge page.
pub(crate) const PMD_PFN_MASK: u64 = PFN_MASK & !((1 << 21) - 1);
/// The protection key's field.
pub(crate) const PKEY: BitField = BitField { name: "pkey", mask: 0xf << 59 };
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x1f << 59;
/// The offset's field in a software entry, 50 bits.
pub(crate) const SOFT_OFFSET_MASK: u64 = ((1 << 50) - 1) << 9;
