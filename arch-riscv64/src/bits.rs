//! The bits of the entry format: RISC-V privileged architecture, "Sv57", and Linux's use of the software bits
//! (`arch/riscv/include/asm/pgtable-bits.h`, `pgtable-64.h`, 7.2).

use ptelab_pgtable::{BitField, entry_bits};

entry_bits! {
    /// Bits of a present entry. The frame number stands in bits 53:10, the memory type in bits 62:61.
    pub struct PteBits {
        /// Valid to hardware. With none of `R`, `W`, `X`: a table.
        const V = 1 << 0;
        /// User code may read.
        const R = 1 << 1;
        /// User code may write.
        const W = 1 << 2;
        /// User code may execute.
        const X = 1 << 3;
        /// User code may use it.
        const U = 1 << 4;
        /// Global; where `V` is clear: present to Linux, and no access is allowed (`_PAGE_PROT_NONE`).
        const G = 1 << 5;
        /// Accessed.
        const A = 1 << 6;
        /// Written.
        const D = 1 << 7;
        /// No page struct (software).
        const SPECIAL = 1 << 8;
        /// Written since `clear_refs`, on a CPU with Svrsw60t59b.
        const SOFT_DIRTY = 1 << 59;
        /// userfaultfd write protection, on a CPU with Svrsw60t59b.
        const UFFD = 1 << 60;
        /// One of a block of sixteen, all of one translation (Svnapot).
        const N = 1 << 63;
    }
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 11:7, the offset in bits 63:12.
    pub struct SoftBits {
        /// Soft-dirty.
        const SOFT_DIRTY = 1 << 3;
        /// userfaultfd write protection.
        const UFFD = 1 << 4;
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 6;
    }
}

/// The frame number's field.
pub(crate) const PFN_MASK: u64 = ((1 << 44) - 1) << 10;
/// The memory type's field (Svpbmt): 0 is normal memory.
pub(crate) const MT: BitField = BitField { name: "MT", mask: 0x3 << 61 };
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x1f << 7;
/// The offset's field in a software entry.
pub(crate) const SOFT_OFFSET_MASK: u64 = ((1 << 52) - 1) << 12;
