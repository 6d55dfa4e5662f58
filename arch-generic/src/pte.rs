//! Entries: where their bits stand, and what takes more than one bit.

use crate::Generic;
use crate::bits::{PFN_MASK, PteBits, SOFT_OFFSET_MASK, SOFT_TYPE_MASK, SoftBits};
use ptelab_pgtable::{EntryFormat, Level, PgProt, Pte, SoftFlags, VmFlags};

const PAGE_NONE: PteBits = PteBits::PROTNONE.union(PteBits::YOUNG);
const PAGE_READONLY: PteBits = PteBits::PRESENT.union(PteBits::READ).union(PteBits::YOUNG);

impl EntryFormat for Generic {
    const PAGE_SHIFT: u32 = 12;
    const INDEX_BITS: [u32; Level::ALL.len()] = [9; Level::ALL.len()];
    const TOP: Level = Level::P4d;
    const TASK_SIZE: u64 = 1 << 47;

    type Bits = PteBits;
    type TableBits = PteBits;
    const PFN_MASK: u64 = PFN_MASK;
    const PROT_MASK: u64 = PteBits::PRESENT
        .union(PteBits::PROTNONE)
        .union(PteBits::READ)
        .union(PteBits::WRITE)
        .union(PteBits::EXEC)
        .bits();
    const TABLE: PteBits = PteBits::PRESENT;
    const VALID: PteBits = PteBits::PRESENT;
    const PROTNONE: PteBits = PteBits::PROTNONE;
    const USER: PteBits = PteBits::READ;
    const WRITE: PteBits = PteBits::WRITE;
    const EXEC: Option<PteBits> = Some(PteBits::EXEC);
    const YOUNG: PteBits = PteBits::YOUNG;
    const DIRTY: PteBits = PteBits::DIRTY;
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::UFFD;

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = SOFT_OFFSET_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] =
        &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE), (SoftFlags::UFFD, SoftBits::UFFD)];
    const SOFT_INVERTED: u64 = SoftBits::SOFT.bits();
    const SWP_PFN_BITS: u32 = 40;

    #[inline]
    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        pte.with(PteBits::LEAF)
    }

    /// A private mapping's writable pages start read-only, so that the first write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        if !flags.intersects(VmFlags::ACCESS) {
            return PgProt(PAGE_NONE.bits());
        }
        let mut prot = PAGE_READONLY;
        prot.set(PteBits::EXEC, flags.contains(VmFlags::EXEC));
        prot.set(PteBits::WRITE, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
        PgProt(prot.bits())
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd) && pmd.has(PteBits::LEAF)
    }
}
