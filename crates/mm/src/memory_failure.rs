//! Memory that failed (`mm/memory-failure.c`, 7.3).

use crate::cause;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::folio_entries;
use crate::tables::PageTables;
use ptelab_pgtable::{Arch, FolioSpan, Pfn, PteView, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type};
use ptelab_uapi::Errno;

/// The page at an address that is to fail, and its folio; the page was faulted in (`memory_failure`).
///
/// # Errors
/// `EFAULT` where nothing is mapped, `EBUSY` for the zero page, `EOPNOTSUPP` for memory that is not private.
pub fn page_to_fail<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    addr: VirtAddr,
) -> Result<(Pfn, FolioSpan), Errno> {
    let page = present_page_at(pt, mm, addr).ok_or(Errno::EFAULT)?;
    if pt.pages.is_zero_page(page) {
        return Err(Errno::EBUSY);
    }
    let folio = pt.hw.page_folio(page);
    if !pt.pages.is_anon(folio) {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok((page, folio))
}

/// A page, which is a folio of its own now, is never used again.
pub fn fail_page<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, page: FolioSpan) {
    pt.pages.hold(page);
}

fn present_page_at<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, mm: &Mm, addr: VirtAddr) -> Option<Pfn> {
    let entry = pt.entry_at(mm, addr);
    let PteView::Present(mapping) = pt.arch.decode(entry.pte, entry.level) else { return None };
    let into = (addr.get() % A::entry_size(entry.level)) >> A::PAGE_SHIFT;
    Some(mapping.pfn.add(into))
}

/// Makes entries of failed memory of all that map the page in `mm` (`unmap_poisoned_folio`).
pub fn unmap_poisoned<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, page: FolioSpan) {
    pt.because(&cause::hwpoison, |pt| try_to_unmap_poisoned(pt, mm, page));
}

fn try_to_unmap_poisoned<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, page: FolioSpan) {
    for (_, entries) in folio_entries(pt, mm, page, PageTables::<A, H>::present_page) {
        for entry in entries {
            let old = pt.ptep_clear_flush(entry.addr, entry.p);
            if pt.arch.pte_dirty(old) {
                pt.pages.set_dirty(page, true);
            }
            let leaf = SoftLeaf::of_page(swp_type::HWPOISON, entry.pfn, SoftFlags::empty());
            let word = pt.soft_word(leaf);
            pt.set_pte_at(entry.addr, entry.p, word);
            pt.pages.set_exclusive(entry.pfn, 1, false);
            pt.pages.unmap(page, entry.pfn, MapLevel::Ptes(1), mm.id);
        }
    }
}
