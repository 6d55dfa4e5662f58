//! Moving a folio to this CPU's node (`mm/migrate.c`, `migrate_misplaced_folio`, 7.3).

use crate::cause;
use crate::huge_memory::split::{restore_moved, split_folio, unmap_for_move};
use crate::migrate::requeue_deferred_split;
use crate::mm_types::Mm;
use crate::pages::{CPU_NODE, MapLevel};
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, FolioSpan, Ptep, TableMemory, VirtAddr};

/// Moves a folio that only `mm` maps, by page entries, to this CPU's node. Says whether it could.
pub(crate) fn migrate_misplaced_folio<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    folio: FolioSpan,
) -> bool {
    let alone = pt.pages.entire_mapcount(folio) == 0 && !pt.pages.maybe_mapped_shared(folio);
    if !alone || !pt.pages.is_anon(folio) {
        return false;
    }
    if pt.pages.is_partially_mapped(folio) {
        return split_and_migrate(pt, mm, folio);
    }
    let Some(new) = pt.copy_folio(folio, CPU_NODE) else { return false };
    pt.pages.hold(folio);
    pt.because(&cause::migrate_misplaced, |pt| {
        for entry in unmap_for_move(pt, mm, folio) {
            let pfn = new.head.add(entry.pfn.since(folio.head));
            pt.pages.map(new, pfn, MapLevel::Ptes(1), mm.id);
            restore_moved(pt, mm, &entry, pfn);
            pt.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
        }
    });
    requeue_deferred_split(pt, folio, new);
    pt.pages.release_hold(folio);
    true
}

/// Splits a folio, and moves its pages one by one.
fn split_and_migrate<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    folio: FolioSpan,
) -> bool {
    let owner = pt.pages.owner(folio).0;
    if !pt.because(&cause::migrate_misplaced, |pt| split_folio(pt, mm, folio)) {
        return false;
    }
    let mut moved = false;
    for page in folio.parts(0) {
        // A frame that the split freed may be in use again by now: for the copy of a page before it.
        let same = pt.pages.node(page) != CPU_NODE && pt.pages.owner(page).0 == owner;
        if same && pt.pages.folio_mapcount(page) == 1 {
            moved |= migrate_misplaced_folio(pt, mm, page);
        }
    }
    moved
}

/// Moves a huge page with its huge leaf.
pub(crate) fn migrate_huge<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    vma: &Vma,
    folio: FolioSpan,
    pmdp: Ptep,
    base: VirtAddr,
) -> bool {
    if pt.pages.folio_mapcount(folio) > 1 {
        return false;
    }
    let Some(new) = pt.copy_folio(folio, CPU_NODE) else { return false };
    let old = pt.pmdp_invalidate(base, pmdp);
    let arch = &pt.arch;
    let mut pmd = arch.pfn_pmd(new.head, vma.page_prot);
    if !arch.pmd_young(old) {
        pmd = arch.pmd_mkold(pmd);
    }
    if arch.pmd_dirty(old) {
        pmd = arch.pmd_mkdirty(pmd);
    }
    if arch.pmd_soft_dirty(old) {
        pmd = arch.pmd_mksoft_dirty(pmd);
    }
    let exclusive = pt.pages.is_exclusive(folio.head);
    pt.pages.map(new, new.head, MapLevel::Pmd, mm.id);
    pt.pages.set_exclusive(new.head, 1, exclusive);
    pt.set_pmd_at(base, pmdp, pmd);
    pt.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
    true
}
