//! The bits of the entry format: Arm ARM D8.3 "Translation table descriptor formats", and Linux's use of the
//! software bits (`arch/arm64/include/asm/pgtable-hwdef.h`, `pgtable-prot.h`, 7.3).

use ptelab_pgtable::{BitField, entry_bits};

entry_bits! {
    /// Bits of a present entry. Fields beside them: the frame number in bits 47:12, memory attributes in bits 4:2,
    /// shareability in bits 9:8, and the permission overlay in bits 62:60.
    pub struct PteBits {
        /// Valid to hardware.
        const VALID = 1 << 0;
        /// A page or, above the last level, a table; a block where it is clear.
        const PAGE = 1 << 1;
        /// User code may read (AP[1]).
        const USER = 1 << 6;
        /// Not writable as of now (AP[2]).
        const RDONLY = 1 << 7;
        /// Access flag.
        const AF = 1 << 10;
        /// Not global. Where `VALID` is clear: present to Linux (`PTE_PRESENT_INVALID`).
        const NG = 1 << 11;
        /// Guarded page: branches into it need a landing pad.
        const GP = 1 << 50;
        /// Dirty bit modifier: hardware may clear `RDONLY`. To Linux: writable (`PTE_WRITE`).
        const DBM = 1 << 51;
        /// One of a contiguous block.
        const CONT = 1 << 52;
        /// The kernel may not execute it.
        const PXN = 1 << 53;
        /// User code may not execute it.
        const UXN = 1 << 54;
        /// Written, by software's account.
        const DIRTY = 1 << 55;
        /// No page struct.
        const SPECIAL = 1 << 56;
        /// userfaultfd write protection.
        const UFFD = 1 << 58;
    }
}

entry_bits! {
    /// Bits of an entry that points to a table, beside `VALID` and `PAGE`.
    pub struct TableBits {
        /// Valid to hardware.
        const VALID = 1 << 0;
        /// Not a block.
        const TABLE = 1 << 1;
        /// Access flag of the table.
        const AF = 1 << 10;
        /// The kernel may execute nothing below.
        const PXN_TABLE = 1 << 59;
    }
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 10:6, the offset in bits 61:12.
    pub struct SoftBits {
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 2;
        /// userfaultfd write protection.
        const UFFD = 1 << 3;
    }
}

/// The frame number's field.
pub(crate) const PFN_MASK: u64 = ((1 << 36) - 1) << 12;
/// Memory attributes, as an index into MAIR: 0 is normal memory.
pub(crate) const ATTR: BitField = BitField { name: "AttrIndx", mask: 0x7 << 2 };
/// Shareability.
pub(crate) const SH: BitField = BitField { name: "SH", mask: 0x3 << 8 };
/// Inner shareable: what all of Linux's memory is.
pub(crate) const SH_INNER: u64 = SH.bits(3);
/// Permission overlay index: to Linux, the protection key.
pub(crate) const POE: BitField = BitField { name: "POIndex", mask: 0x7 << 60 };
/// The type's field in a software entry.
pub(crate) const SOFT_TYPE_MASK: u64 = 0x1f << 6;
/// The offset's field in a software entry, 50 bits.
pub(crate) const SOFT_OFFSET_MASK: u64 = ((1 << 50) - 1) << 12;

/// Bits that mean nothing to hardware (`PTE_SWBITS_MASK`): 63 and 58:55.
pub(crate) const SOFTWARE_BITS: u64 = 1 << 63 | 0xf << 55;
