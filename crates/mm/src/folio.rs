//! Batches of folios on their way to another list of reclaim (`mm/folio.c`, 7.3; `mm/swap.c` before).
//!
//! Each CPU collects folios and moves 31 of them at a time. A folio that waits has one reference more, by which a write fault takes
//! it for shared. Of all batches only the one that `MADV_FREE` fills is kept here: what else fills them depends on everything that
//! runs on the CPU.

use crate::pages::Pages;
use ptelab_pgtable::FolioSpan;

/// Folios that a batch holds until it is moved (`PAGEVEC_SIZE`).
const BATCH_SIZE: usize = 31;

impl Pages {
    /// `MADV_FREE` gives a folio up: reclaim learns of it with the next move of the batch, which a large folio does not wait for.
    pub(crate) fn folio_mark_lazyfree(&mut self, folio: FolioSpan) {
        if !self.is_anon(folio) || self.is_lazyfree(folio) || self.is_cached(folio) {
            return;
        }
        self.set_batched(folio, true);
        self.lazyfree_batch.push(folio);
        if folio.order > 0 || self.lazyfree_batch.len() == BATCH_SIZE {
            self.lru_add_drain();
        }
    }

    /// Moves all batches of the one CPU: nothing waits in them any more.
    pub fn lru_add_drain(&mut self) {
        for folio in std::mem::take(&mut self.lazyfree_batch) {
            self.set_batched(folio, false);
            if !self.is_cached(folio) {
                self.set_lazyfree(folio);
            }
            self.free_unused(folio);
        }
    }
}
