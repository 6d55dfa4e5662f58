//! Entries: where their bits stand, and what takes more than one bit (`arch/s390/include/asm/pgtable.h`, 6.12
//! and 7.2).
//!
//! Of a page, hardware may use what is young and may be read, and write to what is dirty and may be written: all else is invalid, or
//! protected, until a fault makes it young or dirty. A huge page's entry says the same in other bits.

use crate::S390x;
use crate::bits::{
    PAGE_TABLE_MASK, PFN_MASK, PteBits, SEGMENT_6_12, SEGMENT_7_2, SEGMENT_INVALID, SEGMENT_LARGE,
    SEGMENT_MASK, SEGMENT_SOFT, SEGMENT_SOFT_DIRTY, SEGMENT_TYPE_UP, SOFT_TYPE_MASK, Segment, SoftBits,
    TableBits,
};
use ptelab_pgtable::{
    Access, EntryFormat, Fpb, Level, Pfn, PgProt, PhysAddr, Pte, PteAttrs, SoftFlags, SoftleafRules, VmFlags,
    Walk,
};

/// What every protection has: the entry becomes valid and unprotected where what the page has recorded allows it.
const PAGE_NONE: PteBits = PteBits::PRESENT.union(PteBits::INVALID).union(PteBits::PROTECT);

/// What a changed protection keeps (`_PAGE_CHG_MASK`).
const KEPT: PteBits = PteBits::SPECIAL.union(PteBits::DIRTY).union(PteBits::YOUNG).union(PteBits::SOFT_DIRTY);

impl S390x {
    /// Where a segment-table entry has its bits.
    const fn segment(&self) -> &'static Segment {
        if self.rules.segment_present { &SEGMENT_7_2 } else { &SEGMENT_6_12 }
    }

    /// What makes a table's entry one, by the level of the table that it stands in.
    const fn table_bits(&self, level: Level) -> u64 {
        let whole = TableBits::PRESENT.bits() | TableBits::LENGTH.bits();
        let (r3, r2) = (TableBits::R3.bits(), TableBits::R2.bits());
        match level {
            Level::Pte => 0,
            Level::Pmd => self.rules.segment_present as u64,
            Level::Pud => whole | r3,
            Level::P4d => whole | r2,
            Level::Pgd => whole | r3 | r2,
        }
    }
}

impl EntryFormat for S390x {
    const PAGE_SHIFT: u32 = 12;
    const INDEX_BITS: [u32; Level::ALL.len()] = [8, 11, 11, 11, 11];
    const TOP: Level = Level::Pgd;
    const TASK_SIZE: u64 = 0_u64.wrapping_sub(1 << Self::PAGE_SHIFT);
    const MAP_WINDOW: u64 = 1 << 42;
    const ZERO_PAGES: u64 = 1 << 7;
    const MK_PTE_DIRTIES: bool = true;
    const NUMA: bool = false;
    const MEMORY_FAILURE: bool = false;
    const TREE_GROWS: bool = true;
    const EMPTY: [Pte; Level::ALL.len()] = [Pte(0x400), Pte(0x20), Pte(0x24), Pte(0x28), Pte(0x2c)];

    /// Fewer where memory is small, of which the kernel itself has some (`setup_zero_pages`).
    fn zero_pages(pages: u64) -> u64 {
        let all = Self::ZERO_PAGES.ilog2();
        let fits = |order: &u32| (pages - 1) >> 10 >= 1 << order;
        1 << (3..=all).rev().find(fits).unwrap_or(2)
    }

    /// A region-third table.
    #[inline]
    fn root(&self) -> Level {
        Level::Pud
    }

    type Bits = PteBits;
    type TableBits = TableBits;
    const PFN_MASK: u64 = PFN_MASK;
    const PROT_MASK: u64 = !PFN_MASK & !KEPT.bits();
    const TABLE: TableBits = TableBits::empty();
    const VALID: PteBits = PteBits::READ;
    const PROTNONE: PteBits = PteBits::PRESENT;
    const USER: PteBits = PteBits::READ;
    const WRITE: PteBits = PteBits::WRITE;
    const YOUNG: PteBits = PteBits::YOUNG;
    const DIRTY: PteBits = PteBits::DIRTY;
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::empty();

    #[inline]
    fn soft_dirty_bit(&self) -> u64 {
        PteBits::SOFT_DIRTY.bits()
    }

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = PFN_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] =
        &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE), (SoftFlags::SOFT_DIRTY, SoftBits::SOFT_DIRTY)];
    const SOFT_INVERTED: u64 = SoftBits::INVALID.union(SoftBits::PROTECT).bits();
    const SWP_PFN_BITS: u32 = 34;

    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        self.softleaf
    }

    /// With what hardware looks at.
    fn attr_bits(&self, attrs: PteAttrs) -> PgProt {
        let is = |both: PteAttrs| attrs.contains(both);
        let mut prot = PteBits::PRESENT;
        prot.set(PteBits::NOEXEC, is(PteAttrs::USER) && !is(PteAttrs::EXEC));
        prot.set(PteBits::INVALID, !is(PteAttrs::USER | PteAttrs::YOUNG));
        prot.set(PteBits::PROTECT, !is(PteAttrs::WRITE | PteAttrs::DIRTY));
        PgProt(self.plain_bits(attrs) | prot.bits())
    }

    #[inline]
    fn pfn_mask(&self, pte: Pte, level: Level) -> u64 {
        match level {
            Level::Pmd if self.pmd_leaf(pte) => SEGMENT_MASK,
            Level::Pmd if self.pmd_present(pte) => PAGE_TABLE_MASK,
            _ => PFN_MASK,
        }
    }

    /// Young, as every new one (`mk_pte_phys`).
    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        self.pte_mkyoung(Pte(pfn.get() << Self::PFN_SHIFT | prot.0))
    }

    /// Bit for bit. What `pfn_pmd` and `pmd_modify` make of a page's protection in Linux comes out so as well.
    #[inline]
    fn pte_pmd(&self, pte: Pte) -> Pte {
        if self.pte_present(pte) {
            return Pte(pte.0 & SEGMENT_MASK | self.pmd_bits(pte.0 | PteBits::LARGE.bits()));
        }
        if self.pte_none(pte) {
            return Self::EMPTY[Level::Pmd as usize];
        }
        let soft_dirty = if pte.has(SoftBits::SOFT_DIRTY) { SEGMENT_SOFT_DIRTY } else { 0 };
        Pte(pte.0 & PFN_MASK | (pte.0 & SOFT_TYPE_MASK) << SEGMENT_TYPE_UP | soft_dirty | SEGMENT_SOFT)
    }

    #[inline]
    fn pmd_bits(&self, bits: u64) -> u64 {
        let there = self.segment().iter().filter(|(of_page, _)| of_page.bits() & bits != 0);
        there.fold(0, |all, (_, of_segment)| all | of_segment)
    }

    #[inline]
    fn pmd_pte(&self, pmd: Pte) -> Pte {
        if self.pmd_present(pmd) {
            let bits = self.segment().iter().filter(|(_, of_segment)| pmd.has(*of_segment));
            let present = Pte(pmd.0 & SEGMENT_MASK).with(PteBits::PRESENT);
            return bits.fold(present, |pte, (of_page, _)| pte.with(*of_page));
        }
        if self.pmd_none(pmd) {
            return Self::EMPTY[0];
        }
        let soft_dirty = if pmd.has(SEGMENT_SOFT_DIRTY) { SoftBits::SOFT_DIRTY.bits() } else { 0 };
        let ty = pmd.0 >> SEGMENT_TYPE_UP & SOFT_TYPE_MASK;
        Pte(pmd.0 & PFN_MASK | ty | soft_dirty | Self::SOFT_INVERTED)
    }

    #[inline]
    fn mk_table(&self, table: PhysAddr, level: Level) -> Pte {
        let mask = if level == Level::Pmd { PAGE_TABLE_MASK } else { PFN_MASK };
        Pte(table.get() & mask | self.table_bits(level))
    }

    /// `PAGE_NONE` to `PAGE_RWX`: what may be written and may be read, and what may be executed may be read. A private mapping's
    /// writable pages start read-only, so that the first write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let mut prot = PAGE_NONE;
        if flags.intersects(VmFlags::ACCESS) {
            prot |= PteBits::READ;
            prot.set(PteBits::NOEXEC, !flags.contains(VmFlags::EXEC));
            prot.set(PteBits::WRITE, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
        }
        PgProt(prot.bits())
    }

    #[inline]
    fn is_none(&self, entry: Pte, level: Level) -> bool {
        match level {
            Level::Pgd => entry.has(SEGMENT_INVALID),
            _ => entry == Self::EMPTY[level as usize],
        }
    }

    #[inline]
    fn pte_present(&self, pte: Pte) -> bool {
        pte.has(PteBits::PRESENT)
    }

    #[inline]
    fn table_addr(&self, entry: Pte, level: Level) -> PhysAddr {
        PhysAddr::new(entry.0 & if level == Level::Pmd { PAGE_TABLE_MASK } else { PFN_MASK })
    }

    #[inline]
    fn pte_exec(&self, pte: Pte) -> bool {
        pte.has(PteBits::READ) && !pte.has(PteBits::NOEXEC)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pmd_present(pmd) && pmd.has(SEGMENT_LARGE)
    }

    /// In 6.12, all that is not empty.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        if self.rules.segment_present { pmd.has(TableBits::PRESENT) } else { !self.pmd_none(pmd) }
    }

    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        let unprotected = if pte.has(PteBits::DIRTY) { PteBits::PROTECT } else { PteBits::empty() };
        pte.with(PteBits::WRITE).without(unprotected)
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        pte.without(PteBits::WRITE).with(PteBits::PROTECT)
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        let unprotected = if pte.has(PteBits::WRITE) { PteBits::PROTECT } else { PteBits::empty() };
        pte.with(PteBits::DIRTY | PteBits::SOFT_DIRTY).without(unprotected)
    }

    #[inline]
    fn pte_mkclean(&self, pte: Pte) -> Pte {
        pte.without(PteBits::DIRTY).with(PteBits::PROTECT)
    }

    #[inline]
    fn pte_mkyoung(&self, pte: Pte) -> Pte {
        let valid = if pte.has(PteBits::READ) { PteBits::INVALID } else { PteBits::empty() };
        pte.with(PteBits::YOUNG).without(valid)
    }

    #[inline]
    fn pte_mkold(&self, pte: Pte) -> Pte {
        pte.without(PteBits::YOUNG).with(PteBits::INVALID)
    }

    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        let new = Pte(pte.0 & (PFN_MASK | KEPT.bits()) | prot.0);
        let new = if new.has(PteBits::YOUNG) { self.pte_mkyoung(new) } else { new };
        // Not with `pte_mkdirty`, which would make it soft-dirty.
        if new.has(PteBits::WRITE) { self.pte_mkwrite(new) } else { new }
    }

    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        pmd.with(SEGMENT_INVALID)
    }

    /// With what hardware looks at.
    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let ignored = |flag, bits: PteBits| if flags.contains(flag) { 0 } else { bits.bits() };
        PteBits::YOUNG.union(PteBits::INVALID).bits()
            | ignored(Fpb::RESPECT_DIRTY, PteBits::DIRTY | PteBits::PROTECT)
            | ignored(Fpb::RESPECT_SOFT_DIRTY, PteBits::SOFT_DIRTY)
            | ignored(Fpb::RESPECT_WRITE, PteBits::WRITE | PteBits::PROTECT)
    }

    /// Hardware sets nothing.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        if !self.is_leaf(pte, level) {
            return Walk::Fault;
        }
        let of_page = if level == Level::Pmd { self.pmd_pte(pte) } else { pte };
        let protected = access == Access::Write && of_page.has(PteBits::PROTECT);
        if of_page.has(PteBits::INVALID) || protected { Walk::Fault } else { Walk::Allowed(pte) }
    }

    /// A page's entry has a bit that must be clear.
    #[inline]
    fn is_leaf(&self, pte: Pte, level: Level) -> bool {
        match level {
            Level::Pte => !pte.has(PteBits::LARGE),
            Level::Pmd => self.pmd_leaf(pte),
            _ => false,
        }
    }

    #[inline]
    fn has_pmd_softleaves(&self) -> bool {
        self.rules.thp_migration
    }
}
