//! The machine primitives: the one door through which ports touch page tables.

use crate::{Barrier, Cause, Event, FolioSpan, Pfn, Pte, Ptep, Tlbi};

/// What a port may ask of a machine. Four kinds of machine implement it: plain memory, one that counts, one that
/// records, and (for checking) one whose hardware interferes.
///
/// The run operations have defaults made of the primitives; a machine overrides them only for speed.
pub trait Hw {
    /// Reads an entry.
    fn load(&mut self, p: Ptep) -> Pte;

    /// Writes an entry with a plain store.
    fn store(&mut self, p: Ptep, new: Pte);

    /// Exchanges an entry for `new` atomically and returns what it held.
    fn swap(&mut self, p: Ptep, new: Pte) -> Pte;

    /// Writes `new` if the entry holds `old`.
    ///
    /// # Errors
    /// What the entry held instead.
    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte>;

    /// Issues a barrier.
    fn barrier(&mut self, kind: Barrier);

    /// Issues a TLB invalidation.
    fn tlbi(&mut self, op: Tlbi);

    /// Reads the page struct of `pfn`: which folio the page belongs to.
    fn page_folio(&mut self, pfn: Pfn) -> FolioSpan;

    /// Takes note of something that is not a primitive. Machines that keep no account ignore it.
    #[inline]
    fn event(&mut self, event: Event) {
        let _ = event;
    }

    /// A cause comes into force for the entries that are written from now on, and what is flushed, within those in force already.
    /// [`because`](Self::because) ends it by itself. Machines that keep no order ignore causes.
    #[inline]
    fn begin_cause(&mut self, cause: &'static Cause) {
        let _ = cause;
    }

    /// The last cause that came into force is so no more.
    #[inline]
    fn end_cause(&mut self) {}

    /// Does something for a cause.
    #[inline]
    fn because<T>(&mut self, cause: &'static Cause, does: impl FnOnce(&mut Self) -> T) -> T {
        self.begin_cause(cause);
        let done = does(self);
        self.end_cause();
        done
    }

    /// Takes note that a cause leaves `n` entries from `p` on as they are.
    #[inline]
    fn keeps(&mut self, p: Ptep, n: usize, cause: &'static Cause) {
        let _ = (p, n, cause);
    }

    /// Rewrites an entry with compare-exchanges, so that no bit that hardware sets meanwhile is lost. `old` is what the
    /// entry was read as; returns what it held when it was replaced.
    #[inline]
    fn update(&mut self, p: Ptep, mut old: Pte, new: impl Fn(Pte) -> Pte) -> Pte {
        while let Err(now) = self.compare_swap(p, old, new(old)) {
            old = now;
        }
        old
    }

    /// Reads `n` entries in order.
    #[inline]
    fn load_run(&mut self, p: Ptep, n: usize, mut each: impl FnMut(Pte)) {
        for i in 0..n {
            let pte = self.load(p.add(i));
            each(pte);
        }
    }

    /// Stores `first`, `first + step`, `first + 2 * step`... (wrapping) to `n` entries.
    #[inline]
    fn store_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize) {
        let mut word = first.0;
        for i in 0..n {
            self.store(p.add(i), Pte(word));
            word = word.wrapping_add(step);
        }
    }

    /// Exchanges `n` entries for `new`, in order, and shows each old word.
    #[inline]
    fn swap_run(&mut self, p: Ptep, new: Pte, n: usize, mut each: impl FnMut(Pte)) {
        for i in 0..n {
            let old = self.swap(p.add(i), new);
            each(old);
        }
    }

    /// Reads `n` entries and then writes `new`, each with a load and a plain store, and shows each old word.
    #[inline]
    fn take_run(&mut self, p: Ptep, new: Pte, n: usize, mut each: impl FnMut(Pte)) {
        for i in 0..n {
            let old = self.load(p.add(i));
            self.store(p.add(i), new);
            each(old);
        }
    }

    /// How many entries from `p` on, at most `max`, equal `expected`, `expected + step`... in all bits but `ignore`.
    /// Reads one entry more than it matches, unless it matches `max`.
    #[inline]
    fn match_run(&mut self, p: Ptep, expected: Pte, step: u64, ignore: u64, max: usize) -> usize {
        let mut word = expected.0;
        for i in 0..max {
            if (self.load(p.add(i)).0 ^ word) & !ignore != 0 {
                return i;
            }
            word = word.wrapping_add(step);
        }
        max
    }
}

/// Table memory and page structs: what the memory manager, not a port, does with a machine.
pub trait TableMemory: Hw + std::fmt::Debug {
    /// Whether the order of primitives can be seen: then each is made by itself, however often the same is repeated.
    #[inline]
    fn keeps_order(&self) -> bool {
        false
    }

    /// An empty machine whose largest tables have `entries` entries (a power of two).
    fn with_tables_of(entries: usize) -> Self;

    /// A new table of `entries` (a power of two) that all hold `empty`: its first entry.
    fn alloc_table(&mut self, entries: usize, empty: Pte) -> Ptep;

    /// Gives a table of `entries` back.
    fn free_table(&mut self, table: Ptep, entries: usize);

    /// Reads an entry without it being an event of the emulated machine.
    fn peek(&self, p: Ptep) -> Pte;

    /// `n` entries of one table, for reading without events.
    fn peek_table(&self, table: Ptep, n: usize) -> &[u64];

    /// The folio a page belongs to, read without an event.
    fn peek_folio(&self, pfn: Pfn) -> FolioSpan;

    /// Writes the page structs of a new or resized folio.
    fn set_folio(&mut self, span: FolioSpan);

    /// How many entries from `p` on, at most `max`, are exactly `first`, `first + step`..., read without events.
    fn peek_run(&self, p: Ptep, first: Pte, step: u64, max: usize) -> usize;

    /// How many of the pages `pfn`, `pfn + stride`..., at most `max`, belong to folios of this order, read without events.
    fn peek_orders(&self, pfn: Pfn, stride: usize, order: u32, max: usize) -> usize;

    /// Writes `n` entries, `first`, `first + step`..., without events: they are accounted for by [`repeat`](Self::repeat).
    fn poke_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize);

    /// Counts again, `times` times, what was counted before for the same work.
    fn repeat(&mut self, work: &crate::Counters, times: u64) {
        let _ = (work, times);
    }

    /// An update by the hardware's walker (accessed, dirty): not a software store.
    fn hardware_store(&mut self, p: Ptep, new: Pte);

    /// What this machine counted so far, if it counts.
    fn counters(&self) -> Option<&crate::Counters> {
        None
    }

    /// What this machine recorded since last asked, if it records.
    fn take_records(&mut self) -> Vec<crate::Record> {
        Vec::new()
    }
}
