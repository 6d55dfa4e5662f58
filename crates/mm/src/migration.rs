//! Pages on their way: entries that say so, and back, in every address space that maps the folio (`mm/rmap.c`,
//! `try_to_migrate`; `mm/migrate.c`, `remove_migration_ptes`, 7.3).

use crate::pages::MapLevel;
use crate::walk::PmdState;
use crate::{Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Arch, FolioSpan, Level, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type,
};
use ptelab_uapi::Errno;
use std::collections::BTreeMap;

/// Folios that migrate, by head: the folio, and how many entries say so.
pub(crate) type Migrations = BTreeMap<Pfn, (FolioSpan, u64)>;

/// Where a folio goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To memory: entries map it again.
    Memory,
    /// To a device's own memory, which processes cannot reach.
    Device,
}

/// An entry that stands for a page of a folio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) addr: VirtAddr,
    pub(crate) p: Ptep,
    pub(crate) pte: Pte,
    pub(crate) pfn: Pfn,
}

/// A page that an entry stands for, if it is of the wanted kind.
type PageOf<A, H> = fn(&Kernel<A, H>, Pte) -> Option<Pfn>;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    // What entries say.

    /// The migration entry of a page that was mapped by `old`.
    fn migration_leaf(&self, old: Pte, pfn: Pfn, exclusive: bool) -> SoftLeaf {
        let ty = if self.arch.pte_write(old) {
            swp_type::MIGRATION_WRITE
        } else {
            Self::migration_read(exclusive)
        };
        let mut flags = SoftFlags::empty();
        flags.set(SoftFlags::YOUNG, self.arch.pte_young(old));
        flags.set(SoftFlags::DIRTY, self.arch.pte_dirty(old));
        flags.set(SoftFlags::SOFT_DIRTY, self.arch.pte_soft_dirty(old));
        flags.set(SoftFlags::UFFD, self.arch.pte_uffd_wp(old));
        SoftLeaf::of_page(ty, pfn, flags)
    }

    const fn migration_read(exclusive: bool) -> u8 {
        if exclusive { swp_type::MIGRATION_READ_EXCLUSIVE } else { swp_type::MIGRATION_READ }
    }

    /// The migration entry of a page that was mapped by `old`, for processes or for a device.
    pub(crate) fn migration_leaf_of(&self, old: Pte, pfn: Pfn, exclusive: bool) -> SoftLeaf {
        match self.soft_view(old) {
            Some(leaf) => Self::migration_leaf_of_device(leaf, exclusive),
            None => self.migration_leaf(old, pfn, exclusive),
        }
    }

    /// The migration entry of a page that a device had: it says nothing of accesses.
    fn migration_leaf_of_device(leaf: SoftLeaf, exclusive: bool) -> SoftLeaf {
        let ty = match leaf.ty {
            swp_type::DEVICE_WRITE => swp_type::MIGRATION_WRITE,
            _ => Self::migration_read(exclusive),
        };
        SoftLeaf { ty, ..leaf }
    }

    /// The entry that maps a page again after its migration: what a migration entry does not carry is lost, and the protection
    /// is the VMA's own.
    pub(crate) fn migrated_pte(&self, vma: &Vma, leaf: SoftLeaf, pfn: Pfn) -> Pte {
        let arch = &self.arch;
        let has = |flag| leaf.flags.contains(flag);
        let mut pte = arch.pfn_pte(pfn, vma.page_prot);
        if !has(SoftFlags::YOUNG) {
            pte = arch.pte_mkold(pte);
        }
        if has(SoftFlags::DIRTY) {
            pte = arch.pte_mkdirty(pte);
        }
        pte = if has(SoftFlags::SOFT_DIRTY) {
            arch.pte_mksoft_dirty(pte)
        } else {
            arch.pte_clear_soft_dirty(pte)
        };
        if leaf.ty == swp_type::MIGRATION_WRITE {
            arch.pte_mkwrite(pte)
        } else if has(SoftFlags::UFFD) {
            arch.pte_mkuffd_wp(pte)
        } else {
            pte
        }
    }

    /// The same for a huge leaf, where dirty comes last and may make it soft-dirty (`remove_migration_pmd`).
    fn migrated_pmd(&self, vma: &Vma, leaf: SoftLeaf, pfn: Pfn) -> Pte {
        let arch = &self.arch;
        let has = |flag| leaf.flags.contains(flag);
        let mut pmd = arch.pmd_mkhuge(arch.pfn_pte(pfn, vma.page_prot));
        if has(SoftFlags::SOFT_DIRTY) {
            pmd = arch.pte_mksoft_dirty(pmd);
        }
        if leaf.ty == swp_type::MIGRATION_WRITE {
            pmd = arch.pte_mkwrite(pmd);
        }
        if has(SoftFlags::UFFD) {
            pmd = arch.pte_mkuffd_wp(pmd);
        }
        if !has(SoftFlags::YOUNG) {
            pmd = arch.pte_mkold(pmd);
        }
        if has(SoftFlags::DIRTY) { arch.pte_mkdirty(pmd) } else { pmd }
    }

    /// The device entry of a page that went to a device.
    fn device_leaf(leaf: SoftLeaf, pfn: Pfn) -> SoftLeaf {
        let write = leaf.ty == swp_type::MIGRATION_WRITE;
        let ty = if write { swp_type::DEVICE_WRITE } else { swp_type::DEVICE_READ };
        SoftLeaf::of_page(ty, pfn, leaf.flags & (SoftFlags::SOFT_DIRTY | SoftFlags::UFFD))
    }

    // Who maps a folio.

    /// The entries of `mm` that stand for pages of a folio, VMA by VMA (`page_vma_mapped_walk`).
    pub(crate) fn folio_entries(
        &self,
        mm: &Mm,
        folio: FolioSpan,
        page_of: PageOf<A, H>,
    ) -> Vec<(Vma, Vec<Mapped>)> {
        let mut all = Vec::new();
        for (vma, first) in self.folio_addresses(mm, folio) {
            let mut found = Vec::new();
            let mut addr = first;
            while addr < vma.end && addr.since(first) >> A::PAGE_SHIFT < folio.nr_pages() as u64 {
                if let Some(p) = self.pte_offset(mm, addr) {
                    let pte = self.hw.peek(p);
                    let pfn = page_of(self, pte).filter(|&pfn| pfn >= folio.head && pfn < folio.end());
                    found.extend(pfn.map(|pfn| Mapped { addr, p, pte, pfn }));
                }
                addr = addr.add(A::PAGE_SIZE);
            }
            if !found.is_empty() {
                all.push((vma, found));
            }
        }
        all
    }

    /// The page that an entry maps, for processes or for a device.
    pub(crate) fn mapped_page(&self, pte: Pte) -> Option<Pfn> {
        if self.arch.pte_present(pte) {
            return (!self.arch.pte_special(pte)).then(|| self.arch.pte_pfn(pte));
        }
        let leaf = self.soft_view(pte)?;
        let of_device = leaf.is_device_private() || leaf.ty == swp_type::DEVICE_EXCLUSIVE;
        leaf.pfn().filter(|_| of_device)
    }

    /// The page that a migration entry is of.
    fn migrating_page(&self, pte: Pte) -> Option<Pfn> {
        self.soft_view(pte).filter(|leaf| leaf.is_migration())?.pfn()
    }

    /// The entries for huge pages of a folio in `mm`, with their VMAs and addresses.
    fn folio_pmds(&self, mm: &Mm, folio: FolioSpan) -> Vec<(Vma, VirtAddr, Ptep, Pte)> {
        let mut found = Vec::new();
        for (vma, addr) in self.folio_addresses(mm, folio) {
            let Ok(pmdp) = self.pmd_offset(mm, addr) else { continue };
            let (pmd, pfn) = match self.pmd_state(pmdp) {
                PmdState::Huge(pmd) => (pmd, Some(self.arch.pte_pfn(pmd))),
                PmdState::Soft(pmd) => (pmd, self.migrating_page(pmd)),
                PmdState::None | PmdState::Table(_) => continue,
            };
            if pfn == Some(folio.head) {
                found.push((vma, addr, pmdp, pmd));
            }
        }
        found
    }

    // There.

    /// The folios that a range maps and that can migrate, in order of their addresses.
    ///
    /// # Errors
    /// `EINVAL` for a range that is not aligned, `ENOENT` where it maps no page, as move_pages(2) says of each.
    pub fn isolate_folios(&self, mm: &Mm, start: VirtAddr, len: u64) -> Result<Vec<FolioSpan>, Errno> {
        let mut folios: Vec<FolioSpan> = Vec::new();
        self.walk_entries(mm, start, Self::aligned_end(start, len)?, |entry| {
            let present = match entry.level {
                Level::Pte => self.arch.pte_present(entry.pte),
                _ => self.arch.pmd_leaf(entry.pte),
            };
            if let Some(page) = entry.page
                && present
                && !self.pages.is_zero_page(page.pfn)
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
    pub(crate) fn aligned_end(start: VirtAddr, len: u64) -> Result<VirtAddr, Errno> {
        let end = if start.is_aligned(A::PAGE_SIZE) { Self::page_end(start, len) } else { None };
        end.filter(|end| end.get() <= A::TASK_SIZE).ok_or(Errno::EINVAL)
    }

    /// A folio begins to migrate: it stays, whoever unmaps it, until it has arrived.
    pub fn begin_migration(&mut self, folio: FolioSpan) {
        self.pages.hold(folio);
        self.migrations.insert(folio.head, (folio, 0));
    }

    /// Makes migration entries of all that map the folio in `mm` (`try_to_migrate`).
    pub fn try_to_migrate(&mut self, mm: &Mm, folio: FolioSpan) {
        self.because(&cause::migrate_begin, |kernel| {
            for (_, addr, pmdp, _) in kernel.folio_pmds(mm, folio) {
                kernel.set_pmd_migration_entry(mm, folio, pmdp, addr);
            }
            for (_, entries) in kernel.folio_entries(mm, folio, Self::mapped_page) {
                for entry in entries {
                    kernel.set_migration_entry(mm, folio, &entry);
                }
            }
        });
    }

    /// Takes an entry down that maps a page of a folio, for processes or for a device; returns what it was.
    pub(crate) fn take_down(&mut self, folio: FolioSpan, addr: VirtAddr, p: Ptep, pte: Pte) -> Pte {
        if !self.arch.pte_present(pte) {
            self.arch.pte_clear(&mut self.hw, addr, p);
            return pte;
        }
        let old = self.arch.ptep_clear_flush(&mut self.hw, addr, p);
        if self.arch.pte_dirty(old) {
            self.pages.set_dirty(folio, true);
        }
        old
    }

    fn set_migration_entry(&mut self, mm: &Mm, folio: FolioSpan, entry: &Mapped) {
        let Mapped { addr, p, pte, pfn } = *entry;
        let old = self.take_down(folio, addr, p, pte);
        let leaf = self.migration_leaf_of(old, pfn, self.pages.is_exclusive(pfn));
        self.pages.set_exclusive(pfn, 1, false);
        let word = self.soft_word(leaf);
        self.arch.set_pte_at(&mut self.hw, addr, p, word);
        self.migration_entries(pfn, |entries| entries + 1);
        self.pages.unmap(folio, pfn, MapLevel::Ptes(1), mm.id);
    }

    fn set_pmd_migration_entry(&mut self, mm: &Mm, folio: FolioSpan, pmdp: Ptep, addr: VirtAddr) {
        let old = self.arch.pmdp_invalidate(&mut self.hw, addr, pmdp);
        if self.arch.pte_dirty(old) {
            self.pages.set_dirty(folio, true);
        }
        let leaf = self.migration_leaf(old, folio.head, self.pages.is_exclusive(folio.head));
        self.pages.set_exclusive(folio.head, 1, false);
        let word = self.soft_word(leaf);
        self.arch.set_pmd_at(&mut self.hw, addr, pmdp, word);
        self.migration_entries(folio.head, |entries| entries + 1);
        self.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
    }

    /// Counts the entries that say a page migrates. With the last the folio goes too, as nobody waits for it.
    pub(crate) fn migration_entries(&mut self, page: Pfn, change: impl FnOnce(u64) -> u64) {
        let head = self.hw.peek_folio(page).head;
        let Some((folio, entries)) = self.migrations.get_mut(&head) else { return };
        *entries = change(*entries);
        if *entries == 0 {
            let folio = *folio;
            self.migrations.remove(&head);
            self.pages.release_hold(folio);
        }
    }

    // And back.

    /// The folios of a range that migrate.
    ///
    /// # Errors
    /// `EINVAL` for a range that is not aligned.
    pub fn migrating_folios(&self, mm: &Mm, start: VirtAddr, len: u64) -> Result<Vec<FolioSpan>, Errno> {
        let mut folios = Vec::new();
        self.walk_entries(mm, start, Self::aligned_end(start, len)?, |entry| {
            let page = self.soft_view(entry.pte).filter(|leaf| leaf.is_migration());
            if let Some(pfn) = page.and_then(SoftLeaf::pfn) {
                folios.push(self.hw.peek_folio(pfn));
            }
        });
        folios.sort_by_key(|folio| folio.head);
        folios.dedup();
        Ok(folios)
    }

    /// A copy of a folio for its migration, on the same node, unmapped; `None` where memory has no room for it.
    pub fn migration_target(&mut self, folio: FolioSpan) -> Option<FolioSpan> {
        let new = self.copy_folio(folio, self.pages.node(folio))?;
        self.pages.hold(new);
        let dirty = self.pages.is_dirty(folio);
        self.pages.set_dirty(new, dirty);
        if self.pages.is_lazyfree(folio) {
            self.pages.set_lazyfree(new);
        }
        self.requeue_deferred_split(folio, new);
        self.replace_object_page(folio, new);
        Some(new)
    }

    /// Makes entries for `new` of the migration entries for `old` in `mm` (`remove_migration_ptes`).
    pub fn remove_migration_ptes(&mut self, mm: &Mm, old: FolioSpan, new: FolioSpan, to: Destination) {
        for (vma, addr, pmdp, pmd) in self.folio_pmds(mm, old) {
            let Some(leaf) = self.soft_view(pmd) else { continue };
            self.pages.map(new, new.head, MapLevel::Pmd, mm.id);
            self.pages.set_exclusive(
                new.head,
                1,
                leaf.ty != swp_type::MIGRATION_READ && self.pages.is_anon(new),
            );
            let pmd = self.migrated_pmd(&vma, leaf, new.head);
            self.because(&cause::migrate_end, |kernel| {
                kernel.arch.set_pmd_at(&mut kernel.hw, addr, pmdp, pmd);
            });
        }
        for (vma, entries) in self.folio_entries(mm, old, Self::migrating_page) {
            for entry in entries {
                let Some(leaf) = self.soft_view(entry.pte) else { continue };
                let pfn = new.head.add(entry.pfn.since(old.head));
                let exclusive = leaf.ty != swp_type::MIGRATION_READ && self.pages.is_anon(new);
                self.pages.map(new, pfn, MapLevel::Ptes(1), mm.id);
                self.pages.set_exclusive(pfn, 1, exclusive);
                let (pte, cause) = match to {
                    Destination::Memory => (self.migrated_pte(&vma, leaf, pfn), &cause::migrate_end),
                    Destination::Device => {
                        (self.soft_word(Self::device_leaf(leaf, pfn)), &cause::device_private)
                    }
                };
                self.because(cause, |kernel| {
                    kernel.arch.set_pte_at(&mut kernel.hw, entry.addr, entry.p, pte);
                });
            }
        }
    }

    /// A migration is over: the old folio goes, unless it stayed because there was no room for another.
    pub fn end_migration(&mut self, old: FolioSpan, new: FolioSpan) {
        self.migrations.remove(&old.head);
        self.pages.release_hold(new);
        if new != old {
            self.pages.release_hold(old);
        }
    }

    /// The object that keeps a page keeps another in its place.
    fn replace_object_page(&mut self, old: FolioSpan, new: FolioSpan) {
        let (owner, index) = self.pages.owner(old);
        if !self.pages.is_anon(old) && self.object_page(owner, index) == Some(old.head) {
            self.set_object_page(owner, index, new.head);
            self.pages.set_cached(new, owner, index);
            self.pages.uncache(old);
        }
    }

    /// Splits the entry for a huge page that migrates into entries for its pages (`__split_huge_pmd_locked`).
    pub(crate) fn split_soft_pmd(&mut self, pmdp: Ptep, pmd: Pte, base: VirtAddr) {
        let Some(leaf) = self.soft_view(pmd) else { return };
        let table = self.hw.alloc_table();
        for i in 0..A::PTRS_PER_TABLE {
            let word = self.soft_word(SoftLeaf { offset: leaf.offset + i as u64, ..leaf });
            self.arch.set_pte_at(&mut self.hw, base.add(i as u64 * A::PAGE_SIZE), table.add(i), word);
        }
        let more = A::PTRS_PER_TABLE as u64 - 1;
        self.migration_entries(Pfn::new(leaf.offset), |entries| entries + more);
        self.populate(pmdp, table);
    }
}
