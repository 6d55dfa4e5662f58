//! Folios as tables need them: new ones, copies, and counts of migration entries.

use crate::pages::CPU_NODE;
use crate::tables::PageTables;
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, TableMemory};

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// A new folio on the node that new pages go to, if memory has one of this order.
    pub(crate) fn alloc_folio(&mut self, order: u32) -> Option<FolioSpan> {
        self.alloc_folio_on(order, self.pages.alloc_node.unwrap_or(CPU_NODE))
    }

    /// The same on a given node.
    pub(crate) fn alloc_folio_on(&mut self, order: u32, node: u8) -> Option<FolioSpan> {
        let Some(head) = self.pages.alloc(&mut self.hw, order, node) else {
            self.hw.event(Event::FolioFallback(order as u8));
            return None;
        };
        Some(FolioSpan { head, order })
    }

    /// A copy of a folio on a node, unmapped, as dirty and as lazyfree; of private memory, with the same owner.
    pub(crate) fn copy_folio(&mut self, folio: FolioSpan, node: u8) -> Option<FolioSpan> {
        let head = self.pages.alloc(&mut self.hw, folio.order, node)?;
        let new = FolioSpan { head, order: folio.order };
        if self.pages.is_anon(folio) {
            let (owner, index) = self.pages.owner(folio);
            self.pages.set_anon(new, owner, index);
            if self.pages.is_lazyfree(folio) {
                self.pages.set_lazyfree(new);
            }
        }
        let dirty = self.pages.is_dirty(folio);
        self.pages.set_dirty(new, dirty);
        for i in 0..folio.nr_pages() as u64 {
            self.pages.copy(Pfn::new(folio.head.get() + i), head.add(i));
        }
        self.hw.event(Event::PagesCopied(folio.nr_pages() as u32));
        Some(new)
    }

    /// Counts migration entries of a page. When the last goes, the folio goes too, as nothing waits for it.
    pub(crate) fn migration_entries(&mut self, page: Pfn, change: impl FnOnce(u64) -> u64) {
        let head = self.hw.peek_folio(page).head;
        let Some(migration) = self.pages.migrations.get_mut(&head) else { return };
        migration.entries = change(migration.entries);
        if migration.entries == 0 {
            let folio = migration.folio;
            self.pages.migrations.remove(&head);
            self.pages.release_hold(folio);
        }
    }
}
