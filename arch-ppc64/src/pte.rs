//! Entries: where their bits stand, and what takes more than one bit
//! (`arch/powerpc/include/asm/book3s/64/pgtable.h`, `radix-4k.h`, `radix-64k.h`, 7.3).

use crate::Radix;
use crate::bits::{ATT, DirectoryBits, PteBits, RPN_MASK, SOFT_TYPE_MASK, SoftBits, TABLE_MASK};
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Level, Pfn, PgProt, PhysAddr, Pte, SoftFlags, SoftleafRules, VmFlags, Walk,
};

/// No access: valid to hardware, and without rights.
const PAGE_NONE: PteBits = PteBits::PRESENT.union(PteBits::ACCESSED);

/// What a changed protection keeps of an entry, beside the frame (`_PAGE_CHG_MASK`).
const CHG_MASK: PteBits = PteBits::DIRTY
    .union(PteBits::ACCESSED)
    .union(PteBits::SPECIAL)
    .union(PteBits::PTE)
    .union(PteBits::SOFT_DIRTY);

impl<const SHIFT: u32> Radix<SHIFT> {
    /// Valid to hardware, and a leaf (`pte_hw_valid`).
    #[inline]
    pub(crate) fn is_valid(&self, pte: Pte) -> bool {
        pte.has(PteBits::PRESENT) && pte.has(PteBits::PTE)
    }
}

impl<const SHIFT: u32> EntryFormat for Radix<SHIFT> {
    const PAGE_SHIFT: u32 = SHIFT;
    const INDEX_BITS: [u32; Level::ALL.len()] = [21 - SHIFT, 9, 9, 13, 0];
    const TOP: Level = Level::P4d;
    const TASK_SIZE: u64 = if SHIFT == 12 { 1 << 46 } else { 1 << 52 };
    const MAP_WINDOW: u64 = if SHIFT == 12 { Self::TASK_SIZE } else { 1 << 47 };
    const MAX_PAGE_ORDER: u32 = if SHIFT == 12 { 12 } else { 8 };
    const MMAP_VALIDATES_PROT: bool = true;

    type Bits = PteBits;
    type TableBits = DirectoryBits;
    const PFN_MASK: u64 = RPN_MASK & !((1 << SHIFT) - 1);
    const FIELDS: &'static [BitField] = &[ATT];
    const PROT_MASK: u64 = !(Self::PFN_MASK | CHG_MASK.bits());
    const TABLE: DirectoryBits = DirectoryBits::PRESENT;
    const VALID: PteBits = PteBits::PRESENT;
    /// What has no rights stays valid.
    const PROTNONE: PteBits = PteBits::PRESENT;
    const USER: PteBits = PteBits::READ;
    const WRITE: PteBits = PteBits::WRITE;
    const EXEC: Option<PteBits> = Some(PteBits::EXEC);
    const YOUNG: PteBits = PteBits::ACCESSED;
    const DIRTY: PteBits = PteBits::DIRTY;
    const SPECIAL: PteBits = PteBits::SPECIAL;
    /// There is none.
    const UFFD: PteBits = PteBits::empty();

    #[inline]
    fn soft_dirty_bit(&self) -> u64 {
        if self.cpu.soft_dirty { PteBits::SOFT_DIRTY.bits() } else { 0 }
    }

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = Self::PFN_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] =
        &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE), (SoftFlags::SOFT_DIRTY, SoftBits::SOFT_DIRTY)];
    const SOFT_INVERTED: u64 = SoftBits::PTE.bits();
    /// `MAX_PHYSMEM_BITS` is 51.
    const SWP_PFN_BITS: u32 = 51 - SHIFT;

    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        self.softleaf
    }

    #[inline]
    fn pfn_mask(&self, pte: Pte, level: Level) -> u64 {
        if level == Level::Pte || pte.has(PteBits::PTE) { Self::PFN_MASK } else { TABLE_MASK }
    }

    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte((pfn.get() << SHIFT) & Self::PFN_MASK | prot.0).with(PteBits::PTE)
    }

    /// It says how many entries the table has.
    #[inline]
    fn mk_table(&self, table: PhysAddr, level: Level) -> Pte {
        let index_bits = level.below().map_or(0, |below| Self::INDEX_BITS[below as usize]);
        Pte(table.get() & TABLE_MASK | u64::from(index_bits)).with(Self::TABLE)
    }

    /// `protection_map`, `arch/powerpc/mm/book3s64/pgtable.c`. All of them are accessed; a private mapping's writable pages start
    /// read-only, so that the first write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let mut prot = PAGE_NONE;
        prot.set(PteBits::READ, flags.intersects(VmFlags::READ | VmFlags::WRITE));
        prot.set(PteBits::EXEC, flags.contains(VmFlags::EXEC));
        prot.set(PteBits::WRITE, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
        PgProt(prot.bits())
    }

    /// Accessed and dirty make no entry.
    #[inline]
    fn pte_none(&self, pte: Pte) -> bool {
        pte.without(PteBits::ACCESSED | PteBits::DIRTY) == Self::EMPTY[0]
    }

    /// Valid, or a leaf that is being changed.
    #[inline]
    fn pte_present(&self, pte: Pte) -> bool {
        pte.has(PteBits::PRESENT | PteBits::INVALID) && pte.has(PteBits::PTE)
    }

    #[inline]
    fn table_addr(&self, entry: Pte, _: Level) -> PhysAddr {
        PhysAddr::new(entry.0 & TABLE_MASK)
    }

    #[inline]
    fn pte_accessible(&self, pte: Pte) -> bool {
        self.is_valid(pte) && pte.has(PteBits::RWX)
    }

    #[inline]
    fn pte_protnone(&self, pte: Pte) -> bool {
        self.is_valid(pte) && !pte.has(PteBits::RWX)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd)
    }

    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        pmd.has(PteBits::PRESENT | PteBits::INVALID)
    }

    /// Readable as well.
    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        pte.with(PteBits::READ | PteBits::WRITE)
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        pte.with(PteBits::DIRTY.bits() | self.soft_dirty_bit())
    }

    /// Accessed is one of a protection's bits, and none that it takes away.
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        Pte(pte.0 & !Self::PROT_MASK | prot.0)
    }

    #[inline]
    fn pmd_modify(&self, pmd: Pte, prot: PgProt) -> Pte {
        let new = self.pte_modify(pmd, prot);
        if self.rules.pmd_modify_keeps_special { new } else { new.without(PteBits::SPECIAL) }
    }

    /// Marked as being changed.
    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        pmd.without(PteBits::PRESENT).with(PteBits::INVALID)
    }

    /// Where hardware does not set accessed and dirty, each is a fault.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let sets = self.cpu.rc;
        let usable = self.is_valid(pte) && self.is_leaf(pte, level);
        if !usable || !pte.has(PteBits::ACCESSED) && !sets {
            return Walk::Fault;
        }
        let young = pte.with(PteBits::ACCESSED);
        match access {
            Access::Read if pte.has(PteBits::READ) => Walk::Allowed(young),
            Access::Write if pte.has(PteBits::WRITE) && (pte.has(PteBits::DIRTY) || sets) => {
                Walk::Allowed(young.with(PteBits::DIRTY))
            }
            Access::Read | Access::Write => Walk::Fault,
        }
    }

    #[inline]
    fn is_leaf(&self, pte: Pte, level: Level) -> bool {
        level <= Level::Pmd && pte.has(PteBits::PTE)
    }

    /// Memory that may only be executed cannot be read.
    fn vm_read_flags(&self) -> VmFlags {
        VmFlags::READ | VmFlags::WRITE
    }

    /// The calls are there, but only the hash MMU has keys.
    fn arch_max_pkey(&self) -> Option<u8> {
        Some(0)
    }

    fn mmu_has_pkeys(&self) -> bool {
        false
    }
}
