//! `MADV_COLD`, `MADV_PAGEOUT`, `MADV_FREE` (`mm/madvise.c`, 7.3).

use crate::cause;
use crate::huge_memory::split::split_folio;
use crate::kernel::Kernel;
use crate::madvise::range::{Range, madvise_end, walk_vmas};
use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use crate::vmscan::reclaim_pages;
use ptelab_pgtable::{
    Arch, Cause, Cydp, FolioSpan, Fpb, Level, MmuGather, Pte, Ptep, TableMemory, VirtAddr, VmFlags, marker,
    swp_type,
};
use ptelab_uapi::Errno;

// MADV_FREE, MADV_COLD, MADV_PAGEOUT.

/// What to do with memory that is not needed soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// It is to be reclaimed before other memory.
    Deactivate,
    /// It is reclaimed now.
    Pageout,
}

impl Cold {
    const fn cause(self) -> &'static Cause {
        match self {
            Self::Deactivate => &cause::cold,
            Self::Pageout => &cause::pageout,
        }
    }
}

/// Entries that map all pages of a folio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MappedBatch {
    pub(crate) addr: VirtAddr,
    pub(crate) p: Ptep,
    pub(crate) nr: usize,
    pub(crate) folio: FolioSpan,
    young: bool,
    dirty: bool,
}

pub(crate) fn madvise_free<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): Range,
) -> Result<(), Errno> {
    if !vma.is_anonymous() || vma.flags.intersects(VmFlags::LOCKED | VmFlags::PFNMAP) {
        return Err(Errno::EINVAL);
    }
    k.pt.pages.lru_add_drain();
    let mut tlb = MmuGather::default();
    let mut addr = start;
    while let Some((pmdp, from, next)) = k.pt.next_pmd(mm, addr, end) {
        addr = next;
        if let PmdState::Huge(pmd) = k.pt.pmd_state(pmdp)
            && free_huge_pmd(k, mm, &mut tlb, (pmdp, pmd), (from, next))
        {
            continue;
        }
        k.because(&cause::free_swap, |k| free_nonpresent(k, mm, (from, next)));
        for_each_batch(k, mm, (from, next), |k, batch| free_batch(k, &mut tlb, batch));
    }
    k.pt.tlb_end_vma(&mut tlb);
    k.pt.tlb_finish(&mut tlb);
    Ok(())
}

/// Says whether the huge leaf was dealt with; otherwise its folio was split (`madvise_free_huge_pmd`).
fn free_huge_pmd<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    (pmdp, pmd): (Ptep, Pte),
    (from, next): Range,
) -> bool {
    let pt = &mut k.pt;
    let Some(folio) = pt.vm_normal_folio_pmd(pmd) else { return true };
    if pt.maybe_mapped_shared(folio) {
        pt.hw.keeps(pmdp, 1, &cause::folio_shared);
        return true;
    }
    if next.since(from) != A::entry_size(Level::Pmd) {
        // Whether it was split or not, page entries are looked for.
        let _ = k.because(&cause::folio_in_part, |k| split_folio(k, mm, folio));
        return false;
    }
    pt.pages.set_dirty(folio, false);
    if pt.arch.pmd_young(pmd) || pt.arch.pmd_dirty(pmd) {
        pt.because(&cause::free, |pt| {
            let old = pt.pmdp_invalidate(from, pmdp);
            let new = pt.arch.pmd_mkclean(pt.arch.pmd_mkold(old));
            pt.set_pmd_at(from, pmdp, new);
        });
        tlb.flush_range(from, A::entry_size(Level::Pmd), Level::Pmd);
    }
    pt.pages.folio_mark_lazyfree(folio);
    true
}

/// Pages in swap and failed memory are as good as gone.
fn free_nonpresent<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &Mm, (mut addr, end): Range) {
    while addr < end {
        let Some(p) = k.pt.pte_offset(mm, addr) else { return };
        let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
        let mut nr = 1;
        if let Some(leaf) = k.pt.soft_view(k.pt.hw.peek(p)) {
            if leaf.is_swap() {
                nr = k.pt.swap_pte_batch(p, leaf, max);
                k.swap.put_batch(&mut k.pt, leaf, nr);
                k.pt.clear_nonpresent_ptes(addr, p, nr);
            } else if leaf.ty == swp_type::HWPOISON || leaf.is_marker(marker::POISONED) {
                k.pt.clear_nonpresent_ptes(addr, p, 1);
            }
        }
        addr = addr.add(nr as u64 * A::PAGE_SIZE);
    }
}

fn free_batch<A: Arch, H: TableMemory>(
    Kernel { pt, swap, .. }: &mut Kernel<A, H>,
    tlb: &mut MmuGather,
    b: MappedBatch,
) {
    let cached = pt.pages.is_cached(b.folio);
    if cached || pt.pages.is_dirty(b.folio) {
        let alone = pt.pages.folio_mapcount(b.folio) as usize == b.folio.nr_pages();
        if alone && cached {
            swap.folio_free_swap(&mut pt.pages, b.folio);
        }
        // A page stays in the swap cache as long as other entries name its slot.
        if !alone || pt.pages.is_cached(b.folio) {
            return pt.hw.keeps(b.p, b.nr, &cause::free_not_alone);
        }
        pt.pages.set_dirty(b.folio, false);
    }
    if b.young || b.dirty {
        let flags = Cydp::CLEAR_YOUNG | Cydp::CLEAR_DIRTY;
        pt.because(&cause::free, |pt| {
            pt.clear_young_dirty_ptes(b.addr, b.p, b.nr, flags);
        });
        tlb.flush_range(b.addr, b.nr as u64 * A::PAGE_SIZE, Level::Pte);
    }
    pt.pages.folio_mark_lazyfree(b.folio);
}

/// Paging out takes what is not shared, and leaves accessed bits (`madvise_cold_or_pageout_pte_range`).
pub(crate) fn madvise_cold<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): Range,
    cold: Cold,
) -> Result<(), Errno> {
    if vma.flags.intersects(VmFlags::LOCKED | VmFlags::PFNMAP | VmFlags::HUGETLB) {
        return Err(Errno::EINVAL);
    }
    k.pt.pages.lru_add_drain();
    let mut tlb = MmuGather::default();
    k.because(cold.cause(), |k| {
        madvise_cold_or_pageout(k, mm, &mut tlb, (start, end), cold);
        k.pt.tlb_end_vma(&mut tlb);
        k.pt.tlb_finish(&mut tlb);
    });
    Ok(())
}

fn madvise_cold_or_pageout<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    (start, end): Range,
    cold: Cold,
) {
    let mut addr = start;
    while let Some((pmdp, from, next)) = k.pt.next_pmd(mm, addr, end) {
        addr = next;
        if let PmdState::Huge(pmd) = k.pt.pmd_state(pmdp)
            && cold_huge_pmd(k, mm, tlb, (pmdp, pmd), (from, next), cold)
        {
            continue;
        }
        let mut isolated = Vec::new();
        for_each_batch(k, mm, (from, next), |Kernel { pt, .. }, b| {
            let alone = pt.pages.folio_mapcount(b.folio) as usize == b.folio.nr_pages();
            if alone && cold == Cold::Pageout {
                isolated.push(b.folio);
            }
            if !alone {
                pt.hw.keeps(b.p, b.nr, &cause::folio_shared);
            }
            if alone && b.young && cold == Cold::Deactivate {
                pt.clear_young_dirty_ptes(b.addr, b.p, b.nr, Cydp::CLEAR_YOUNG);
                tlb.flush_range(b.addr, b.nr as u64 * A::PAGE_SIZE, Level::Pte);
            }
        });
        reclaim_pages(k, mm, &isolated);
    }
}

fn cold_huge_pmd<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    (pmdp, pmd): (Ptep, Pte),
    (from, next): Range,
    cold: Cold,
) -> bool {
    let Some(folio) = k.pt.vm_normal_folio_pmd(pmd) else { return true };
    if k.pt.maybe_mapped_shared(folio) {
        k.pt.hw.keeps(pmdp, 1, &cause::folio_shared);
        return true;
    }
    if next.since(from) != A::entry_size(Level::Pmd) {
        return !k.because(&cause::folio_in_part, |k| split_folio(k, mm, folio));
    }
    if cold == Cold::Deactivate && k.pt.arch.pmd_young(pmd) {
        k.pt.pmdp_invalidate(from, pmdp);
        k.pt.set_pmd_at(from, pmdp, k.pt.arch.pmd_mkold(pmd));
        tlb.flush_range(from, A::entry_size(Level::Pmd), Level::Pmd);
    }
    if cold == Cold::Pageout {
        reclaim_pages(k, mm, &[folio]);
    }
    true
}

/// Does something to each folio that is mapped in a range under one table, batch by batch. A large folio that lies only
/// partly in the range is split first, unless others map it too: then its entries are passed over.
fn for_each_batch<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    (mut addr, end): Range,
    mut each: impl FnMut(&mut Kernel<A, H>, MappedBatch),
) {
    while addr < end {
        let pt = &mut k.pt;
        let Some(p) = pt.pte_offset(mm, addr) else { return };
        let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
        let pte = pt.ptep_get(p);
        let folio = if pt.arch.pte_present(pte) { pt.vm_normal_folio(pte) } else { None };
        let Some(folio) = folio else {
            addr = addr.add(A::PAGE_SIZE);
            continue;
        };
        let nr = pt.folio_pte_batch(folio, p, pte, max, Fpb::empty());
        if nr < folio.nr_pages() {
            if pt.maybe_mapped_shared(folio) {
                pt.hw.keeps(p, nr, &cause::folio_shared);
                addr = addr.add(nr as u64 * A::PAGE_SIZE);
            } else if !k.because(&cause::folio_in_part, |k| split_folio(k, mm, folio)) {
                addr = addr.add(nr as u64 * A::PAGE_SIZE);
            }
            continue;
        }
        let (young, dirty) = merged_young_dirty(pt, p, pte, nr);
        each(k, MappedBatch { addr, p, nr, folio, young, dirty });
        addr = addr.add(nr as u64 * A::PAGE_SIZE);
    }
}

/// Whether any entry of a batch is young, or dirty.
fn merged_young_dirty<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    p: Ptep,
    pte: Pte,
    nr: usize,
) -> (bool, bool) {
    let all = (0..nr).map(|i| pt.hw.peek(p.add(i)));
    all.fold((pt.arch.pte_young(pte), pt.arch.pte_dirty(pte)), |(young, dirty), pte| {
        (young || pt.arch.pte_young(pte), dirty || pt.arch.pte_dirty(pte))
    })
}

/// Reclaims the folios in a range of so many bytes, as `MADV_PAGEOUT` does.
///
/// # Errors
/// Those of `madvise`.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn reclaim<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> Result<(), Errno> {
    let end = madvise_end::<A>(start, len)?;
    walk_vmas(k, mm, (start, end), |k, mm, vma, part| madvise_cold(k, mm, vma, part, Cold::Pageout))
}
