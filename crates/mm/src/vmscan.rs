//! Reclaim: paging out to swap, and what `MADV_FREE` gave up (`mm/vmscan.c`, `mm/rmap.c`, `try_to_unmap`, 7.3).

use crate::madvise::Cold;
use crate::migration::Mapped;
use crate::pages::MapLevel;
use crate::walk::PmdState;
use crate::{Kernel, Mm, MmId, Vma, cause};
use ptelab_pgtable::{
    Arch, FolioSpan, Fpb, Level, MmuGather, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr,
    VmFlags,
};
use ptelab_uapi::Errno;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Pages folios out that only `mm` maps, in this order; those that swap has no room for stay (`reclaim_pages`).
    pub(crate) fn reclaim_pages(&mut self, mm: &mut Mm, folios: &[FolioSpan]) {
        let mut tlb = MmuGather::default();
        for &folio in folios {
            self.pageout(mm, &mut tlb, folio);
        }
        self.tlb_finish(&mut tlb);
    }

    /// A folio that fits swap only in pieces is split. Pages of files and of shared memory stay.
    fn pageout(&mut self, mm: &mut Mm, tlb: &mut MmuGather, folio: FolioSpan) {
        let locked = |(vma, _): &(Vma, VirtAddr)| vma.flags.contains(VmFlags::LOCKED);
        if !self.pages.is_anon(folio) || self.folio_addresses(mm, folio).iter().any(locked) {
            return;
        }
        if self.pages.is_lazyfree(folio) {
            self.because(&cause::lazyfree, |kernel| kernel.discard(mm, tlb, folio));
            return;
        }
        if let Some(first) = self.folio_alloc_swap(folio) {
            self.because(&cause::swap_out, |kernel| kernel.try_to_unmap(mm, tlb, folio, first));
        } else if folio.order > 0 {
            let owner = self.pages.owner(folio).0;
            self.because(&cause::swap_split, |kernel| kernel.split_folio(mm, folio));
            for page in folio.parts(0) {
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

    /// Reclaims the lazyfree folios in a range of so many bytes, as `MADV_PAGEOUT` does: those that were not written to are
    /// discarded, the others are to be kept again. Folios that another process maps too are passed over, and other memory
    /// stays, apart from large folios that lie in the range only in part: they are split.
    ///
    /// # Errors
    /// Those of `madvise`.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn reclaim(&mut self, mm: &mut Mm, start: VirtAddr, len: u64) -> Result<(), Errno> {
        let end = Self::madvise_end(start, len)?;
        self.walk_vmas(mm, (start, end), |kernel, mm, vma, part| {
            kernel.madvise_cold(mm, vma, part, Cold::PageoutLazyfree)
        })
    }

    /// Discards a lazyfree folio that only `mm` maps, unless it was written to (`try_to_unmap_one`).
    fn discard(&mut self, mm: &mut Mm, tlb: &mut MmuGather, folio: FolioSpan) {
        for (vma, addr) in self.folio_addresses(mm, folio) {
            if let Ok(pmdp) = self.pmd_offset(mm, addr)
                && let PmdState::Huge(pmd) = self.pmd_state(pmdp)
            {
                self.discard_huge(mm, tlb, &vma, (pmdp, pmd), addr);
            }
        }
        for (_, entries) in self.folio_entries(mm, folio, Self::present_page) {
            self.discard_batch(mm.id, tlb, folio, &entries);
        }
    }

    /// The entries of all pages of a folio, run by run. One page that was written to keeps what is left.
    fn discard_batch(&mut self, id: MmId, tlb: &mut MmuGather, folio: FolioSpan, entries: &[Mapped]) {
        let mut done = 0;
        while done < entries.len() {
            let Mapped { addr, p, pfn, .. } = entries[done];
            let nr = self.discard_run(folio, p, entries.len() - done);
            let old = self.arch.get_and_clear_ptes(&mut self.hw, addr, p, nr);
            tlb.flush_range(addr, nr as u64 * A::PAGE_SIZE, Level::Pte);
            if self.arch.pte_dirty(old) {
                self.pages.set_dirty(folio, true);
            }
            if self.pages.is_dirty(folio) {
                self.arch.set_ptes(&mut self.hw, addr, p, old, nr);
                self.pages.set_swapbacked(folio);
                return;
            }
            self.pages.unmap(folio, pfn, MapLevel::Ptes(nr), id);
            done += nr;
        }
    }

    /// How many entries are taken away together, of `max` that map pages of a folio.
    fn discard_run(&mut self, folio: FolioSpan, p: Ptep, max: usize) -> usize {
        if !self.rules.reclaim_respects_write {
            return max;
        }
        let pte = self.arch.ptep_get(&mut self.hw, p);
        self.folio_pte_batch(Some(folio), p, pte, max, Fpb::RESPECT_WRITE | Fpb::RESPECT_SOFT_DIRTY)
    }

    /// A huge leaf. Where its folio was written to, it stays, or is split and goes on as page entries
    /// (`__discard_anon_folio_pmd_locked`).
    fn discard_huge(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        vma: &Vma,
        (pmdp, pmd): (Ptep, Pte),
        addr: VirtAddr,
    ) {
        let Some(folio) = self.vm_normal_folio_pmd(pmd) else { return };
        if !self.arch.pte_dirty(pmd) && !self.pages.is_dirty(folio) {
            self.zap_huge_pmd(mm, tlb, pmdp, addr);
        } else if self.rules.reclaim_splits_written_huge {
            self.split_huge_pmd(mm, vma, pmdp, addr);
        } else {
            self.pages.set_dirty(folio, true);
            self.pages.set_swapbacked(folio);
        }
    }
}
