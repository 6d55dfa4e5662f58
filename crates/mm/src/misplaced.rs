//! Moving a folio to this CPU's node (`mm/migrate.c`, `migrate_misplaced_folio`, 7.3).

use crate::cause;
use crate::huge_memory::split::{Moved, restore_moved, split_folio, unmap_for_move};
use crate::kernel::Kernel;
use crate::migrate::{migrated_pmd, migration_leaf_of, requeue_deferred_split};
use crate::mm_types::Mm;
use crate::pages::{CPU_NODE, MapLevel};
use crate::rmap::folio_pmds;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, FolioSpan, Ptep, TableMemory, VmFlags};
use std::{iter, mem};

/// Moves a folio to this CPU's node, in all processes that map it. Says whether its entries have changed, so that the access is
/// tried again.
pub(crate) fn migrate_misplaced_folio<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    folio: FolioSpan,
) -> bool {
    if !migrate_misplaced_folio_prepare(&k.pt, vma, folio) {
        return false;
    }
    k.because(&cause::migrate_misplaced, |k| {
        let owner = k.pt.pages.owner(folio).0;
        if k.pt.pages.is_partially_mapped(folio) && split_folio(k, mm, folio) {
            migrate_parts(k, mm, folio, owner);
            return true;
        }
        migrate_folio(k, mm, folio)
    })
}

/// Whether a folio may move at all: of what reclaim takes for a file's, neither dirty memory nor code that others map too.
fn migrate_misplaced_folio_prepare<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    folio: FolioSpan,
) -> bool {
    let shared_code = || vma.flags.contains(VmFlags::EXEC) && pt.maybe_mapped_shared(folio);
    let stays = pt.pages.is_lazyfree(folio) && (pt.pages.is_dirty(folio) || shared_code());
    pt.pages.node(folio) != CPU_NODE && pt.pages.is_anon(folio) && !stays
}

/// Moves the pages of a folio that was split, one by one.
fn migrate_parts<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &Mm, folio: FolioSpan, owner: u32) {
    for page in folio.parts(0) {
        // A frame that the split freed may be in use again by now: for the copy of a page before it.
        let same = k.pt.pages.node(page) != CPU_NODE && k.pt.pages.owner(page).0 == owner;
        if same && k.pt.pages.folio_mapcount(page) > 0 {
            migrate_folio(k, mm, page);
        }
    }
}

/// Takes down all that maps a folio, and puts it back for a copy on this CPU's node. A folio that waits in a batch has one
/// reference too many, and stays where it is, but its entries come back all the same (`__migrate_folio`).
fn migrate_folio<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &Mm, folio: FolioSpan) -> bool {
    let stays = k.pt.pages.is_batched(folio);
    let new = if stays { Some(folio) } else { k.pt.copy_folio(folio, CPU_NODE) };
    let Some(new) = new else { return false };
    k.pt.pages.hold(folio);
    let others = mem::take(&mut k.pt.others);
    let mut mms: Vec<&Mm> = iter::once(mm).chain(&others).collect();
    mms.sort_by_key(|mm| mm.id);
    let unmapped: Vec<Unmapped> = mms.iter().map(|mm| unmap(&mut k.pt, mm, folio)).collect();
    if !stays {
        let dirty = k.pt.pages.is_dirty(folio);
        k.pt.pages.set_dirty(new, dirty);
        requeue_deferred_split(&mut k.pt, folio, new);
        k.swap.cache_move(&mut k.pt.pages, folio, new);
    }
    for (mm, unmapped) in mms.iter().zip(&unmapped) {
        remap(&mut k.pt, mm, unmapped, folio, new);
    }
    k.pt.others = others;
    k.pt.pages.release_hold(folio);
    true
}

/// What mapped a folio in one address space.
struct Unmapped {
    huge: Vec<(Moved, Ptep)>,
    entries: Vec<Moved>,
}

fn unmap<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, folio: FolioSpan) -> Unmapped {
    let mut huge = Vec::new();
    for (vma, addr, pmdp, _) in folio_pmds(pt, mm, folio) {
        let old = pt.pmdp_invalidate(addr, pmdp);
        if pt.arch.pmd_dirty(old) {
            pt.pages.set_dirty(folio, true);
        }
        let (old, exclusive) = (pt.arch.pmd_pte(old), pt.pages.is_exclusive(folio.head));
        pt.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
        huge.push((Moved { vma, addr, pfn: folio.head, old, exclusive }, pmdp));
    }
    let entries = unmap_for_move(pt, mm, folio);
    for entry in &entries {
        pt.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
    }
    Unmapped { huge, entries }
}

fn remap<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    unmapped: &Unmapped,
    old: FolioSpan,
    new: FolioSpan,
) {
    for (moved, pmdp) in &unmapped.huge {
        let leaf = migration_leaf_of(pt, moved.old, moved.pfn, moved.exclusive);
        let pmd = migrated_pmd(pt, &moved.vma, leaf, new.head);
        pt.pages.map(new, new.head, MapLevel::Pmd, mm.id);
        pt.pages.set_exclusive(new.head, 1, moved.exclusive);
        pt.set_pmd_at(moved.addr, *pmdp, pmd);
    }
    for moved in &unmapped.entries {
        let pfn = new.head.add(moved.pfn.since(old.head));
        pt.pages.map(new, pfn, MapLevel::Ptes(1), mm.id);
        restore_moved(pt, mm, moved, pfn);
    }
}
