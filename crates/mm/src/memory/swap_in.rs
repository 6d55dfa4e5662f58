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
    let at = Swapped { p, addr: fault.addr, leaf };
    let (folio, page) = match cached {
        Some(cached) => cached,
        None => read_swap(k, mm, vma, at, exclusive, own)?,
    };
    let nr = folio.nr_pages();
    // The whole folio, where all its pages are wanted in a row; else the page that was asked for.
    let whole = swapped_around(&mut k.pt, vma, at, page.since(folio.head), nr);
    let (first, first_page, nr) = whole.map_or((at, page, 1), |first| (first, folio.head, nr));
    let to_free = should_try_to_free_swap(k, vma, folio, fault);
    k.pt.pages.map(folio, first_page, MapLevel::Ptes(nr), mm.id);
    k.pt.pages.set_exclusive(first_page, nr, exclusive);
    k.swap.swap_free_nr(&mut k.pt, first.leaf, nr);
    if to_free {
        k.swap.folio_free_swap(&mut k.pt.pages, folio);
    }
    let pte = swapped_in_pte(&k.pt, vma, leaf, first_page, exclusive, fault.access);
    k.pt.set_ptes(first.addr, first.p, pte, nr);
    if fault.access == Access::Write && !k.pt.arch.pte_write(pte) {
        let pte = k.pt.arch.pte_advance_pfn(pte, page.since(first_page) as usize);
        return do_wp_page(k, mm, vma, p, pte, fault);
    }
    Ok(())
}

/// The entry of a page in swap.
#[derive(Clone, Copy)]
struct Swapped {
    p: Ptep,
    addr: VirtAddr,
    leaf: SoftLeaf,
}

/// The first of `nr` entries of which so many are before one, where all stand in its table and VMA and name one slot after the other,
/// alike in all else.
fn swapped_around<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    at: Swapped,
    before: u64,
    nr: usize,
) -> Option<Swapped> {
    if nr == 1 {
        return Some(at);
    }
    let index = A::index(at.addr, Level::Pte).checked_sub(before as usize)?;
    let addr = VirtAddr::new(at.addr.get() - before * A::PAGE_SIZE);
    let leaf = SoftLeaf { offset: at.leaf.offset.checked_sub(before)?, ..at.leaf };
    let in_vma = vma.start <= addr && addr.add(nr as u64 * A::PAGE_SIZE) <= vma.end;
    let p = at.p.align_down(A::PTRS_PER_PTE).add(index);
    let all = index + nr <= A::PTRS_PER_PTE
        && in_vma
        && pt.soft_view(pt.hw.peek(p)) == Some(leaf)
        && pt.swap_pte_batch(p, leaf, nr) == nr;
    all.then_some(Swapped { p, addr, leaf })
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
    at: Swapped,
    exclusive: bool,
    own: bool,
) -> Result<(FolioSpan, Pfn), FaultError> {
    // What goes by the swap cache was read page by page as long as there was another way.
    let may_be_large = vma.is_anonymous() && (own || !k.pt.rules.swapin_bypasses_cache);
    let fits = |k: &mut Kernel<A, H>, order| may_be_large && can_swapin_thp(k, vma, at, 1_usize << order);
    let folio = alloc_fitting(k, mm, vma, at.addr, fits).ok_or(FaultError::OutOfMemory)?;
    let nr = folio.nr_pages();
    let start = at.addr.align_down(nr as u64 * A::PAGE_SIZE);
    let before = at.addr.since(start) >> A::PAGE_SHIFT;
    let first = SoftLeaf { offset: at.leaf.offset - before, ..at.leaf };
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
    if k.swap.used() == 0 {
        return;
    }
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

/// Whether the aligned block of `nr` pages around an address is in swap in one piece, aligned alike, and can be read at once.
fn can_swapin_thp<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, vma: &Vma, at: Swapped, nr: usize) -> bool {
    let page = at.addr.get() >> A::PAGE_SHIFT;
    if !(at.leaf.offset ^ page).is_multiple_of(nr as u64) {
        return false;
    }
    let first = swapped_around(&mut k.pt, vma, at, page % nr as u64, nr);
    first.is_some_and(|first| k.swap.can_read_whole(first.leaf, nr))
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
