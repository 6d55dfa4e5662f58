//! The fast machine: plain memory, no accounts.

use crate::{Barrier, FolioSpan, Hw, Pfn, Pte, Ptep, TableMemory, Tlbi};

/// Plain memory. Runs are loops over slices, which the compiler turns into vector code.
#[derive(Clone, Debug)]
pub struct PlainHw {
    entries: Vec<u64>,
    /// Entries in the largest tables: what memory grows by.
    table_len: usize,
    /// Free blocks, by log2 of the entries in one.
    free: [Vec<Ptep>; u64::BITS as usize],
    /// Order of the folio of every frame: the part of a page struct that hot loops read, packed for streaming.
    orders: Vec<u8>,
}

impl PlainHw {
    #[inline]
    fn run(&mut self, p: Ptep, n: usize) -> &mut [u64] {
        let at = p.0 as usize;
        &mut self.entries[at..at + n]
    }
}

impl Hw for PlainHw {
    #[inline]
    fn load(&mut self, p: Ptep) -> Pte {
        Pte(self.entries[p.0 as usize])
    }

    #[inline]
    fn store(&mut self, p: Ptep, new: Pte) {
        self.entries[p.0 as usize] = new.0;
    }

    #[inline]
    fn swap(&mut self, p: Ptep, new: Pte) -> Pte {
        Pte(std::mem::replace(&mut self.entries[p.0 as usize], new.0))
    }

    #[inline]
    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte> {
        let slot = &mut self.entries[p.0 as usize];
        if *slot != old.0 {
            return Err(Pte(*slot));
        }
        *slot = new.0;
        Ok(())
    }

    #[inline]
    fn barrier(&mut self, _: Barrier) {}

    #[inline]
    fn tlbi(&mut self, _: Tlbi) {}

    #[inline]
    fn page_folio(&mut self, pfn: Pfn) -> FolioSpan {
        self.peek_folio(pfn)
    }

    #[inline]
    fn load_run(&mut self, p: Ptep, n: usize, mut each: impl FnMut(Pte)) {
        for word in self.run(p, n) {
            each(Pte(*word));
        }
    }

    #[inline]
    fn store_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize) {
        let mut word = first.0;
        for slot in self.run(p, n) {
            *slot = word;
            word = word.wrapping_add(step);
        }
    }

    #[inline]
    fn swap_run(&mut self, p: Ptep, new: Pte, n: usize, mut each: impl FnMut(Pte)) {
        for slot in self.run(p, n) {
            each(Pte(*slot));
            *slot = new.0;
        }
    }

    #[inline]
    fn take_run(&mut self, p: Ptep, new: Pte, n: usize, each: impl FnMut(Pte)) {
        self.swap_run(p, new, n, each);
    }

    #[inline]
    fn match_run(&mut self, p: Ptep, expected: Pte, step: u64, ignore: u64, max: usize) -> usize {
        matching(self.run(p, max), expected.0, step, ignore)
    }
}

/// How many words from the first on equal `word`, `word + step`... in all bits but `ignore`.
#[inline]
fn matching(run: &[u64], mut word: u64, step: u64, ignore: u64) -> usize {
    /// Entries compared without a branch between them.
    const LANE: usize = 8;
    let mut done = 0;
    for lane in run.chunks_exact(LANE) {
        let mut differing = 0;
        for (entry, i) in lane.iter().zip(0u64..) {
            differing |= entry ^ word.wrapping_add(i.wrapping_mul(step));
        }
        if differing & !ignore != 0 {
            break;
        }
        done += LANE;
        word = word.wrapping_add(step.wrapping_mul(LANE as u64));
    }
    for entry in &run[done..] {
        if (entry ^ word) & !ignore != 0 {
            return done;
        }
        done += 1;
        word = word.wrapping_add(step);
    }
    done
}

impl TableMemory for PlainHw {
    fn with_tables_of(entries: usize) -> Self {
        assert!(entries.is_power_of_two(), "tables are aligned blocks");
        let free = [const { Vec::new() }; u64::BITS as usize];
        Self { entries: Vec::new(), table_len: entries, free, orders: Vec::new() }
    }

    fn alloc_table(&mut self, entries: usize, empty: Pte) -> Ptep {
        let free = &mut self.free[entries.ilog2() as usize];
        let table = free.pop().unwrap_or_else(|| {
            let block = self.entries.len();
            self.entries.resize(block + self.table_len, 0);
            let rest = (block + entries..self.entries.len()).step_by(entries);
            free.extend(rest.rev().map(|table| Ptep(table as u64)));
            Ptep(block as u64)
        });
        self.run(table, entries).fill(empty.0);
        table
    }

    fn free_table(&mut self, table: Ptep, entries: usize) {
        self.free[entries.ilog2() as usize].push(table);
    }

    fn peek(&self, p: Ptep) -> Pte {
        Pte(self.entries[p.0 as usize])
    }

    fn peek_table(&self, table: Ptep, n: usize) -> &[u64] {
        let at = table.0 as usize;
        &self.entries[at..at + n]
    }

    #[inline]
    fn peek_folio(&self, pfn: Pfn) -> FolioSpan {
        let order = u32::from(self.orders[pfn.index()]);
        FolioSpan { head: pfn.align_down(order), order }
    }

    #[inline]
    fn peek_run(&self, p: Ptep, first: Pte, step: u64, max: usize) -> usize {
        let at = p.0 as usize;
        matching(&self.entries[at..at + max], first.0, step, 0)
    }

    #[inline]
    fn peek_orders(&self, pfn: Pfn, stride: usize, order: u32, max: usize) -> usize {
        /// Looks without a branch between them.
        const LANE: usize = 8;
        let orders = &self.orders[pfn.index()..][..max * stride];
        let like = |folio: &[u8]| u32::from(folio[0]) == order;
        let all = |lane: &&[u8]| lane.chunks_exact(stride).fold(true, |all, folio| all & like(folio));
        let done = orders.chunks_exact(LANE * stride).take_while(all).count() * LANE;
        done + orders[done * stride..].chunks_exact(stride).take_while(|folio| like(folio)).count()
    }

    #[inline]
    fn poke_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize) {
        self.store_run(p, first, step, n);
    }

    fn set_folio(&mut self, span: FolioSpan) {
        let end = span.end().index();
        if self.orders.len() < end {
            self.orders.resize(end.next_multiple_of(self.table_len), 0);
        }
        self.orders[span.head.index()..end].fill(span.order as u8);
    }

    #[inline]
    fn hardware_store(&mut self, p: Ptep, new: Pte) {
        self.entries[p.0 as usize] = new.0;
    }
}
