//! Moving a folio to another node (`mm/migrate.c`, 7.3).

use crate::pages::MapLevel;
use crate::{CPU_NODE, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, Ptep, TableMemory, VirtAddr};

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Moves a folio that only `mm` maps, by page entries, to this CPU's node. Says whether it could.
    pub(crate) fn migrate_misplaced_folio(&mut self, mm: &mut Mm, folio: FolioSpan) -> bool {
        let alone = self.pages.entire_mapcount(folio) == 0 && !self.pages.maybe_mapped_shared(folio);
        if !alone || !self.pages.is_anon(folio) {
            return false;
        }
        if self.pages.is_partially_mapped(folio) {
            return self.split_and_migrate(mm, folio);
        }
        let Some(new) = self.copy_folio(folio, CPU_NODE) else { return false };
        self.pages.hold(folio);
        self.because(&cause::migrate_misplaced, |kernel| {
            for entry in kernel.unmap_for_move(mm, folio) {
                let pfn = new.head.add(entry.pfn.since(folio.head));
                kernel.pages.map(new, pfn, MapLevel::Ptes(1), mm.id);
                kernel.restore_moved(mm, &entry, pfn);
                kernel.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
            }
        });
        self.requeue_deferred_split(folio, new);
        self.pages.release_hold(folio);
        true
    }

    /// A copy takes over from its folio that it waits to be split. Its entries were taken down one by one for the move, so one
    /// that page entries mapped always waits (`migrate_folio_move`).
    pub(crate) fn requeue_deferred_split(&mut self, old: FolioSpan, new: FolioSpan) {
        if self.rules.migration_requeues_split && self.pages.is_partially_mapped(old) {
            self.pages.set_partially_mapped(new);
        }
    }

    /// Splits a folio, and moves its pages one by one.
    fn split_and_migrate(&mut self, mm: &mut Mm, folio: FolioSpan) -> bool {
        let owner = self.pages.owner(folio).0;
        self.because(&cause::migrate_misplaced, |kernel| kernel.split_folio(mm, folio));
        let mut moved = false;
        for page in folio.parts(0) {
            // A frame that was freed by the split may be somebody else's by now: the copy of a page before it.
            let same = self.pages.node(page) != CPU_NODE && self.pages.owner(page).0 == owner;
            if same && self.pages.folio_mapcount(page) == 1 {
                moved |= self.migrate_misplaced_folio(mm, page);
            }
        }
        moved
    }

    /// Moves a huge page with its huge leaf.
    pub(crate) fn migrate_huge(
        &mut self,
        mm: &Mm,
        vma: &Vma,
        folio: FolioSpan,
        pmdp: Ptep,
        base: VirtAddr,
    ) -> bool {
        if self.pages.folio_mapcount(folio) > 1 {
            return false;
        }
        let Some(new) = self.copy_folio(folio, CPU_NODE) else { return false };
        let old = self.arch.pmdp_invalidate(&mut self.hw, base, pmdp);
        let arch = &self.arch;
        let mut pmd = arch.pmd_mkhuge(arch.pfn_pte(new.head, vma.page_prot));
        if !arch.pte_young(old) {
            pmd = arch.pte_mkold(pmd);
        }
        if arch.pte_dirty(old) {
            pmd = arch.pte_mkdirty(pmd);
        }
        if arch.pte_soft_dirty(old) {
            pmd = arch.pte_mksoft_dirty(pmd);
        }
        let exclusive = self.pages.is_exclusive(folio.head);
        self.pages.map(new, new.head, MapLevel::Pmd, mm.id);
        self.pages.set_exclusive(new.head, 1, exclusive);
        self.arch.set_pmd_at(&mut self.hw, base, pmdp, pmd);
        self.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
        true
    }

    /// A copy of a folio on a node, unmapped; of private memory, with the same owner.
    pub(crate) fn copy_folio(&mut self, folio: FolioSpan, node: u8) -> Option<FolioSpan> {
        let head = self.pages.alloc(&mut self.hw, folio.order, node)?;
        let new = FolioSpan { head, order: folio.order };
        if self.pages.is_anon(folio) {
            let (owner, index) = self.pages.owner(folio);
            self.pages.set_anon(new, owner, index);
        }
        for i in 0..folio.nr_pages() as u64 {
            self.pages.copy(Pfn::new(folio.head.get() + i), head.add(i));
        }
        self.hw.event(Event::PagesCopied(folio.nr_pages() as u32));
        Some(new)
    }
}
