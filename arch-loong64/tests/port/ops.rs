//! What touches tables.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, Pte, PteOps, TableMemory, VirtAddr};

/// Each store of a huge leaf flushes everything; making one invalid is a store and a flush of its own.
#[test]
fn huge_leaves_flush() {
    let mut hw = CountingHw::with_tables_of(2048);
    let p = hw.alloc_table(2048, Pte::NONE);
    arch().set_pmd_at(&mut hw, VirtAddr::new(0), p, Pte(0x3df));
    arch().pmdp_invalidate(&mut hw, VirtAddr::new(0), p);
    assert_eq!(hw.peek(p), Pte(1 << 60 | 0x35c));
    let counters = hw.counters().expect("it counts");
    let costs = [Counter::Loads, Counter::Stores, Counter::Exchanges, Counter::TlbFlushes];
    assert_eq!(costs.map(|counter| counters.get(counter)), [1, 2, 0, 3]);
}
