//! When a change is flushed, and how much at once.

use crate::arch;
use ptelab_pgtable::{
    Counter, CountingHw, Level, MmuGather, Pte, Record, RecordingHw, TableMemory, TlbOps, VirtAddr,
};

#[test]
fn more_than_33_leaves_are_everything() {
    let ops = |pages: u64| {
        let mut hw = CountingHw::with_tables_of(512);
        arch("7.3").flush_tlb_range(&mut hw, VirtAddr::new(0), VirtAddr::new(pages << 12), Level::Pte);
        let counters = hw.counters().expect("it counts");
        (counters.get(Counter::TlbFlushes), counters.get(Counter::TlbiOps))
    };
    assert_eq!([1, 33, 34].map(ops), [(1, 1), (1, 33), (1, 1)]);
}

/// Rights that are added need no flush, nor does a page that became old; anything that goes needs one.
#[test]
fn what_needs_a_flush() {
    let needs = |(old, new)| {
        let word = |bits: u64| Pte(0xc000_0000_0000_0000 | bits);
        arch("7.3").pte_needs_flush(word(old), word(new))
    };
    assert_eq!([(0x384, 0x386), (0x380, 0x384), (0x384, 0x284)].map(needs), [false; 3]);
    assert_eq!([(0x386, 0x384), (0x386, 0x380), (0x386, 0x306), (0x384, 0x184)].map(needs), [true; 4]);
    assert!(!arch("7.3").pte_needs_flush(Pte(0x6000_0000_0000_0386), Pte(0xc000_0000_0000_0384)));
}

/// Only where tables went, or may have moved.
#[test]
fn walk_caches() {
    let keeps = |flush: &dyn Fn(&mut RecordingHw)| {
        let mut hw = RecordingHw::with_tables_of(512);
        flush(&mut hw);
        let records = hw.take_records();
        !records.iter().any(|record| matches!(record, Record::Tlbi(op) if !op.last_level))
    };
    let at = |pages: u64| VirtAddr::new(pages << 12);
    let gather = |tables| {
        let mut tlb = MmuGather::default();
        tlb.flush_range(at(0), 512 << 12, Level::Pte);
        if tables {
            tlb.free_table(at(0), 1 << 12, Level::Pmd);
        }
        tlb
    };
    assert!(keeps(&|hw| arch("7.3").flush_tlb_range(hw, at(0), at(33), Level::Pte)));
    assert!(!keeps(&|hw| arch("7.3").flush_tlb_range(hw, at(0), at(34), Level::Pte)));
    assert!(keeps(&|hw| arch("7.3").flush_pmd_tlb_range(hw, at(0))));
    assert!(keeps(&|hw| arch("7.3").tlb_flush(hw, &gather(false))));
    assert!(!keeps(&|hw| arch("7.3").tlb_flush(hw, &gather(true))));
}
