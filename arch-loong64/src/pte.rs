//! Entries: where their bits stand, and what takes more than one bit
//! (`arch/loongarch/include/asm/pgtable.h`, 7.3).

use crate::Loong64;
use crate::bits::{
    CACHE_BASE, MAT, PFN_MASK, PHYS_MASK, PLV, PteBits, SOFT_OFFSET_MASK, SOFT_TYPE_MASK, SoftBits, TableBits,
};
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Level, PgProt, PhysAddr, Pte, PteAttrs, SoftFlags, SoftleafRules,
    VirtAddr, VmFlags, Walk,
};

/// What every user page has: user code's privilege, cached.
const PAGE_USER: u64 = PLV.bits(3) | MAT.bits(1);
/// Present to Linux, one way or another.
const THERE: PteBits = PteBits::PRESENT.union(PteBits::PROTNONE).union(PteBits::PRESENT_INVALID);
/// What stays under another protection, beside the frame (`_PAGE_CHG_MASK`).
const KEPT: u64 = PteBits::MODIFIED.union(PteBits::SPECIAL).bits() | PLV.mask | MAT.mask | PFN_MASK;

/// The tables that empty entries point to, `invalid_pte_table` and `invalid_pmd_table`. They stand in the kernel's image, elsewhere in
/// every build; here, in two frames of which mm uses none.
const INVALID_TABLES: [Pte; 2] = [Pte(CACHE_BASE | 2 << 14), Pte(CACHE_BASE | 3 << 14)];

impl EntryFormat for Loong64 {
    const PAGE_SHIFT: u32 = 14;
    const INDEX_BITS: [u32; Level::ALL.len()] = [11; Level::ALL.len()];
    const TOP: Level = Level::Pud;
    const TASK_SIZE: u64 = 1 << 47;
    const MAX_PAGE_ORDER: u32 = 11;
    const CHECKS_FIXED_RANGE: bool = true;
    const MEMORY_FAILURE: bool = false;
    const EMPTY: [Pte; Level::ALL.len()] =
        [Pte::NONE, INVALID_TABLES[0], INVALID_TABLES[1], Pte::NONE, Pte::NONE];

    /// The 16 bits above the 48 that are translated are alike (`VALEN` of 48; what QEMU checks).
    fn is_canonical(addr: VirtAddr) -> bool {
        matches!(addr.get() >> 48, 0 | 0xffff)
    }

    type Bits = PteBits;
    type TableBits = TableBits;
    const PFN_MASK: u64 = PFN_MASK;
    const FIELDS: &'static [BitField] = &[PLV, MAT];
    const PROT_MASK: u64 = !KEPT;
    const TABLE: TableBits = TableBits::empty();
    /// What Linux goes by: hardware's own bit says accessed.
    const VALID: PteBits = PteBits::PRESENT;
    const PROTNONE: PteBits = PteBits::PROTNONE;
    /// Said by what is missing: see [`pte_user`](EntryFormat::pte_user).
    const USER: PteBits = PteBits::empty();
    const WRITE: PteBits = PteBits::WRITE;
    const YOUNG: PteBits = PteBits::VALID;
    const DIRTY: PteBits = PteBits::MODIFIED;
    const DIRTY_BITS: PteBits = PteBits::MODIFIED.union(PteBits::DIRTY);
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::empty();

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = SOFT_OFFSET_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] = &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE)];
    const SWP_PFN_BITS: u32 = 34;

    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        self.softleaf
    }

    /// Hardware lets stores through where a page is writable and written.
    fn attr_bits(&self, attrs: PteAttrs) -> PgProt {
        let none = attrs.contains(PteAttrs::PROTNONE);
        let mut bits = PteBits::from_bits_retain(self.plain_bits(attrs) | PAGE_USER);
        bits.set(PteBits::NR, none);
        bits.set(PteBits::NX, none || !attrs.contains(PteAttrs::EXEC));
        bits.set(PteBits::DIRTY, attrs.contains(PteAttrs::WRITE | PteAttrs::DIRTY));
        PgProt(bits.bits())
    }

    /// A word that only software reads has no frame.
    fn pfn_mask(&self, pte: Pte, _: Level) -> u64 {
        if pte.has(PteBits::VALID | PteBits::PRESENT | PteBits::PROTNONE) { PFN_MASK } else { 0 }
    }

    #[inline]
    fn pmd_mkhuge(&self, pmd: Pte) -> Pte {
        pmd.with(PteBits::HUGE)
    }

    #[inline]
    fn pte_pmd(&self, pte: Pte) -> Pte {
        pte.with(PteBits::HUGE)
    }

    #[inline]
    fn pmd_pte(&self, pmd: Pte) -> Pte {
        pmd.without(PteBits::HUGE)
    }

    #[inline]
    fn mk_table(&self, table: PhysAddr, _: Level) -> Pte {
        Pte(CACHE_BASE | table.get())
    }

    /// `protection_map`, `arch/loongarch/mm/cache.c`. All that may be accessed is accessed, and readable; a private mapping's
    /// writable pages start read-only, so that the first write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let mut attrs = PteAttrs::YOUNG;
        if !flags.intersects(VmFlags::ACCESS) {
            attrs = PteAttrs::PROTNONE;
        }
        attrs.set(PteAttrs::EXEC, flags.contains(VmFlags::EXEC));
        attrs.set(PteAttrs::WRITE, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
        self.attr_bits(attrs)
    }

    #[inline]
    fn table_addr(&self, entry: Pte, _: Level) -> PhysAddr {
        PhysAddr::new(entry.0 & PHYS_MASK)
    }

    #[inline]
    fn pte_user(&self, pte: Pte) -> bool {
        pte.has(PteBits::PRESENT) && !pte.has(PteBits::NR)
    }

    #[inline]
    fn pte_exec(&self, pte: Pte) -> bool {
        pte.has(PteBits::PRESENT) && !pte.has(PteBits::NX)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        pmd.has(PteBits::HUGE)
    }

    /// A table is always there; of a huge page, what is not is a software entry.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        !pmd.has(PteBits::HUGE) || pmd.has(THERE)
    }

    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        let hardware = if pte.has(PteBits::MODIFIED) { PteBits::DIRTY } else { PteBits::empty() };
        pte.with(PteBits::WRITE | hardware)
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        let software = if pte.has(PteBits::DIRTY) { PteBits::MODIFIED } else { PteBits::empty() };
        pte.with(software).without(PteBits::WRITE | PteBits::DIRTY)
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        let hardware = if pte.has(PteBits::WRITE) { PteBits::DIRTY } else { PteBits::empty() };
        pte.with(PteBits::MODIFIED | hardware)
    }

    /// It has no such helper for huge leaves.
    #[inline]
    fn pmd_mkspecial(&self, pmd: Pte) -> Pte {
        pmd
    }

    /// Accessed is one of a protection's bits, so that none makes a page old; stores go through again with the first.
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        let software = if pte.has(PteBits::DIRTY) { PteBits::MODIFIED } else { PteBits::empty() };
        Pte(pte.with(software).0 & KEPT | prot.0 & !KEPT)
    }

    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        let cleared = PteBits::PRESENT | PteBits::VALID | PteBits::DIRTY | PteBits::PROTNONE;
        pmd.without(cleared).with(PteBits::PRESENT_INVALID)
    }

    /// The handlers of TLB misses and of stores set what they find missing, where the entry allows the access; with PTW, hardware
    /// sets its own bits only.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        if !self.pte_user(pte) || !self.is_leaf(pte, level) {
            return Walk::Fault;
        }
        let young = pte.with(PteBits::VALID);
        let software = if self.cpu.ptw { PteBits::empty() } else { PteBits::MODIFIED };
        match access {
            Access::Read => Walk::Allowed(young),
            Access::Write if pte.has(PteBits::WRITE) => Walk::Allowed(young.with(PteBits::DIRTY | software)),
            Access::Write => Walk::Fault,
        }
    }

    /// A read needs a VMA that may be read or written.
    fn vm_read_flags(&self) -> VmFlags {
        VmFlags::READ | VmFlags::WRITE
    }
}
