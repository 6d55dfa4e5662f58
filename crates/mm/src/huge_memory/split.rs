//! A large folio becomes smaller ones (`mm/huge_memory.c`, `__folio_split`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::memory_failure::set_hwpoison_entry;
use crate::migrate::{migrated_pte, migration_leaf_of};
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::{Mapped, folio_entries, folio_pmds, rmap_place, take_down};
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, Event, FolioSpan, Level, Pfn, Pte, Ptep, SoftFlags, TableMemory, VirtAddr, VmFlags,
};
use std::collections::HashSet;
use std::iter;

/// A large folio that is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The folio.
    pub folio: FolioSpan,
    /// Order of its parts.
    pub order: u32,
    /// The page for whose failure it is, which is held when that is done.
    pub fails: Option<Pfn>,
}

/// An entry that was taken down to be put back.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) vma: Vma,
    pub(crate) addr: VirtAddr,
    pub(crate) pfn: Pfn,
    pub(crate) old: Pte,
    pub(crate) exclusive: bool,
}

/// Makes a large folio that only `mm`, and the others that were lent, map order-0 folios (`split_folio`).
#[must_use]
pub(crate) fn split_folio<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    folio: FolioSpan,
) -> bool {
    let mut others = std::mem::take(&mut k.pt.others);
    let mut mms: Vec<&mut Mm> = iter::once(mm).chain(&mut others).collect();
    let done = split_mapped(k, &mut mms, Split { folio, order: 0, fails: None });
    k.pt.others = others;
    done
}

/// Takes a large folio apart that only `mms` map, in the order in which its reverse map has them. Every mapping is taken down as for a
/// migration, and put back for the parts, one entry at a time; parts that nobody maps are freed, but for the one that fails. Says whether it was done: a folio
/// that is still mapped then stays whole, with page entries where a huge leaf was taken down.
pub fn split_mapped<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mms: &mut [&mut Mm],
    split: Split,
) -> bool {
    let pt = &mut k.pt;
    pt.pages.hold(split.folio);
    mms.sort_by_cached_key(|mm| rmap_place(pt, mm, split.folio));
    let done = pt.because(&cause::folio_split, |pt| {
        let mut unmapped: Vec<Vec<Moved>> = Vec::new();
        for mm in mms.iter_mut() {
            let (moved, was_huge) = unmap_folio(pt, mm, split.folio);
            unmapped.push(moved);
            if was_huge && pt.rules.split_stops_at_huge_leaf {
                break;
            }
        }
        let done = pt.pages.folio_mapcount(split.folio) == 0;
        if done {
            pt.pages.split(&mut pt.hw, split.folio, split.order);
        }
        let split = if done { split } else { Split { order: split.folio.order, ..split } };
        let mut mlocked = HashSet::new();
        for (mm, unmapped) in mms.iter().zip(&unmapped) {
            remap_folio(pt, mm, split, unmapped, &mut mlocked);
        }
        done
    });
    let order = if done { split.order } else { split.folio.order };
    for part in split.folio.parts(order) {
        if Some(part.head) != split.fails || !done {
            pt.pages.release_hold(part);
            k.swap.free_swap_cache(&mut pt.pages, part);
        }
    }
    done
}

/// The folio that is mapped at an address and that a write to debugfs's `split_huge_pages` would split into folios of an
/// order. Where there is no larger folio, there is nothing to do, nor for order 1, which anonymous memory does not have.
pub fn folio_to_split<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    addr: VirtAddr,
    order: u32,
) -> Option<FolioSpan> {
    if addr.get() >= mm.task_size {
        return None;
    }
    let entry = pt.entry_at(mm, addr);
    let pte = if entry.level == Level::Pmd { pt.arch.pmd_pte(entry.pte) } else { entry.pte };
    if order == 1 || !pt.arch.pte_present(pte) || pt.arch.pte_special(pte) {
        return None;
    }
    let folio = pt.hw.page_folio(pt.arch.pte_pfn(pte));
    // The swap cache takes only the smallest parts.
    let fits = folio.order > order && (order == 0 || !pt.pages.is_cached(folio));
    (folio != pt.pages.huge_zero() && fits).then_some(folio)
}

/// Takes down what maps a folio in `mm`; says also whether a huge leaf did.
fn unmap_folio<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    folio: FolioSpan,
) -> (Vec<Moved>, bool) {
    let mut frozen = Vec::new();
    for (vma, addr, pmdp, _) in folio_pmds(pt, mm, folio) {
        if matches!(pt.pmd_state(pmdp), PmdState::Huge(_)) {
            frozen.extend(pt.because(&cause::huge_split, |pt| freeze(pt, mm, folio, (&vma, addr, pmdp))));
        } else {
            pt.split_huge_pmd(mm, &vma, pmdp, addr);
        }
    }
    let unmapped = unmap_for_move(pt, mm, folio);
    for entry in &unmapped {
        pt.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
    }
    let was_huge = !frozen.is_empty();
    frozen.extend(unmapped);
    (frozen, was_huge)
}

/// A huge leaf becomes a table of migration entries at once (`__split_huge_pmd_locked`, where it freezes). So its pages are
/// soft-dirty only if it was; a table of present entries is soft-dirty on x86, powerpc and s390 where the leaf was dirty.
fn freeze<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
    (vma, base, pmdp): (&Vma, VirtAddr, Ptep),
) -> Vec<Moved> {
    pt.hw.event(Event::HugeSplit);
    let table = pt.new_table(Level::Pte);
    let pmd = pt.pmdp_invalidate(base, pmdp);
    if pt.arch.pmd_dirty(pmd) {
        pt.pages.set_dirty(folio, true);
    }
    let (old, exclusive) = (pt.arch.pmd_pte(pmd), pt.pages.is_exclusive(folio.head));
    let mut moved = Vec::with_capacity(A::PTRS_PER_PTE);
    for i in 0..A::PTRS_PER_PTE {
        let (addr, pfn) = (base.add(i as u64 * A::PAGE_SIZE), folio.head.add(i as u64));
        let word = pt.soft_word(migration_leaf_of(pt, old, pfn, exclusive));
        pt.set_pte_at(addr, table.add(i), word);
        moved.push(Moved { vma: vma.clone(), addr, pfn, old, exclusive });
    }
    pt.pages.set_exclusive(folio.head, 1, false);
    pt.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
    pt.populate(pmdp, Level::Pmd, table);
    moved
}

/// Puts back, for the parts, what was taken down in `mm`, one entry at a time (`remap_page`). A page that a locked VMA has back is
/// mlocked, and stays in the VMAs after it, whatever it holds.
fn remap_folio<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    split: Split,
    unmapped: &[Moved],
    mlocked: &mut HashSet<Pfn>,
) {
    for entry in unmapped {
        if entry.vma.flags.contains(VmFlags::LOCKED) {
            mlocked.insert(entry.pfn);
        }
        let fails = split.fails == Some(entry.pfn) && pt.rules.split_keeps_failed_zeros;
        let stays = mlocked.contains(&entry.pfn) || split.order > 0 || fails;
        if !stays && pt.pages.is_zero_filled(entry.pfn) {
            map_unused_to_zeropage(pt, mm, entry);
        } else {
            let part = pt.hw.peek_folio(entry.pfn);
            pt.pages.map(part, entry.pfn, MapLevel::Ptes(1), mm.id);
            restore_moved(pt, mm, entry, entry.pfn);
        }
    }
}

/// A page of a split folio that holds only zeros: the zero page takes its place, and it is freed
/// (`try_to_map_unused_to_zeropage`).
fn map_unused_to_zeropage<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, moved: &Moved) {
    let mut entry = pt.zero_entry(&moved.vma, moved.addr);
    if pt.rules.split_zeropage_keeps_soft_dirty {
        let leaf = migration_leaf_of(pt, moved.old, moved.pfn, moved.exclusive);
        if leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
            entry = pt.arch.pte_mksoft_dirty(entry);
        }
        if leaf.flags.contains(SoftFlags::UFFD) {
            entry = pt.arch.pte_mkuffd_wp(entry);
        }
    }
    let p = pt.pte_offset(mm, moved.addr).expect("the entry's table is still there");
    pt.because(&cause::split_zeropage, |pt| {
        pt.set_pte_at(moved.addr, p, entry);
    });
}

/// Takes down all of `mm`'s page entries of a folio, as `try_to_migrate` does, and returns what they were. Those of a page that failed
/// while it was in use are not to be put back: they say so from now on.
pub(crate) fn unmap_for_move<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    span: FolioSpan,
) -> Vec<Moved> {
    let mut moved = Vec::new();
    for (vma, entries) in folio_entries(pt, mm, span, PageTables::<A, H>::mapped_page) {
        for Mapped { addr, p, pte, pfn } in entries {
            let old = take_down(pt, span, addr, p, pte);
            if pt.pages.is_failed_in_use(pfn) {
                set_hwpoison_entry(pt, mm, span, (addr, p, pfn));
                continue;
            }
            let exclusive = pt.pages.is_exclusive(pfn);
            moved.push(Moved { vma: vma.clone(), addr, pfn, old, exclusive });
        }
    }
    moved
}

/// Puts one entry back, for the page that is in `pfn` now (`remove_migration_pte`). What a migration entry does not
/// carry is lost: the protection is the VMA's own again, and a device that had the page alone has it no more; on arm64 with LPA2
/// also accessed, which the entry has where a page has the contiguous bit.
pub(crate) fn restore_moved<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    moved: &Moved,
    pfn: Pfn,
) {
    let leaf = migration_leaf_of(pt, moved.old, moved.pfn, moved.exclusive);
    let stored = pt.arch.as_stored(pt.soft_word(leaf));
    let leaf = pt.soft_view(stored).expect("it is a software entry");
    let pte = migrated_pte(pt, &moved.vma, leaf, pfn);
    pt.pages.set_exclusive(pfn, 1, moved.exclusive);
    let p = pt.pte_offset(mm, moved.addr).expect("the entry's table is still there");
    pt.set_pte_at(moved.addr, p, pte);
}
