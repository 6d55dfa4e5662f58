//! Paging out (`mm/vmscan.c`, `mm/rmap.c`, `try_to_unmap`, 7.3).

use crate::pages::MapLevel;
use crate::{Kernel, Mm, Vma};
use ptelab_pgtable::{
    Arch, FolioSpan, Level, MmuGather, Pfn, Pte, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags,
};

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Pages folios out that only `mm` maps, in this order; those that swap has no room for stay (`reclaim_pages`).
    pub(crate) fn reclaim_pages(&mut self, mm: &mut Mm, folios: &[FolioSpan]) {
        let mut tlb = MmuGather::default();
        for &folio in folios {
            self.pageout(mm, &mut tlb, folio);
        }
        self.tlb_finish(&mut tlb);
    }

    /// A folio that fits swap only in pieces is split. What `MADV_FREE` gave up is not written, and pages of files and of shared
    /// memory stay.
    fn pageout(&mut self, mm: &mut Mm, tlb: &mut MmuGather, folio: FolioSpan) {
        let locked = |(vma, _): &(Vma, VirtAddr)| vma.flags.contains(VmFlags::LOCKED);
        let stays = !self.pages.is_anon(folio)
            || self.pages.is_lazyfree(folio)
            || self.folio_addresses(mm, folio).iter().any(locked);
        if stays {
            return;
        }
        if let Some(first) = self.folio_alloc_swap(folio) {
            self.try_to_unmap(mm, tlb, folio, first);
        } else if folio.order > 0 {
            let owner = self.pages.owner(folio).0;
            self.split_folio(mm, folio);
            for i in 0..folio.nr_pages() as u64 {
                let page = FolioSpan { head: folio.head.add(i), order: 0 };
                // A page that the split freed is nobody's, or somebody else's by now.
                let same = self.pages.is_anon(page) && self.pages.owner(page).0 == owner;
                if same && self.pages.folio_mapcount(page) == 1 {
                    self.pageout(mm, tlb, page);
                }
            }
        }
    }

    /// Makes swap entries of a folio's mappings in `mm`, which are all it has, from slot `first` on; the folio is freed.
    fn try_to_unmap(&mut self, mm: &mut Mm, tlb: &mut MmuGather, folio: FolioSpan, first: SoftLeaf) {
        for (vma, addr) in self.folio_addresses(mm, folio) {
            self.split_huge_pmd_address(mm, &vma, addr);
        }
        self.pages.hold(folio);
        for (_, entries) in self.folio_entries(mm, folio, Self::present_page) {
            for entry in entries {
                let old = self.arch.ptep_get_and_clear(&mut self.hw, entry.addr, entry.p);
                tlb.flush_range(entry.addr, A::PAGE_SIZE, Level::Pte);
                let mut flags = SoftFlags::empty();
                flags.set(SoftFlags::EXCLUSIVE, self.pages.is_exclusive(entry.pfn));
                flags.set(SoftFlags::SOFT_DIRTY, self.arch.pte_soft_dirty(old));
                flags.set(SoftFlags::UFFD, self.arch.pte_uffd_wp(old));
                let slot = SoftLeaf { offset: first.offset + entry.pfn.since(folio.head), flags, ..first };
                self.swap_dup(slot);
                let word = self.soft_word(slot);
                self.arch.set_pte_at(&mut self.hw, entry.addr, entry.p, word);
                self.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
            }
        }
        if folio.order == 0 {
            self.swap_cache_del(first);
        }
        self.pages.release_hold(folio);
    }

    /// The page that an entry maps for processes.
    pub(crate) fn present_page(&self, pte: Pte) -> Option<Pfn> {
        let mapped = self.arch.pte_present(pte) && !self.arch.pte_special(pte);
        mapped.then(|| self.arch.pte_pfn(pte))
    }
}
