//! Migration: entries become migration entries and back, in every address space that maps the folio (`mm/rmap.c`,
//! `try_to_migrate`; `mm/migrate.c`, `remove_migration_ptes`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::pages::{CPU_NODE, MapLevel, Migration};
use crate::rmap::{Mapped, folio_entries, folio_pmds, take_down};
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, FolioSpan, Pfn, Pte, PteView, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type,
};
use ptelab_uapi::Errno;
use std::collections::BTreeSet;

/// Where a folio goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To memory of its node: entries map it again.
    Memory,
    /// To memory of another node, where there is one.
    OtherNode,
    /// To a device's own memory, which processes cannot reach.
    Device,
}

/// The copy inherits the folio's place on the deferred-split queue. Its entries were taken down one by one for the move, so one
/// that page entries mapped always waits (`migrate_folio_move`).
pub(crate) fn requeue_deferred_split<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    old: FolioSpan,
    new: FolioSpan,
) {
    if pt.rules.migration_requeues_split && pt.pages.is_partially_mapped(old) {
        pt.pages.set_partially_mapped(new);
    }
}

// What entries say.

/// The migration entry of a page that was mapped by `old`.
fn migration_leaf<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    old: Pte,
    pfn: Pfn,
    exclusive: bool,
) -> SoftLeaf {
    let ty = if pt.arch.pte_write(old) { swp_type::MIGRATION_WRITE } else { migration_read(exclusive) };
    let mut flags = SoftFlags::empty();
    flags.set(SoftFlags::YOUNG, pt.arch.pte_young(old));
    flags.set(SoftFlags::DIRTY, pt.arch.pte_dirty(old));
    flags.set(SoftFlags::SOFT_DIRTY, pt.arch.pte_soft_dirty(old));
    flags.set(SoftFlags::UFFD, pt.arch.pte_uffd_wp(old));
    SoftLeaf::of_page(ty, pfn, flags)
}

const fn migration_read(exclusive: bool) -> u8 {
    if exclusive { swp_type::MIGRATION_READ_EXCLUSIVE } else { swp_type::MIGRATION_READ }
}

/// The migration entry of a page that was mapped by `old`, for processes or for a device.
pub(crate) fn migration_leaf_of<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    old: Pte,
    pfn: Pfn,
    exclusive: bool,
) -> SoftLeaf {
    match pt.soft_view(old) {
        Some(leaf) => migration_leaf_of_device(leaf, exclusive),
        None => migration_leaf(pt, old, pfn, exclusive),
    }
}

/// The migration entry of a page that a device had. It does not record accesses.
fn migration_leaf_of_device(leaf: SoftLeaf, exclusive: bool) -> SoftLeaf {
    let ty = match leaf.ty {
        swp_type::DEVICE_WRITE => swp_type::MIGRATION_WRITE,
        _ => migration_read(exclusive),
    };
    SoftLeaf { ty, ..leaf }
}

/// The entry that maps a page again after its migration: what a migration entry does not carry is lost, and the protection
/// is the VMA's own.
pub(crate) fn migrated_pte<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    leaf: SoftLeaf,
    pfn: Pfn,
) -> Pte {
    let arch = &pt.arch;
    let has = |flag| leaf.flags.contains(flag);
    let mut pte = arch.pfn_pte(pfn, vma.page_prot);
    if !has(SoftFlags::YOUNG) {
        pte = arch.pte_mkold(pte);
    }
    if has(SoftFlags::DIRTY) {
        pte = arch.pte_mkdirty(pte);
    }
    pte =
        if has(SoftFlags::SOFT_DIRTY) { arch.pte_mksoft_dirty(pte) } else { arch.pte_clear_soft_dirty(pte) };
    if leaf.ty == swp_type::MIGRATION_WRITE {
        arch.pte_mkwrite(pte)
    } else if has(SoftFlags::UFFD) {
        arch.pte_mkuffd_wp(pte)
    } else {
        pte
    }
}

/// The same for a huge leaf, where dirty comes last and may make it soft-dirty (`remove_migration_pmd`).
pub(crate) fn migrated_pmd<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    leaf: SoftLeaf,
    pfn: Pfn,
) -> Pte {
    let arch = &pt.arch;
    let has = |flag| leaf.flags.contains(flag);
    let mut pmd = arch.pfn_pmd(pfn, vma.page_prot);
    if has(SoftFlags::SOFT_DIRTY) {
        pmd = arch.pmd_mksoft_dirty(pmd);
    }
    if leaf.ty == swp_type::MIGRATION_WRITE {
        pmd = arch.pmd_mkwrite(pmd);
    }
    if has(SoftFlags::UFFD) {
        pmd = arch.pmd_mkuffd_wp(pmd);
    }
    if !has(SoftFlags::YOUNG) {
        pmd = arch.pmd_mkold(pmd);
    }
    if has(SoftFlags::DIRTY) { arch.pmd_mkdirty(pmd) } else { pmd }
}

/// The device entry of a page that went to a device.
fn device_leaf(leaf: SoftLeaf, pfn: Pfn) -> SoftLeaf {
    let write = leaf.ty == swp_type::MIGRATION_WRITE;
    let ty = if write { swp_type::DEVICE_WRITE } else { swp_type::DEVICE_READ };
    SoftLeaf::of_page(ty, pfn, leaf.flags & (SoftFlags::SOFT_DIRTY | SoftFlags::UFFD))
}

// There.

/// The folios that a range maps and that can migrate, in order of their addresses.
///
/// # Errors
/// `EINVAL` for a range that is not aligned, `ENOENT` where it maps no page, as move_pages(2) says of each.
pub fn isolate_folios<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    start: VirtAddr,
    len: u64,
) -> Result<Vec<FolioSpan>, Errno> {
    pt.pages.lru_add_drain();
    let mut folios: Vec<FolioSpan> = Vec::new();
    pt.walk_entries(mm, start, aligned_end::<A>(mm, start, len)?, |entry| {
        if let Some(page) = entry.page
            && matches!(pt.arch.decode(entry.pte, entry.level), PteView::Present(_))
            && !pt.pages.is_zero_page(page.pfn)
            && folios.last() != Some(&page.folio)
        {
            folios.push(page.folio);
        }
    });
    folios.sort_by_key(|folio| folio.head);
    folios.dedup();
    if folios.is_empty() { Err(Errno::ENOENT) } else { Ok(folios) }
}

/// The end of a range of whole pages.
fn aligned_end<A: Arch>(mm: &Mm, start: VirtAddr, len: u64) -> Result<VirtAddr, Errno> {
    let end = if start.is_aligned(A::PAGE_SIZE) { A::page_end(start, len) } else { None };
    end.filter(|end| end.get() <= mm.task_size).ok_or(Errno::EINVAL)
}

/// A folio begins to migrate. It stays until it has arrived, even if it is unmapped.
pub fn begin_migration<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, folio: FolioSpan) {
    begin_migration_with(pt, folio, folio.head);
}

/// The same for a page that goes with others of the folio that was split for it, of which `with` is the first. All of them migrate,
/// whatever the range was (`migrate_pages_batch`).
pub fn begin_migration_with<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, folio: FolioSpan, with: Pfn) {
    pt.pages.hold(folio);
    pt.pages.migrations.insert(folio.head, Migration { folio, entries: 0, with });
}

/// Makes migration entries of all that map the folio in `mm` (`try_to_migrate`).
pub fn try_to_migrate<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, folio: FolioSpan) {
    pt.because(&cause::migrate_begin, |pt| {
        for (_, addr, pmdp, _) in folio_pmds(pt, mm, folio) {
            set_pmd_migration_entry(pt, mm, folio, pmdp, addr);
        }
        for (_, entries) in folio_entries(pt, mm, folio, PageTables::<A, H>::mapped_page) {
            for entry in entries {
                set_migration_entry(pt, mm, folio, &entry);
            }
        }
    });
}

fn set_migration_entry<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
    entry: &Mapped,
) {
    let Mapped { addr, p, pte, pfn } = *entry;
    let old = take_down(pt, folio, addr, p, pte);
    let leaf = migration_leaf_of(pt, old, pfn, pt.pages.is_exclusive(pfn));
    pt.pages.set_exclusive(pfn, 1, false);
    let word = pt.soft_word(leaf);
    pt.set_pte_at(addr, p, word);
    pt.migration_entries(pfn, |entries| entries + 1);
    pt.pages.unmap(folio, pfn, MapLevel::Ptes(1), mm.id);
}

fn set_pmd_migration_entry<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
    pmdp: Ptep,
    addr: VirtAddr,
) {
    let old = pt.pmdp_invalidate(addr, pmdp);
    if pt.arch.pmd_dirty(old) {
        pt.pages.set_dirty(folio, true);
    }
    let old = pt.arch.pmd_pte(old);
    let leaf = migration_leaf(pt, old, folio.head, pt.pages.is_exclusive(folio.head));
    pt.pages.set_exclusive(folio.head, 1, false);
    let word = pt.soft_word_pmd(leaf);
    pt.set_pmd_at(addr, pmdp, word);
    pt.migration_entries(folio.head, |entries| entries + 1);
    pt.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
}

// And back.

/// The folios of a range that migrate, with those that go with them.
///
/// # Errors
/// `EINVAL` for a range that is not aligned.
pub fn migrating_folios<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    start: VirtAddr,
    len: u64,
) -> Result<Vec<FolioSpan>, Errno> {
    let mut folios = Vec::new();
    pt.walk_entries(mm, start, aligned_end::<A>(mm, start, len)?, |entry| {
        let PteView::Soft(leaf) = pt.arch.decode(entry.pte, entry.level) else { return };
        if let Some(pfn) = leaf.pfn().filter(|_| leaf.is_migration()) {
            folios.push(pt.hw.peek_folio(pfn));
        }
    });
    let migrations = &pt.pages.migrations;
    let with: BTreeSet<Pfn> =
        folios.iter().filter_map(|folio| Some(migrations.get(&folio.head)?.with)).collect();
    Ok(migrations.values().filter(|other| with.contains(&other.with)).map(|other| other.folio).collect())
}

/// A copy of a folio for its migration, unmapped; `None` where memory has no room for it.
pub fn migration_target<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    folio: FolioSpan,
    to: Destination,
) -> Option<FolioSpan> {
    let node = match k.pt.pages.node(folio) {
        // Of two nodes, the first and any other.
        own if to == Destination::OtherNode && k.nodes > 1 => u8::from(own == CPU_NODE),
        own => own,
    };
    let new = k.pt.copy_folio(folio, node)?;
    if to == Destination::Device {
        k.swap.folio_free_swap(&mut k.pt.pages, folio);
    }
    k.pt.pages.hold(new);
    requeue_deferred_split(&mut k.pt, folio, new);
    replace_object_page(k, folio, new);
    k.swap.cache_move(&mut k.pt.pages, folio, new);
    Some(new)
}

/// Makes entries for `new` of the migration entries for `old` in `mm` (`remove_migration_ptes`).
pub fn remove_migration_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    old: FolioSpan,
    new: FolioSpan,
    to: Destination,
) {
    for (vma, addr, pmdp, pmd) in folio_pmds(pt, mm, old) {
        let Some(leaf) = pt.soft_view_pmd(pmd) else { continue };
        pt.pages.map(new, new.head, MapLevel::Pmd, mm.id);
        pt.pages.set_exclusive(new.head, 1, leaf.ty != swp_type::MIGRATION_READ && pt.pages.is_anon(new));
        let pmd = migrated_pmd(pt, &vma, leaf, new.head);
        pt.because(&cause::migrate_end, |pt| {
            pt.set_pmd_at(addr, pmdp, pmd);
        });
    }
    for (vma, entries) in folio_entries(pt, mm, old, PageTables::<A, H>::migrating_page) {
        for entry in entries {
            let Some(leaf) = pt.soft_view(entry.pte) else { continue };
            let pfn = new.head.add(entry.pfn.since(old.head));
            let exclusive = leaf.ty != swp_type::MIGRATION_READ && pt.pages.is_anon(new);
            pt.pages.map(new, pfn, MapLevel::Ptes(1), mm.id);
            pt.pages.set_exclusive(pfn, 1, exclusive);
            let (pte, cause) = match to {
                Destination::Memory | Destination::OtherNode => {
                    (migrated_pte(pt, &vma, leaf, pfn), &cause::migrate_end)
                }
                Destination::Device => (pt.soft_word(device_leaf(leaf, pfn)), &cause::device_private),
            };
            pt.because(cause, |pt| {
                pt.set_pte_at(entry.addr, entry.p, pte);
            });
        }
    }
}

/// Ends a migration: the old folio is freed, unless it stayed because there was no room for another.
pub fn end_migration<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, old: FolioSpan, new: FolioSpan) {
    pt.pages.migrations.remove(&old.head);
    pt.pages.release_hold(new);
    if new != old {
        pt.pages.release_hold(old);
    }
}

/// The object replaces a page of its cache by another.
fn replace_object_page<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, old: FolioSpan, new: FolioSpan) {
    let (owner, index) = k.pt.pages.owner(old);
    if !k.pt.pages.is_anon(old) && k.objects.page(owner, index) == Some(old.head) {
        k.objects.add_page(&mut k.pt.pages, (owner, index), new);
        k.pt.pages.uncache(old);
    }
}
