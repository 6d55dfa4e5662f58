//! Memory that failed (`mm/memory-failure.c`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::folio_entries;
use crate::tables::PageTables;
use ptelab_pgtable::{
    Arch, FolioSpan, Pfn, PteView, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type,
};
use ptelab_uapi::Errno;

/// The page at an address that is to fail, and its folio; the page was faulted in (`memory_failure`). A file's would go through its
/// file system, and a private mapping's page would have to be told from its copies: neither is here.
///
/// # Errors
/// `EFAULT` where nothing is mapped, `EOPNOTSUPP` for a file's page.
pub fn page_to_fail<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    addr: VirtAddr,
) -> Result<(Pfn, FolioSpan), Errno> {
    let pt = &mut k.pt;
    let page = present_page_at(pt, mm, addr).ok_or(Errno::EFAULT)?;
    let folio = pt.hw.page_folio(page);
    let of_memory = pt.pages.object(folio).is_some_and(|object| k.objects.is_shmem(object));
    if pt.pages.is_zero_page(page) || pt.pages.is_anon(folio) || of_memory {
        Ok((page, folio))
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// Why `MADV_SOFT_OFFLINE` fails of the zero page, which is the kernel's own, and on no list of reclaim.
pub const fn kernels_page_error<A: Arch, H: TableMemory>(pt: &PageTables<A, H>) -> Errno {
    if pt.rules.soft_offline_knows_kernel_pages { Errno::ENOTRECOVERABLE } else { Errno::EIO }
}

/// Why a zero page that failed cannot be dealt with.
pub const fn zero_page_error<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, folio: FolioSpan) -> Errno {
    let unsplit = folio.order > 0 && !pt.rules.hwpoison_knows_huge_zero;
    if unsplit { Errno::EHWPOISON } else { Errno::EBUSY }
}

/// A page that failed, which is a folio of its own now, is never used again. An object keeps its failed page, so that who faults on it gets `SIGBUS`.
pub fn fail_page<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, page: FolioSpan) {
    pt.pages.failed_in_use.remove(&page.head);
    pt.pages.set_hwpoison(page);
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
            set_hwpoison_entry(pt, mm, page, (entry.addr, entry.p, entry.pfn));
        }
    }
}

/// Makes an entry of failed memory in the place of one that mapped a page of a folio, and was taken down.
pub(crate) fn set_hwpoison_entry<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
    (addr, p, pfn): (VirtAddr, Ptep, Pfn),
) {
    let leaf = SoftLeaf::of_page(swp_type::HWPOISON, pfn, SoftFlags::empty());
    let word = pt.soft_word(leaf);
    pt.set_pte_at(addr, p, word);
    pt.pages.set_exclusive(pfn, 1, false);
    pt.pages.unmap(folio, pfn, MapLevel::Ptes(1), mm.id);
}

/// A page of a folio fails, and is in use until the folio is split.
pub fn fail_in_use<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, page: Pfn) {
    pt.pages.failed_in_use.insert(page);
}
