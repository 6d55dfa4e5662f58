//! Faults on software entries (`mm/memory.c`, `do_swap_page`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::anon::alloc_fitting;
use crate::memory::device::do_device_page;
use crate::memory::fault::Fault;
use crate::memory::wp::do_wp_page;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use crate::vma::vma_soft_dirty_enabled;
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Level, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory,
    VirtAddr, VmFlags, marker, swp_type,
};
use ptelab_uapi::Signal;

/// Resolves a fault on an entry that is neither empty nor present, or says how it ends.
pub(crate) fn do_swap_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    p: Ptep,
    pte: Pte,
    fault: Fault,
) -> Result<(), FaultError> {
    let Some(leaf) = k.pt.soft_view(pte) else { return Err(FaultError::Signal(Signal::SEGV)) };
    match leaf.ty {
        swp_type::HWPOISON => Err(FaultError::Hwpoison),
        swp_type::MARKER if leaf.is_marker(marker::POISONED) => Err(FaultError::Hwpoison),
        swp_type::MARKER => Err(FaultError::Signal(Signal::SEGV)),
        swp_type::DEVICE_WRITE | swp_type::DEVICE_READ | swp_type::DEVICE_EXCLUSIVE => {
            k.because(&cause::fault_device, |k| do_device_page(k, mm, vma, p, leaf, fault))
        }
        _ if leaf.is_migration() => Err(FaultError::Migrating),
        _ => k.because(&cause::fault_swap, |k| swap_in(k, mm, vma, p, leaf, fault)),
    }
}

/// Brings a page back from swap, and those around it that fit into one folio with it. They are writable at once where they are the
/// process's own; the first of several that share slots leaves the folio in the swap cache for the others.
fn swap_in<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    p: Ptep,
    leaf: SoftLeaf,
    fault: Fault,
) -> Result<(), FaultError> {
    k.pt.hw.event(Event::Fault(FaultKind::Soft));
    let cached = k.swap.cached(leaf).map(|page| (k.pt.hw.peek_folio(page), page));
    let shared = k.swap.count(leaf) > 1;
    // The last entry's page need not go through the swap cache, and then nobody else can have it.
    let own = k.pt.rules.swapin_bypasses_cache && cached.is_none() && !shared;
    let exclusive = own || leaf.flags.contains(SoftFlags::EXCLUSIVE);
    let (folio, page) = match cached {
        Some(cached) => cached,
        None => read_swap(k, mm, vma, (p, leaf), exclusive, own, fault)?,
    };
    let part = swapped_part(&mut k.pt, vma, (p, leaf), (folio, page), fault.addr);
    let to_free = should_try_to_free_swap(k, vma, folio, fault);
    k.pt.pages.map(folio, part.page, MapLevel::Ptes(part.nr), mm.id);
    k.pt.pages.set_exclusive(part.page, part.nr, exclusive);
    k.swap.put_batch(&mut k.pt, part.leaf, part.nr);
    if to_free {
        k.swap.folio_free_swap(&mut k.pt.pages, folio);
    }
    let pte = swapped_in_pte(&k.pt, vma, leaf, part.page, exclusive, fault.access);
    k.pt.set_ptes(part.addr, part.p, pte, part.nr);
    if fault.access == Access::Write && !k.pt.arch.pte_write(pte) {
        let pte = k.pt.arch.pte_advance_pfn(pte, page.since(part.page) as usize);
        return do_wp_page(k, mm, vma, p, pte, fault);
    }
    Ok(())
}

/// Entries that one fault makes those of pages again.
struct Part {
    p: Ptep,
    addr: VirtAddr,
    leaf: SoftLeaf,
    page: Pfn,
    nr: usize,
}

/// A whole folio, where all its pages are wanted in a row, within the table and the VMA; else the page that was asked for.
fn swapped_part<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    (p, leaf): (Ptep, SoftLeaf),
    (folio, page): (FolioSpan, Pfn),
    addr: VirtAddr,
) -> Part {
    let (nr, before) = (folio.nr_pages(), page.since(folio.head));
    let one = Part { p, addr, leaf, page, nr: 1 };
    let first = A::index(addr, Level::Pte) as u64;
    let (Some(first), Some(start), Some(offset)) = (
        first.checked_sub(before),
        addr.get().checked_sub(before * A::PAGE_SIZE).map(VirtAddr::new),
        leaf.offset.checked_sub(before),
    ) else {
        return one;
    };
    let end = start.add(nr as u64 * A::PAGE_SIZE);
    let inside = first as usize + nr <= A::PTRS_PER_PTE && vma.start <= start && end <= vma.end;
    let p = p.align_down(A::PTRS_PER_PTE).add(first as usize);
    let leaf = SoftLeaf { offset, ..leaf };
    if inside && is_in_swap(pt, p, leaf, nr) {
        Part { p, addr: start, leaf, page: folio.head, nr }
    } else {
        one
    }
}

/// Whether `nr` entries from `p` on name one slot after the other from that of `leaf` on, alike in all else.
fn is_in_swap<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    p: Ptep,
    leaf: SoftLeaf,
    nr: usize,
) -> bool {
    nr == 1 || pt.soft_view(pt.hw.peek(p)) == Some(leaf) && pt.swap_pte_batch(p, leaf, nr) == nr
}

/// Whether a folio leaves the swap cache with the last entry of its slots: where slots are wanted, where it stays in memory, and where
/// it is written to and nobody else maps it.
fn should_try_to_free_swap<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    vma: &Vma,
    folio: FolioSpan,
    fault: Fault,
) -> bool {
    k.pt.rules.swapin_frees_cache
        || k.swap.vm_swap_full()
        || vma.flags.contains(VmFlags::LOCKED)
        || fault.access == Access::Write && k.pt.pages.folio_mapcount(folio) == 0
}

/// A new folio with what a slot holds, and those around it that can be read with it, in the swap cache where others want it, too.
/// With the page that was asked for.
fn read_swap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (p, leaf): (Ptep, SoftLeaf),
    exclusive: bool,
    own: bool,
    fault: Fault,
) -> Result<(FolioSpan, Pfn), FaultError> {
    // What goes by the swap cache was read page by page as long as there was another way.
    let may_be_large = vma.is_anonymous() && (own || !k.pt.rules.swapin_bypasses_cache);
    let fits = |k: &mut Kernel<A, H>, order| {
        may_be_large && can_swapin_thp(k, (p, leaf), fault.addr, 1_usize << order)
    };
    let folio = alloc_fitting(k, mm, vma, fault.addr, fits).ok_or(FaultError::OutOfMemory)?;
    let nr = folio.nr_pages();
    let (first, before) = first_of(leaf, fault.addr.get() >> A::PAGE_SHIFT, nr);
    let start = fault.addr.align_down(nr as u64 * A::PAGE_SIZE);
    swap_read_folio(k, mm, vma, (folio, first), start, exclusive);
    // It is as its slots have it, unless those go with their last entries (`folio_free_swap`).
    k.pt.pages.set_dirty(folio, !own);
    if first.slots(nr).any(|leaf| k.swap.count(leaf) > 1) && !own {
        k.swap.cache_add(&mut k.pt.pages, first, folio);
    }
    Ok((folio, folio.head.add(before)))
}

/// Fills a new folio, of the pages from `start` on, with what slots hold.
fn swap_read_folio<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (folio, first): (FolioSpan, SoftLeaf),
    start: VirtAddr,
    exclusive: bool,
) {
    for (leaf, i) in first.slots(folio.nr_pages()).zip(0..) {
        k.pt.pages.load(folio.head.add(i), k.swap.page(leaf));
    }
    let anon_vma = k.rmap.anon_vma_prepare::<A>(mm, vma);
    // What may be shared belongs to the whole family.
    let owner = if exclusive { anon_vma } else { vma.chain.first().copied().unwrap_or(anon_vma) };
    k.pt.pages.set_anon(folio, owner, vma.pgoff_of(start, A::PAGE_SHIFT));
}

/// Reads what a range of private memory has in swap into the swap cache, page by page, as far as memory goes (`swapin_walk_pmd_entry`).
pub(crate) fn read_swap_cache<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): (VirtAddr, VirtAddr),
) {
    let mut swapped = Vec::new();
    k.pt.walk_entries(mm, start, end, |entry| {
        let leaf = k.pt.soft_view(entry.pte).filter(|leaf| entry.level == Level::Pte && leaf.is_swap());
        swapped.extend(leaf.map(|leaf| (entry.addr, leaf)));
    });
    for (addr, leaf) in swapped {
        if k.swap.cached(leaf).is_some() {
            continue;
        }
        let Some(page) = k.pt.alloc_folio(0) else { return };
        swap_read_folio(k, mm, vma, (page, leaf), addr, leaf.flags.contains(SoftFlags::EXCLUSIVE));
        k.swap.cache_add(&mut k.pt.pages, leaf, page);
    }
}

/// The entry of the first of `nr` aligned pages around one, by that one's entry and number; and how many pages are before it.
const fn first_of(leaf: SoftLeaf, page: u64, nr: usize) -> (SoftLeaf, u64) {
    let before = page % nr as u64;
    (SoftLeaf { offset: leaf.offset.wrapping_sub(before), ..leaf }, before)
}

/// Whether the aligned block of `nr` pages around an address is in swap in one piece, aligned alike, and can be read at once.
fn can_swapin_thp<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    (p, leaf): (Ptep, SoftLeaf),
    addr: VirtAddr,
    nr: usize,
) -> bool {
    let page = addr.get() >> A::PAGE_SHIFT;
    let (first, before) = first_of(leaf, page, nr);
    let aligned = (leaf.offset ^ page).is_multiple_of(nr as u64);
    let table = p.align_down(A::PTRS_PER_PTE);
    let p = table.add(A::index(addr, Level::Pte) - before as usize);
    aligned && is_in_swap(&mut k.pt, p, first, nr) && k.swap.can_read_whole(first, nr)
}

fn swapped_in_pte<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    leaf: SoftLeaf,
    page: Pfn,
    exclusive: bool,
    access: Access,
) -> Pte {
    let mut pte = pt.arch.pfn_pte(page, vma.page_prot);
    if leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
        pte = pt.arch.pte_mksoft_dirty(pte);
    }
    if leaf.flags.contains(SoftFlags::UFFD) {
        pte = pt.arch.pte_mkuffd_wp(pte);
    }
    let unnoticed_write = vma_soft_dirty_enabled(pt, vma) && !pt.arch.pte_soft_dirty(pte);
    let watched = vma.flags.contains(VmFlags::UFFD_WP) && pt.arch.pte_uffd_wp(pte);
    if exclusive && vma.flags.contains(VmFlags::WRITE) && !unnoticed_write && !watched {
        pte = pt.arch.pte_mkwrite(pte);
        if access == Access::Write {
            pte = pt.arch.pte_mkdirty(pte);
        }
    }
    pte
}
