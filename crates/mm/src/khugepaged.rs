//! `MADV_COLLAPSE` (`mm/khugepaged.c`, 7.3).

use crate::absent::Absent;
use crate::cause;
use crate::huge_memory::new_huge_entry;
use crate::huge_mm::suitable_order;
use crate::kernel::Kernel;
use crate::madvise::range::{Range, madvise_end};
use crate::memory::fault::Fault;
use crate::memory::swap_in::do_swap_page;
use crate::memory::zap::{Zap, zap_pte_range};
use crate::mm_types::{Mm, ThpDisable};
use crate::pages::MapLevel;
use crate::rmap::folio_add_new_anon_rmap;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::userfaultfd::is_anon_or_shmem;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Access, Arch, Event, Level, MmuGather, Pfn, Pte, Ptep, SoftFlags, TableMemory, VirtAddr, VmFlags, marker,
    swp_type,
};
use ptelab_uapi::Errno;

// MADV_COLLAPSE.

/// Makes huge pages of the whole aligned blocks in a range (`madvise_collapse`, `mm/khugepaged.c`).
pub(crate) fn madvise_collapse<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): Range,
) -> Result<(), Errno> {
    let size = A::entry_size(Level::Pmd);
    if !may_collapse(k, mm, vma) {
        return Err(Errno::EINVAL);
    }
    k.pt.pages.lru_add_drain();
    let mut failed = Ok(());
    let mut base = start.align_up(size).ok_or(Errno::EINVAL)?;
    if k.pt.rules.collapse_inside_block_fails && base > end.align_down(size) {
        return Err(Errno::EINVAL);
    }
    while base.get() + size <= end.get() {
        let done = k.because(&cause::collapse, |k| collapse_huge_page(k, mm, vma, base));
        match done {
            Ok(()) => {}
            Err(Failed::GoesOn) => failed = Err(Errno::EINVAL),
            Err(Failed::Stops(errno)) => {
                failed = Err(errno);
                break;
            }
        }
        base = base.add(size);
    }
    failed
}

/// Whether the blocks of a VMA may become huge pages (`thp_vma_allowable_order` with `TVA_FORCED_COLLAPSE`).
fn may_collapse<A: Arch, H: TableMemory>(k: &Kernel<A, H>, mm: &Mm, vma: &Vma) -> bool {
    let no_leaves = k.config().absent.contains(Absent::HUGE_LEAVES);
    let kind = vma.is_anonymous() || is_anon_or_shmem(k, vma) && !k.pt.rules.collapse_refuses_shared;
    kind && !collapse_disabled(mm, vma) && !no_leaves && holds_block::<A>(vma)
}

/// Whether `MADV_COLLAPSE` of a range, in bytes, makes a huge page of shared memory, which is not emulated.
pub fn collapses_shared<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    start: VirtAddr,
    len: u64,
) -> bool {
    let size = A::entry_size(Level::Pmd);
    let Ok(end) = madvise_end::<A>(start, len) else { return false };
    let mut shared = mm.vmas.range(start, end).filter(|vma| !vma.is_anonymous() && may_collapse(k, mm, vma));
    let first_block = |vma: &Vma| {
        let first = vma.start.max(start).get().checked_next_multiple_of(size)?;
        let is_whole = first.saturating_add(size) <= vma.end.min(end).get();
        is_whole.then(|| (vma.object, vma.pgoff_of(VirtAddr::new(first), A::PAGE_SHIFT)))
    };
    // Where the first block has nothing in it, the call ends there.
    let first = shared.find_map(first_block);
    first.is_some_and(|(object, pgoff)| {
        object.is_some_and(|object| k.objects.has_any(object, pgoff..pgoff + (1 << A::PMD_ORDER)))
    })
}

/// Whether a huge page's worth of addresses lies in a VMA, at the same place in a huge page of its object
/// (`thp_vma_suitable_order`).
fn holds_block<A: Arch>(vma: &Vma) -> bool {
    let last = vma.end.get().saturating_sub(A::entry_size(Level::Pmd));
    let place = vma.pgoff.wrapping_sub(vma.start.get() >> A::PAGE_SHIFT);
    let at_its_place = vma.is_anonymous() || place.is_multiple_of(1 << A::PMD_ORDER);
    at_its_place && suitable_order::<A>(vma, VirtAddr::new(last), A::PMD_ORDER)
}

/// Why a block stays as it is (`enum scan_result`).
enum Failed {
    /// The next block may do better; `EINVAL` in the end.
    GoesOn,
    /// No other block is tried.
    Stops(Errno),
}

/// `MADV_COLLAPSE` is advice enough for a process that has huge pages only where advised (`vma_thp_disabled`).
const fn collapse_disabled(mm: &Mm, vma: &Vma) -> bool {
    vma.flags.contains(VmFlags::NOHUGEPAGE) || matches!(mm.thp_disable, ThpDisable::Completely)
}

fn collapse_huge_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    base: VirtAddr,
) -> Result<(), Failed> {
    if !vma.is_anonymous() {
        // Nothing is in it: the machine asks `collapses_shared` first.
        return Err(Failed::Stops(Errno::EINVAL));
    }
    let pmdp = k.pt.pmd_offset(mm, base).map_err(|_| Failed::GoesOn)?;
    let table = match k.pt.pmd_state(pmdp) {
        PmdState::Huge(_) => return Ok(()),
        PmdState::None if k.pt.rules.collapse_stops_at_hole => return Err(Failed::Stops(Errno::EINVAL)),
        PmdState::None | PmdState::Soft(_) => return Err(Failed::GoesOn),
        PmdState::Table(table) => table,
    };
    collapse_scan(&k.pt, vma, table)?;
    let anon_vma = vma.anon_vma.ok_or(Failed::Stops(Errno::EINVAL))?;
    let node = find_target_node(&k.pt, table);
    collapse_swapin(k, mm, vma, table, base)?;
    let sources = collapse_isolate(&k.pt, table)?;
    let folio = k.pt.alloc_folio_on(A::PMD_ORDER, node).ok_or(Failed::Stops(Errno::ENOMEM))?;
    let head = folio.head;
    folio_add_new_anon_rmap(&mut k.pt, vma, anon_vma, folio, base);
    for (from, i) in sources.into_iter().zip(0..) {
        let from = from.unwrap_or(k.pt.pages.zero_pfn(base));
        k.pt.pages.copy(from, head.add(i));
    }
    k.pt.hw.event(Event::PagesCopied(folio.nr_pages() as u32));
    // The table goes, and with it walk caches: one flush for it and all its entries.
    let end = base.add(A::entry_size(Level::Pmd));
    zap_pte_range(k, mm, &mut MmuGather::default(), vma, table, (base, end), Zap::Unmap);
    k.pt.pmdp_collapse_flush(base, pmdp);
    k.pt.pages.map(folio, head, MapLevel::Pmd, mm.id);
    k.pt.pages.set_exclusive(head, 1, true);
    k.pt.hw.free_table(table, A::PTRS_PER_PTE);
    let entry = new_huge_entry(&k.pt, vma, head);
    k.pt.set_pmd_at(base, pmdp, entry);
    Ok(())
}

/// Swaps in what a block has in swap, up to an entry that no access survives (`__collapse_huge_page_swapin`).
fn collapse_swapin<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    table: Ptep,
    base: VirtAddr,
) -> Result<(), Failed> {
    for i in 0..A::PTRS_PER_PTE {
        let pte = k.pt.hw.peek(table.add(i));
        let Some(leaf) = k.pt.soft_view(pte) else { continue };
        if leaf.is_swap() {
            let addr = base.add(i as u64 * A::PAGE_SIZE);
            let fault = Fault { addr, access: Access::Read, uffd_wp: false };
            do_swap_page(k, mm, vma, table.add(i), pte, fault).map_err(|_| Failed::Stops(Errno::EINVAL))?;
        } else if leaf.ty == swp_type::HWPOISON
            || leaf.is_marker(marker::GUARD)
            || leaf.is_marker(marker::POISONED)
        {
            return Err(Failed::Stops(Errno::EINVAL));
        }
    }
    Ok(())
}

/// Whether what a table maps may be moved into one page (`hpage_collapse_scan_pmd`): a userfaultfd keeps what is empty, and what it
/// protects, as it is.
fn collapse_scan<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    table: Ptep,
) -> Result<(), Failed> {
    let mut writable = !pt.rules.collapse_needs_writable;
    for &word in pt.hw.peek_table(table, A::PTRS_PER_PTE) {
        let pte = Pte(word);
        if is_empty(pt, pte) {
            if vma.uffd.is_some() {
                return Err(Failed::Stops(Errno::EBUSY));
            }
        } else if pt.arch.pte_present(pte) {
            if pt.arch.pte_uffd_wp(pte) {
                return Err(Failed::GoesOn);
            }
            writable |= pt.arch.pte_write(pte);
        } else if pt.soft_view(pte).is_some_and(|leaf| leaf.flags.contains(SoftFlags::UFFD)) {
            return Err(Failed::GoesOn);
        }
    }
    if writable { Ok(()) } else { Err(Failed::GoesOn) }
}

/// The node that has most of the pages of a table, the first of several, whatever the process's policy says
/// (`hpage_collapse_find_target_node`). What is in swap does not count.
fn find_target_node<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, table: Ptep) -> u8 {
    let mut node_load = [0; 64];
    for &word in pt.hw.peek_table(table, A::PTRS_PER_PTE) {
        let pte = Pte(word);
        if pt.arch.pte_present(pte) && !is_empty(pt, pte) {
            let folio = pt.hw.peek_folio(pt.arch.pte_pfn(pte));
            node_load[usize::from(pt.pages.node(folio))] += 1;
        }
    }
    let most = node_load.iter().max();
    node_load.iter().zip(0..).find(|(load, _)| Some(*load) == most).map_or(0, |(_, node)| node)
}

/// The pages that a table maps, none of which is elsewhere; `None` for what is empty (`__collapse_huge_page_isolate`).
fn collapse_isolate<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    table: Ptep,
) -> Result<Vec<Option<Pfn>>, Failed> {
    let page = |&word: &u64| match Pte(word) {
        pte if is_empty(pt, pte) => Ok(None),
        pte if pt.arch.pte_present(pte) => Ok(Some(pt.arch.pte_pfn(pte))),
        _ => Err(Failed::GoesOn),
    };
    pt.hw.peek_table(table, A::PTRS_PER_PTE).iter().map(page).collect()
}

/// Whether an entry maps nothing, or the zero page.
fn is_empty<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, pte: Pte) -> bool {
    pt.arch.pte_none(pte) || pt.arch.pte_present(pte) && pt.arch.pte_special(pte)
}
