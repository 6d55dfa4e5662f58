//! Memory that failed (`mm/memory-failure.c`, 7.3).

use crate::pages::MapLevel;
use crate::{Kernel, Mm, cause};
use ptelab_pgtable::{Arch, FolioSpan, Pfn, PteView, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type};
use ptelab_uapi::Errno;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// The page at an address that is to fail, and its folio; the page was faulted in (`memory_failure`).
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped, `EBUSY` for the zero page, `EOPNOTSUPP` for memory that is not private.
    pub fn page_to_fail(&mut self, mm: &Mm, addr: VirtAddr) -> Result<(Pfn, FolioSpan), Errno> {
        let page = self.present_page_at(mm, addr).ok_or(Errno::EFAULT)?;
        if self.pages.is_zero_page(page) {
            return Err(Errno::EBUSY);
        }
        let folio = self.hw.page_folio(page);
        if !self.pages.is_anon(folio) {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok((page, folio))
    }

    /// A page, which is a folio of its own now, is never used again.
    pub fn fail_page(&mut self, page: FolioSpan) {
        self.pages.hold(page);
    }

    fn present_page_at(&self, mm: &Mm, addr: VirtAddr) -> Option<Pfn> {
        let entry = self.entry_at(mm, addr);
        let PteView::Present(mapping) = self.arch.decode(entry.pte, entry.level) else { return None };
        let into = (addr.get() % A::entry_size(entry.level)) >> A::PAGE_SHIFT;
        Some(mapping.pfn.add(into))
    }

    /// Makes entries of failed memory of all that map the page in `mm` (`unmap_poisoned_folio`).
    pub fn unmap_poisoned(&mut self, mm: &Mm, page: FolioSpan) {
        self.because(&cause::hwpoison, |kernel| kernel.try_to_unmap_poisoned(mm, page));
    }

    fn try_to_unmap_poisoned(&mut self, mm: &Mm, page: FolioSpan) {
        for (_, entries) in self.folio_entries(mm, page, Self::present_page) {
            for entry in entries {
                let old = self.arch.ptep_clear_flush(&mut self.hw, entry.addr, entry.p);
                if self.arch.pte_dirty(old) {
                    self.pages.set_dirty(page, true);
                }
                let leaf = SoftLeaf::of_page(swp_type::HWPOISON, entry.pfn, SoftFlags::empty());
                let word = self.soft_word(leaf);
                self.arch.set_pte_at(&mut self.hw, entry.addr, entry.p, word);
                self.pages.set_exclusive(entry.pfn, 1, false);
                self.pages.unmap(page, entry.pfn, MapLevel::Ptes(1), mm.id);
            }
        }
    }
}
