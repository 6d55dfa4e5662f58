//! Faults on software entries (`mm/memory.c`, `do_swap_page`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::device::do_device_page;
use crate::memory::fault::Fault;
use crate::memory::wp::do_wp_page;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use crate::vma::vma_soft_dirty_enabled;
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VmFlags, marker,
    swp_type,
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

/// Brings a page back from swap. It is writable at once where it is the process's own; the first of several that share its
/// slot leaves it in the swap cache for the others.
fn swap_in<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    p: Ptep,
    leaf: SoftLeaf,
    fault: Fault,
) -> Result<(), FaultError> {
    k.pt.hw.event(Event::Fault(FaultKind::Soft));
    let cached = k.swap.cached(leaf).map(|head| FolioSpan { head, order: 0 });
    let shared = k.swap.count(leaf) > 1;
    // The last entry's page need not go through the swap cache, and then nobody else can have it.
    let own = k.pt.rules.swapin_bypasses_cache && cached.is_none() && !shared;
    let exclusive = own || leaf.flags.contains(SoftFlags::EXCLUSIVE);
    let page = if let Some(page) = cached {
        page
    } else {
        let page = read_swap(k, mm, vma, leaf, exclusive, fault)?;
        // It is as its slot has it, unless that goes with the last entry (`folio_free_swap`).
        k.pt.pages.set_dirty(page, !own);
        page
    };
    if shared && cached.is_none() {
        k.swap.cache_add(&mut k.pt.pages, leaf, page);
    }
    let to_free = should_try_to_free_swap(k, vma, page, fault);
    k.pt.pages.map(page, page.head, MapLevel::Ptes(1), mm.id);
    k.pt.pages.set_exclusive(page.head, 1, exclusive);
    k.swap.put(&mut k.pt.pages, leaf);
    if to_free {
        k.swap.folio_free_swap(&mut k.pt.pages, page);
    }
    let pte = swapped_in_pte(&k.pt, vma, leaf, page, exclusive, fault.access);
    k.pt.set_pte_at(fault.addr, p, pte);
    if fault.access == Access::Write && !k.pt.arch.pte_write(pte) {
        return do_wp_page(k, mm, vma, p, pte, fault);
    }
    Ok(())
}

/// Whether a page leaves the swap cache with the last entry of its slot: where the slot is wanted, where the page stays in memory, and
/// where it is written to and nobody else maps it.
fn should_try_to_free_swap<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    vma: &Vma,
    page: FolioSpan,
    fault: Fault,
) -> bool {
    k.pt.rules.swapin_frees_cache
        || k.swap.vm_swap_full()
        || vma.flags.contains(VmFlags::LOCKED)
        || fault.access == Access::Write && k.pt.pages.folio_mapcount(page) == 0
}

/// A new page with what a slot holds.
fn read_swap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    leaf: SoftLeaf,
    exclusive: bool,
    fault: Fault,
) -> Result<FolioSpan, FaultError> {
    let page = k.pt.alloc_folio(0).ok_or(FaultError::OutOfMemory)?;
    k.pt.pages.load(page.head, k.swap.page(leaf));
    let own = k.rmap.anon_vma_prepare::<A>(mm, vma);
    // What may be shared belongs to the whole family.
    let owner = if exclusive { own } else { vma.chain.first().copied().unwrap_or(own) };
    k.pt.pages.set_anon(page, owner, vma.pgoff_of(fault.addr, A::PAGE_SHIFT));
    Ok(page)
}

fn swapped_in_pte<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    leaf: SoftLeaf,
    page: FolioSpan,
    exclusive: bool,
    access: Access,
) -> Pte {
    let mut pte = pt.arch.pfn_pte(page.head, vma.page_prot);
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
