//! Entries: predicates, and one entry made from another.

use crate::Generic;
use crate::bits::{PFN_MASK, PFN_SHIFT, PteBits, clear, has, set};
use crate::view::fits;
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Fpb, Level, Pfn, PgProt, Pte, PteView, SoftLeaf, VmFlags, Walk,
};

/// What a protection decides; all other bits belong to the page.
const PROT_BITS: PteBits =
    PteBits::PRESENT.union(PteBits::PROTNONE).union(PteBits::READ).union(PteBits::WRITE).union(PteBits::EXEC);

const PAGE_NONE: PteBits = PteBits::PROTNONE.union(PteBits::YOUNG);
const PAGE_READONLY: PteBits = PteBits::PRESENT.union(PteBits::READ).union(PteBits::YOUNG);

impl EntryFormat for Generic {
    const PAGE_SHIFT: u32 = 12;
    const TABLE_SHIFT: u32 = 9;
    const ROOT: Level = Level::Pgd;
    const SWP_PFN_BITS: u32 = 40;
    const TASK_SIZE: u64 = 1 << 47;

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        self.view(pte, level)
    }

    /// There is no word for soft-dirty, contiguous blocks, protection keys, leaves above the PMD and huge pages
    /// that are not aligned. Refused as senseless: an access allowed under `PROTNONE`, no access without it,
    /// and writing without reading.
    fn encode(&self, view: PteView, level: Level) -> Option<Pte> {
        match view {
            PteView::None => Some(Pte::NONE),
            PteView::Table(pfn) => (level != Level::Pte && fits(pfn)).then(|| self.mk_table(pfn)),
            PteView::Soft(leaf) => (level <= Level::Pmd).then(|| self.soft_leaf(leaf)).flatten(),
            PteView::Present(m) => (m.level == level).then(|| self.encode_mapping(m)).flatten(),
        }
    }

    fn describe(&self, pte: Pte, level: Level) -> String {
        self.names(pte, level)
    }

    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField> {
        self.bits_of(pte, level)
    }

    #[inline]
    fn pfn_mask(&self) -> u64 {
        PFN_MASK
    }

    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte((pfn.get() << PFN_SHIFT) & PFN_MASK | prot.0)
    }

    #[inline]
    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        set(pte, PteBits::LEAF)
    }

    fn mk_table(&self, pfn: Pfn) -> Pte {
        self.pfn_pte(pfn, PgProt(PteBits::PRESENT.bits()))
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
    fn pte_present(&self, pte: Pte) -> bool {
        has(pte, PteBits::PRESENT.union(PteBits::PROTNONE))
    }

    #[inline]
    fn pte_pfn(&self, pte: Pte) -> Pfn {
        Pfn::new((pte.0 & PFN_MASK) >> PFN_SHIFT)
    }

    #[inline]
    fn pte_write(&self, pte: Pte) -> bool {
        has(pte, PteBits::WRITE)
    }

    #[inline]
    fn pte_dirty(&self, pte: Pte) -> bool {
        has(pte, PteBits::DIRTY)
    }

    #[inline]
    fn pte_young(&self, pte: Pte) -> bool {
        has(pte, PteBits::YOUNG)
    }

    #[inline]
    fn pte_special(&self, pte: Pte) -> bool {
        has(pte, PteBits::SPECIAL)
    }

    #[inline]
    fn pte_protnone(&self, pte: Pte) -> bool {
        !has(pte, PteBits::PRESENT) && has(pte, PteBits::PROTNONE)
    }

    #[inline]
    fn pte_uffd_wp(&self, pte: Pte) -> bool {
        has(pte, PteBits::UFFD)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd) && has(pmd, PteBits::LEAF)
    }

    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        set(pte, PteBits::WRITE)
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::WRITE)
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        set(pte, PteBits::DIRTY)
    }

    #[inline]
    fn pte_mkclean(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::DIRTY)
    }

    #[inline]
    fn pte_mkyoung(&self, pte: Pte) -> Pte {
        set(pte, PteBits::YOUNG)
    }

    #[inline]
    fn pte_mkold(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::YOUNG)
    }

    #[inline]
    fn pte_mkspecial(&self, pte: Pte) -> Pte {
        set(pte, PteBits::SPECIAL)
    }

    #[inline]
    fn pte_mkuffd_wp(&self, pte: Pte) -> Pte {
        self.pte_wrprotect(set(pte, PteBits::UFFD))
    }

    #[inline]
    fn pte_clear_uffd_wp(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::UFFD)
    }

    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        set(clear(pte, PROT_BITS), PteBits::from_bits_retain(prot.0).intersection(PROT_BITS))
    }

    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        set(clear(pmd, PteBits::PRESENT), PteBits::PROTNONE)
    }

    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let mut mask = PteBits::YOUNG;
        mask.set(PteBits::DIRTY, !flags.contains(Fpb::RESPECT_DIRTY));
        mask.set(PteBits::WRITE, !flags.contains(Fpb::RESPECT_WRITE));
        mask.bits()
    }

    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte> {
        Self::encode_soft(leaf)
    }

    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let is_leaf = has(pte, PteBits::LEAF) == (level == Level::Pmd) && level <= Level::Pmd;
        if !is_leaf || !has(pte, PteBits::PRESENT) || !has(pte, PteBits::READ) {
            return Walk::Fault;
        }
        match access {
            Access::Read => Walk::Allowed(self.pte_mkyoung(pte)),
            Access::Write if self.pte_write(pte) => Walk::Allowed(self.pte_mkdirty(self.pte_mkyoung(pte))),
            Access::Write => Walk::Fault,
        }
    }
}
