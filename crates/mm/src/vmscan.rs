//! Reclaim: paging out to swap, and what `MADV_FREE` gave up (`mm/vmscan.c`, `mm/rmap.c`, `try_to_unmap`, 7.3).

use crate::cause;
use crate::huge_memory::split::split_folio;
use crate::kernel::Kernel;
use crate::memory::zap::zap_huge_pmd;
use crate::mm_inline::zap_install_uffd_wp_if_needed;
use crate::mm_types::Mm;
use crate::pages::{MapLevel, MmId};
use crate::rmap::{Mapped, folio_addresses, folio_entries};
use crate::shmem::shmem_writeout;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, FolioSpan, Fpb, Level, MmuGather, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags,
};

/// Pages folios out that only `mm` maps, in this order; those that swap has no room for stay (`reclaim_pages`).
pub(crate) fn reclaim_pages<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    folios: &[FolioSpan],
) {
    let mut tlb = MmuGather::default();
    for &folio in folios {
        pageout(k, mm, &mut tlb, folio);
    }
    k.pt.tlb_finish(&mut tlb);
}

/// A folio that fits swap only in pieces is split. Pages of files stay with those, and nobody maps them then; those of shared memory go
/// to swap.
fn pageout<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    folio: FolioSpan,
) {
    let locked = |(vma, _): &(Vma, VirtAddr)| vma.flags.contains(VmFlags::LOCKED);
    if folio_addresses(&k.pt, mm, folio).iter().any(locked) {
        return;
    }
    if !k.pt.pages.is_anon(folio) {
        return unmap_cached(k, mm, tlb, folio);
    }
    if k.pt.pages.is_lazyfree(folio) {
        k.because(&cause::lazyfree, |k| discard(&mut k.pt, mm, tlb, folio));
        return;
    }
    // A folio that is mapped in part is split right away, unless it has slots.
    let in_one = k.pt.arch.arch_wants_thp_swap() && !k.pt.pages.is_partially_mapped(folio);
    let whole = folio.order == 0 || in_one || k.pt.pages.is_cached(folio);
    let slots = if whole { folio_alloc_swap(k, folio) } else { None };
    if let Some(first) = slots {
        k.because(&cause::swap_out, |k| try_to_unmap(k, mm, tlb, folio, first));
    } else if folio.order > 0 {
        let owner = k.pt.pages.owner(folio).0;
        if !k.because(&cause::swap_split, |k| split_folio(k, mm, folio)) {
            return;
        }
        let mut parts: Vec<FolioSpan> = folio.parts(0).collect();
        if k.pt.rules.split_lists_backwards {
            parts[1..].reverse();
        }
        for page in parts {
            // A page that the split freed is free, or in use again by now.
            let same = k.pt.pages.is_anon(page) && k.pt.pages.owner(page).0 == owner;
            match k.pt.pages.folio_mapcount(page) {
                0 => pass_slot(k, page),
                1 if same => pageout(k, mm, tlb, page),
                _ => {}
            }
        }
    }
}

fn folio_alloc_swap<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, folio: FolioSpan) -> Option<SoftLeaf> {
    k.swap.folio_alloc_swap(&k.pt.pages, folio, &k.pt.rules)
}

/// A page that a split left unmapped, such as one of zeros, gets a slot like the others, which is free again with the page.
fn pass_slot<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, page: FolioSpan) {
    if let Some(slot) = folio_alloc_swap(k, page) {
        k.swap.dup(slot);
        k.swap.put(&mut k.pt, slot);
    }
}

/// Makes swap entries of a folio's mappings in `mm`, which are all it has, from slot `first` on; the folio is freed.
fn try_to_unmap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    folio: FolioSpan,
    first: SoftLeaf,
) {
    for (vma, addr) in folio_addresses(&k.pt, mm, folio) {
        k.pt.split_huge_pmd_address(mm, &vma, addr);
    }
    k.pt.pages.hold(folio);
    unmap_to_swap(k, mm, tlb, folio, first);
    k.swap.cache_del(&mut k.pt.pages, folio);
    k.pt.pages.release_hold(folio);
}

/// Swap entries take the place of `mm`'s page entries of a folio, from slot `first` on.
fn unmap_to_swap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    tlb: &mut MmuGather,
    folio: FolioSpan,
    first: SoftLeaf,
) {
    for (_, entries) in folio_entries(&k.pt, mm, folio, PageTables::<A, H>::present_page) {
        for entry in entries {
            let old = k.pt.ptep_get_and_clear(entry.addr, entry.p);
            tlb.flush_range(entry.addr, A::PAGE_SIZE, Level::Pte);
            let mut flags = SoftFlags::empty();
            flags.set(SoftFlags::EXCLUSIVE, k.pt.pages.is_exclusive(entry.pfn));
            flags.set(SoftFlags::SOFT_DIRTY, k.pt.arch.pte_soft_dirty(old));
            flags.set(SoftFlags::UFFD, k.pt.arch.pte_uffd_wp(old));
            let slot = SoftLeaf { offset: first.offset + entry.pfn.since(folio.head), flags, ..first };
            k.swap.dup(slot);
            let word = k.pt.soft_word(slot);
            k.pt.set_pte_at(entry.addr, entry.p, word);
            k.pt.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
        }
    }
}

/// A page of the swap cache that failed: who maps it has it in swap again, where the slot's contents are sound (`unmap_poisoned_folio`).
pub fn unmap_poisoned_swapcache<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &Mm, page: FolioSpan) {
    let Some(slot) = k.swap.slot_of(page) else { return };
    let mut tlb = MmuGather::default();
    k.because(&cause::hwpoison, |k| unmap_to_swap(k, mm, &mut tlb, page, slot));
    k.pt.tlb_finish(&mut tlb);
}

/// It leaves the swap cache (`me_swapcache_clean`); says whether it was there.
pub fn me_swapcache_clean<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, page: FolioSpan) -> bool {
    k.swap.cache_del(&mut k.pt.pages, page)
}

/// Takes away a page's mappings in `mm`, as its object still has it. One that nobody wrote to is dropped, one of shared memory is
/// written to swap (`shrink_folio_list`, of the page cache).
fn unmap_cached<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    folio: FolioSpan,
) {
    let pt = &mut k.pt;
    for (vma, entries) in folio_entries(pt, mm, folio, PageTables::<A, H>::present_page) {
        for Mapped { addr, p, pfn, .. } in entries {
            let old = pt.ptep_get_and_clear(addr, p);
            tlb.flush_range(addr, A::PAGE_SIZE, Level::Pte);
            if pt.arch.pte_dirty(old) {
                pt.pages.set_dirty(folio, true);
            }
            let uffd_wp = pt.arch.pte_uffd_wp(old);
            pt.pages.unmap(folio, pfn, MapLevel::Ptes(1), mm.id);
            zap_install_uffd_wp_if_needed(pt, &vma, addr, p, uffd_wp, 1);
        }
    }
    let (object, pgoff) = pt.pages.owner(folio);
    if pt.pages.folio_mapcount(folio) > 0 {
        return;
    }
    if !pt.pages.is_dirty(folio) {
        k.objects.drop_page(&mut pt.pages, object, pgoff);
    } else if k.objects.is_shmem(object) {
        shmem_writeout(k, folio);
    }
}

/// Discards a lazyfree folio that only `mm` maps, unless it was written to and may not be dropped (`try_to_unmap_one`).
fn discard<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    folio: FolioSpan,
) {
    for (vma, addr) in folio_addresses(pt, mm, folio) {
        if let Ok(pmdp) = pt.pmd_offset(mm, addr)
            && let PmdState::Huge(pmd) = pt.pmd_state(pmdp)
        {
            discard_huge(pt, mm, tlb, &vma, (pmdp, pmd), addr);
        }
    }
    for (vma, entries) in folio_entries(pt, mm, folio, PageTables::<A, H>::present_page) {
        discard_batch(pt, mm.id, tlb, (folio, vma.flags), &entries);
    }
}

/// The entries of all pages of a folio, run by run. One page that was written to keeps what is left.
fn discard_batch<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    id: MmId,
    tlb: &mut MmuGather,
    (folio, flags): (FolioSpan, VmFlags),
    entries: &[Mapped],
) {
    let mut done = 0;
    while done < entries.len() {
        let Mapped { addr, p, pfn, .. } = entries[done];
        let nr = discard_run(pt, folio, p, entries.len() - done);
        let old = pt.get_and_clear_ptes(addr, p, nr);
        tlb.flush_range(addr, nr as u64 * A::PAGE_SIZE, Level::Pte);
        if pt.arch.pte_dirty(old) {
            pt.pages.set_dirty(folio, true);
        }
        if pt.pages.is_dirty(folio) && !flags.contains(VmFlags::DROPPABLE) {
            pt.set_ptes(addr, p, old, nr);
            pt.pages.set_swapbacked(folio);
            return;
        }
        pt.pages.unmap(folio, pfn, MapLevel::Ptes(nr), id);
        done += nr;
    }
}

/// How many entries are taken away together, of `max` that map pages of a folio.
fn discard_run<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    folio: FolioSpan,
    p: Ptep,
    max: usize,
) -> usize {
    if !pt.rules.reclaim_batches_lazyfree {
        return 1;
    }
    if !pt.rules.reclaim_respects_write {
        return max;
    }
    let pte = pt.ptep_get(p);
    pt.folio_pte_batch(folio, p, pte, max, Fpb::RESPECT_WRITE | Fpb::RESPECT_SOFT_DIRTY)
}

/// A huge leaf. Where its folio was written to, it stays, or is split and goes on as page entries
/// (`__discard_anon_folio_pmd_locked`).
fn discard_huge<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    vma: &Vma,
    (pmdp, pmd): (Ptep, Pte),
    addr: VirtAddr,
) {
    let Some(folio) = pt.vm_normal_folio_pmd(pmd) else { return };
    let clean = !pt.arch.pmd_dirty(pmd) && !pt.pages.is_dirty(folio);
    if clean || vma.flags.contains(VmFlags::DROPPABLE) {
        zap_huge_pmd(pt, mm, tlb, pmdp, addr);
    } else if pt.rules.reclaim_splits_written_huge {
        pt.split_huge_pmd(mm, vma, pmdp, addr);
    } else {
        pt.pages.set_dirty(folio, true);
        pt.pages.set_swapbacked(folio);
    }
}
