//! Machines that keep an account: one that counts, one that records, and one that notes TLB invalidations only.

use crate::{
    Barrier, Cause, Counter, Counters, Event, FolioSpan, Hw, Pfn, PlainHw, Pte, Ptep, Record, TableMemory,
    Tlbi, Why,
};

/// The counting machine: plain memory, and a sum for every kind of primitive and event.
#[derive(Clone, Debug)]
pub struct CountingHw {
    plain: PlainHw,
    counters: Counters,
}

impl From<PlainHw> for CountingHw {
    fn from(plain: PlainHw) -> Self {
        Self { plain, counters: Counters::default() }
    }
}

impl Hw for CountingHw {
    #[inline]
    fn load(&mut self, p: Ptep) -> Pte {
        self.counters.add(Counter::Loads, 1);
        self.plain.load(p)
    }

    #[inline]
    fn store(&mut self, p: Ptep, new: Pte) {
        self.counters.add(Counter::Stores, 1);
        self.plain.store(p, new);
    }

    #[inline]
    fn swap(&mut self, p: Ptep, new: Pte) -> Pte {
        self.counters.add(Counter::Exchanges, 1);
        self.plain.swap(p, new)
    }

    #[inline]
    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte> {
        self.counters.add(Counter::CompareExchanges, 1);
        self.plain.compare_swap(p, old, new)
    }

    #[inline]
    fn barrier(&mut self, kind: Barrier) {
        self.counters.barrier(kind);
    }

    #[inline]
    fn tlbi(&mut self, op: Tlbi) {
        self.counters.tlbi(op);
    }

    #[inline]
    fn page_folio(&mut self, pfn: Pfn) -> FolioSpan {
        self.counters.add(Counter::PageLookups, 1);
        self.plain.page_folio(pfn)
    }

    #[inline]
    fn event(&mut self, event: Event) {
        self.counters.count(event);
    }

    #[inline]
    fn load_run(&mut self, p: Ptep, n: usize, each: impl FnMut(Pte)) {
        self.counters.add(Counter::Loads, n as u64);
        self.plain.load_run(p, n, each);
    }

    #[inline]
    fn store_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize) {
        self.counters.add(Counter::Stores, n as u64);
        self.plain.store_run(p, first, step, n);
    }

    #[inline]
    fn swap_run(&mut self, p: Ptep, new: Pte, n: usize, each: impl FnMut(Pte)) {
        self.counters.add(Counter::Exchanges, n as u64);
        self.plain.swap_run(p, new, n, each);
    }

    #[inline]
    fn take_run(&mut self, p: Ptep, new: Pte, n: usize, each: impl FnMut(Pte)) {
        self.counters.add(Counter::Loads, n as u64);
        self.counters.add(Counter::Stores, n as u64);
        self.plain.take_run(p, new, n, each);
    }

    #[inline]
    fn match_run(&mut self, p: Ptep, expected: Pte, step: u64, ignore: u64, max: usize) -> usize {
        let matched = self.plain.match_run(p, expected, step, ignore, max);
        self.counters.add(Counter::Loads, max.min(matched + 1) as u64);
        matched
    }
}

/// Forwards what is not accounted to the plain memory inside.
macro_rules! forward_table_memory {
    () => {
        fn alloc_table(&mut self, entries: usize, empty: Pte) -> Ptep {
            self.plain.alloc_table(entries, empty)
        }

        fn free_table(&mut self, table: Ptep, entries: usize) {
            self.plain.free_table(table, entries);
        }

        fn peek(&self, p: Ptep) -> Pte {
            self.plain.peek(p)
        }

        fn peek_table(&self, table: Ptep, n: usize) -> &[u64] {
            self.plain.peek_table(table, n)
        }

        #[inline]
        fn peek_folio(&self, pfn: Pfn) -> FolioSpan {
            self.plain.peek_folio(pfn)
        }

        #[inline]
        fn peek_run(&self, p: Ptep, first: Pte, step: u64, max: usize) -> usize {
            self.plain.peek_run(p, first, step, max)
        }

        #[inline]
        fn peek_orders(&self, pfn: Pfn, stride: usize, order: u32, max: usize) -> usize {
            self.plain.peek_orders(pfn, stride, order, max)
        }

        #[inline]
        fn poke_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize) {
            self.plain.poke_run(p, first, step, n);
        }

        fn set_folio(&mut self, span: FolioSpan) {
            self.plain.set_folio(span);
        }
    };
}

impl TableMemory for CountingHw {
    forward_table_memory!();

    fn with_tables_of(entries: usize) -> Self {
        PlainHw::with_tables_of(entries).into()
    }

    #[inline]
    fn hardware_store(&mut self, p: Ptep, new: Pte) {
        self.plain.hardware_store(p, new);
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }

    fn repeat(&mut self, work: &Counters, times: u64) {
        self.counters.add_times(work, times);
    }
}

/// The recording machine: plain memory, and every primitive and event in order.
#[derive(Clone, Debug)]
pub struct RecordingHw {
    plain: PlainHw,
    records: Vec<Record>,
    /// Causes in force, each within those before it.
    causes: Vec<&'static Cause>,
    /// Why the last write was made, as the records say.
    told: Why,
    /// Whether causes came or went since.
    changed: bool,
}

impl RecordingHw {
    /// Records a step that has a cause; says before it what that is, where it is another than before.
    fn record_caused(&mut self, record: Record) {
        if std::mem::take(&mut self.changed) {
            let why = Why::of(&self.causes);
            if why != self.told {
                self.told = why;
                self.records.push(Record::Why(why));
            }
        }
        self.records.push(record);
    }
}

impl From<PlainHw> for RecordingHw {
    fn from(plain: PlainHw) -> Self {
        Self { plain, records: Vec::new(), causes: Vec::new(), told: Why::default(), changed: false }
    }
}

impl Hw for RecordingHw {
    fn load(&mut self, p: Ptep) -> Pte {
        let pte = self.plain.load(p);
        self.records.push(Record::Load(p, pte));
        pte
    }

    fn store(&mut self, p: Ptep, new: Pte) {
        self.record_caused(Record::Store(p, new));
        self.plain.store(p, new);
    }

    fn swap(&mut self, p: Ptep, new: Pte) -> Pte {
        let old = self.plain.swap(p, new);
        self.record_caused(Record::Swap(p, old, new));
        old
    }

    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte> {
        let outcome = self.plain.compare_swap(p, old, new);
        self.record_caused(Record::CompareSwap(p, old, new, outcome.is_ok()));
        outcome
    }

    fn barrier(&mut self, kind: Barrier) {
        self.record_caused(Record::Barrier(kind));
    }

    fn tlbi(&mut self, op: Tlbi) {
        self.record_caused(Record::Tlbi(op));
    }

    fn page_folio(&mut self, pfn: Pfn) -> FolioSpan {
        self.records.push(Record::PageLookup(pfn));
        self.plain.page_folio(pfn)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Fault(_) => self.record_caused(Record::Event(event)),
            _ => self.records.push(Record::Event(event)),
        }
    }

    fn begin_cause(&mut self, cause: &'static Cause) {
        self.causes.push(cause);
        self.changed = true;
    }

    fn end_cause(&mut self) {
        self.causes.pop();
        self.changed = true;
    }

    fn keeps(&mut self, p: Ptep, n: usize, cause: &'static Cause) {
        self.records.push(Record::Kept(p, n as u32, cause));
    }
}

impl TableMemory for RecordingHw {
    forward_table_memory!();

    fn with_tables_of(entries: usize) -> Self {
        PlainHw::with_tables_of(entries).into()
    }

    #[inline]
    fn keeps_order(&self) -> bool {
        true
    }

    fn hardware_store(&mut self, p: Ptep, new: Pte) {
        self.record_caused(Record::Hardware(p, self.plain.peek(p), new));
        self.plain.hardware_store(p, new);
    }

    fn take_records(&mut self) -> Vec<Record> {
        (self.told, self.changed) = (Why::default(), true);
        std::mem::take(&mut self.records)
    }
}

/// Plain memory that notes every TLB invalidation, to find out what may still be cached.
#[derive(Clone, Debug)]
pub struct FlushHw {
    plain: PlainHw,
    flushes: Vec<Tlbi>,
}

impl FlushHw {
    /// The invalidations since last asked, in order.
    pub fn take_flushes(&mut self) -> Vec<Tlbi> {
        std::mem::take(&mut self.flushes)
    }
}

/// Forwards primitives to the plain memory inside.
macro_rules! forward_to_plain {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
        $(
            #[inline]
            fn $name(&mut self, $($arg: $ty),*) $(-> $out)? {
                self.plain.$name($($arg),*)
            }
        )*
    };
}

impl Hw for FlushHw {
    forward_to_plain! {
        fn load(p: Ptep) -> Pte;
        fn store(p: Ptep, new: Pte);
        fn swap(p: Ptep, new: Pte) -> Pte;
        fn compare_swap(p: Ptep, old: Pte, new: Pte) -> Result<(), Pte>;
        fn barrier(kind: Barrier);
        fn page_folio(pfn: Pfn) -> FolioSpan;
        fn load_run(p: Ptep, n: usize, each: impl FnMut(Pte));
        fn store_run(p: Ptep, first: Pte, step: u64, n: usize);
        fn swap_run(p: Ptep, new: Pte, n: usize, each: impl FnMut(Pte));
        fn match_run(p: Ptep, expected: Pte, step: u64, ignore: u64, max: usize) -> usize;
    }

    fn tlbi(&mut self, op: Tlbi) {
        self.flushes.push(op);
    }
}

impl TableMemory for FlushHw {
    forward_table_memory!();

    fn with_tables_of(entries: usize) -> Self {
        Self { plain: PlainHw::with_tables_of(entries), flushes: Vec::new() }
    }

    #[inline]
    fn hardware_store(&mut self, p: Ptep, new: Pte) {
        self.plain.hardware_store(p, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every run operation gives the same entries on every machine, and counts what the primitives would.
    fn exercise<H: TableMemory>() -> (Vec<u64>, Vec<usize>, Vec<u64>, H) {
        let mut hw = H::with_tables_of(64);
        let t = hw.alloc_table(64, Pte::NONE);
        hw.store_run(t, Pte(0x1001), 0x1000, 40);
        hw.store(t.add(20), Pte(0xdead));
        let matches = vec![
            hw.match_run(t, Pte(0x1001), 0x1000, 0, 40),
            hw.match_run(t, Pte(0x1000), 0x1000, 1, 13),
            hw.match_run(t.add(21), Pte(0x16001), 0x1000, 0, 43),
        ];
        let mut seen = Vec::new();
        hw.swap_run(t.add(3), Pte::NONE, 5, |pte| seen.push(pte.0));
        hw.take_run(t.add(30), Pte::NONE, 2, |pte| seen.push(pte.0));
        hw.load_run(t.add(28), 4, |pte| seen.push(pte.0));
        (hw.peek_table(t, 64).to_vec(), matches, seen, hw)
    }

    #[test]
    fn machines_agree() {
        let (table, matches, seen, _) = exercise::<PlainHw>();
        let (table_c, matches_c, seen_c, counting) = exercise::<CountingHw>();
        let (table_r, matches_r, seen_r, mut recording) = exercise::<RecordingHw>();
        assert_eq!(matches, [20, 13, 19]);
        assert_eq!((&table, &matches, &seen), (&table_c, &matches_c, &seen_c));
        assert_eq!((&table, &matches, &seen), (&table_r, &matches_r, &seen_r));

        let records = recording.take_records();
        let count = |f: fn(&Record) -> bool| records.iter().filter(|r| f(r)).count() as u64;
        let c = counting.counters().expect("a counting machine counts");
        assert_eq!(c.get(Counter::Loads), count(|r| matches!(r, Record::Load(..))));
        assert_eq!(c.get(Counter::Stores), count(|r| matches!(r, Record::Store(..))));
        assert_eq!(c.get(Counter::Exchanges), count(|r| matches!(r, Record::Swap(..))));
        assert_eq!(c.get(Counter::Loads), 21 + 13 + 20 + 2 + 4);
    }

    static OUTER: Cause = Cause { id: "outer", text: "", source: "" };
    static INNER: Cause = Cause { id: "inner", text: "", source: "" };

    /// A cause is recorded where something is written for it, and is over where its work is.
    #[test]
    fn records_say_why() {
        let mut hw = RecordingHw::with_tables_of(8);
        let t = hw.alloc_table(8, Pte::NONE);
        let stored = |i: usize| Record::Store(t.add(i), Pte(i as u64));
        hw.because(&OUTER, |hw| {
            hw.store(t, Pte(0));
            hw.because(&INNER, |hw| hw.load(t));
            hw.store(t.add(1), Pte(1));
            hw.because(&INNER, |hw| hw.store(t.add(2), Pte(2)));
            hw.store(t.add(3), Pte(3));
        });
        hw.store(t.add(4), Pte(4));
        let why = |causes: &[&'static Cause]| Record::Why(Why::of(causes));
        let wanted = [
            why(&[&OUTER]),
            stored(0),
            Record::Load(t, Pte(0)),
            stored(1),
            why(&[&OUTER, &INNER]),
            stored(2),
            why(&[&OUTER]),
            stored(3),
            why(&[]),
            stored(4),
        ];
        assert_eq!(hw.take_records(), wanted);
        // The next account says it again.
        for _ in 0..2 {
            hw.because(&INNER, |hw| hw.store(t, Pte(0)));
            assert_eq!(hw.take_records(), [why(&[&INNER]), stored(0)]);
        }
    }

    #[test]
    fn freed_tables_are_used_again() {
        let mut hw = PlainHw::with_tables_of(512);
        let a = hw.alloc_table(512, Pte::NONE);
        let b = hw.alloc_table(512, Pte::NONE);
        assert_eq!(b, a.add(512));
        hw.free_table(a, 512);
        assert_eq!(hw.alloc_table(512, Pte::NONE), a);
    }
}
