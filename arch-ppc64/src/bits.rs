//! The bits of the entry format: Power ISA 3.1, "Radix Tree Translation", and Linux's use of the software bits
//! (`arch/powerpc/include/asm/book3s/64/pgtable.h`, `radix.h`, 7.3).

use ptelab_pgtable::entry_bits;

entry_bits! {
    /// Bits of a present entry. The frame number stands in bits 52:12, with 64K pages in bits 52:16.
    pub struct PteBits {
        /// User code may execute.
        const EXEC = 1 << 0;
        /// User code may write.
        const WRITE = 1 << 1;
        /// User code may read.
        const READ = 1 << 2;
        /// The kernel's alone.
        const PRIVILEGED = 1 << 3;
        /// Written: hardware's change bit, `C`.
        const DIRTY = 1 << 7;
        /// Accessed: hardware's reference bit, `R`.
        const ACCESSED = 1 << 8;
        /// Written since `clear_refs` (`SW3`).
        const SOFT_DIRTY = 1 << 9;
        /// No page struct (`SW2`).
        const SPECIAL = 1 << 10;
        /// Being changed: present to Linux where `PRESENT` is clear (`SW0`).
        const INVALID = 1 << 61;
        /// A leaf; set in software entries too.
        const PTE = 1 << 62;
        /// Valid to hardware.
        const PRESENT = 1 << 63;
    }
}

impl PteBits {
    /// Any access.
    pub(crate) const RWX: Self = Self::READ.union(Self::WRITE).union(Self::EXEC);
}

entry_bits! {
    /// Bits of an entry that points to a table. Its address stands in bits 52:8, and in bits 4:0 log2 of its entries.
    pub struct DirectoryBits {
        /// Valid to hardware.
        const PRESENT = 1 << 63;
    }
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 4:0, the offset where the frame number does.
    pub struct SoftBits {
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 5;
        /// Soft-dirty.
        const SOFT_DIRTY = 1 << 9;
        /// Set in every software entry.
        const PTE = 1 << 62;
    }
}

/// The frame number's field, with 4K pages.
pub(crate) const RPN_MASK: u64 = ((1 << 53) - 1) & !0xfff;
/// Where the next table stands.
pub(crate) const TABLE_MASK: u64 = ((1 << 53) - 1) & !0xff;
/// Cache attributes: 0 is normal memory.
pub(crate) const ATT: ptelab_pgtable::BitField = ptelab_pgtable::BitField { name: "ATT", mask: 0x3 << 4 };
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x1f;
