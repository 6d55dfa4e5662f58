//! How much is flushed at once.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, Level, TableMemory, TlbOps, VirtAddr};

#[test]
fn more_than_64_leaves_are_everything() {
    let ops = |pages: u64| {
        let mut hw = CountingHw::with_tables_of(512);
        arch("7.2").flush_tlb_range(&mut hw, VirtAddr::new(0), VirtAddr::new(pages << 12), Level::Pte);
        let counters = hw.counters().expect("it counts");
        (counters.get(Counter::TlbFlushes), counters.get(Counter::TlbiOps))
    };
    assert_eq!([1, 64, 65].map(ops), [(1, 1), (1, 64), (1, 1)]);
}
