//! The bits of the entry format: LoongArch reference manual, volume 1, 5.4, and Linux's use of the software bits
//! (`arch/loongarch/include/asm/pgtable-bits.h`, 7.3).

use ptelab_pgtable::{BitField, entry_bits};

entry_bits! {
    /// Bits of a present entry. Fields beside them: the frame number in bits 47:14, the privilege level in bits 3:2 and the memory
    /// access type in bits 5:4.
    pub struct PteBits {
        /// Valid to hardware. To Linux: accessed (`_PAGE_ACCESSED`).
        const VALID = 1 << 0;
        /// Stores go through.
        const DIRTY = 1 << 1;
        /// A leaf above the last level. There, it would be global.
        const HUGE = 1 << 6;
        /// Present to Linux.
        const PRESENT = 1 << 7;
        /// Writable, to Linux.
        const WRITE = 1 << 8;
        /// Written, by software's account.
        const MODIFIED = 1 << 9;
        /// Present to Linux, and no access is allowed.
        const PROTNONE = 1 << 10;
        /// No page struct.
        const SPECIAL = 1 << 11;
        /// A huge leaf that changes: present to Linux, whatever else it says.
        const PRESENT_INVALID = 1 << 60;
        /// User code may not read.
        const NR = 1 << 61;
        /// User code may not execute.
        const NX = 1 << 62;
    }
}

entry_bits! {
    /// Bits of an entry that points to a table: there are none, as it holds the kernel's address of the table.
    pub struct TableBits {
    }
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 22:16, the offset in bits 63:24.
    pub struct SoftBits {
        /// That of a huge page.
        const HUGE = 1 << 6;
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 23;
    }
}

/// The frame number's field.
pub(crate) const PFN_MASK: u64 = ((1 << 34) - 1) << 14;
/// Privilege level: 3 is user code.
pub(crate) const PLV: BitField = BitField { name: "PLV", mask: 0x3 << 2 };
/// Memory access type: 1 is coherent and cached.
pub(crate) const MAT: BitField = BitField { name: "MAT", mask: 0x3 << 4 };
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x7f << 16;
/// The offset's field in a software entry.
pub(crate) const SOFT_OFFSET_MASK: u64 = ((1 << 40) - 1) << 24;

/// Where the kernel sees physical memory cached (`CACHE_BASE`): what an entry of a table holds above the table's address.
pub(crate) const CACHE_BASE: u64 = 0x9 << 60;
/// Bits of a physical address.
pub(crate) const PHYS_MASK: u64 = (1 << 48) - 1;
