//! Memory that failed (`mm/memory-failure.c`, 7.3).

use crate::pages::MapLevel;
use crate::{Errno, Kernel, Mm};
use ptelab_pgtable::{Arch, FolioSpan, Pfn, PteView, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type};

/// A page that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedPage {
    /// The page, out of its folio.
    pub page: FolioSpan,
    /// The process that reported it gets `SIGBUS` for it, as it maps it: so it is for single pages, while splitting a large
    /// folio takes the page away without a signal (asked of 6.16.12, 6.17.13 and 7.3.4).
    pub signals: bool,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// The page at an address that is to fail, out of its large folio, which is split; the page was faulted in. It is never used
    /// again (`memory_failure`).
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped, `EBUSY` for the zero page and for a large folio that others map too, `EOPNOTSUPP` for
    /// memory that is not private.
    pub fn fail_page(&mut self, mm: &mut Mm, addr: VirtAddr) -> Result<FailedPage, Errno> {
        let page = self.present_page_at(mm, addr).ok_or(Errno::Efault)?;
        if self.pages.is_zero_page(page) {
            return Err(Errno::Ebusy);
        }
        let folio = self.hw.page_folio(page);
        if !self.pages.is_anon(folio) {
            return Err(Errno::Eopnotsupp);
        }
        if folio.order > 0 {
            if self.pages.maybe_mapped_shared(folio) {
                return Err(Errno::Ebusy);
            }
            self.split_folio_around(mm, folio, page);
        }
        let page = FolioSpan { head: page, order: 0 };
        self.pages.hold(page);
        Ok(FailedPage { page, signals: folio.order == 0 })
    }

    fn present_page_at(&self, mm: &Mm, addr: VirtAddr) -> Option<Pfn> {
        let entry = self.entry_at(mm, addr);
        let PteView::Present(mapping) = self.arch.decode(entry.pte, entry.level) else { return None };
        let into = (addr.get() % A::entry_size(entry.level)) >> A::PAGE_SHIFT;
        Some(mapping.pfn.add(into))
    }

    /// Makes entries of failed memory of all that map the page in `mm` (`unmap_poisoned_folio`).
    pub fn unmap_poisoned(&mut self, mm: &Mm, page: FolioSpan) {
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
