//! How much is flushed at once.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, Level, TableMemory, TlbOps, VirtAddr};

#[test]
fn pairs_of_pages_up_to_an_eighth_of_the_tlb() {
    let ops = |(first, pages): (u64, u64)| {
        let mut hw = CountingHw::with_tables_of(2048);
        let (start, end) = (VirtAddr::new(first << 14), VirtAddr::new((first + pages) << 14));
        arch().flush_tlb_range(&mut hw, start, end, Level::Pte);
        hw.counters().expect("it counts").get(Counter::TlbiOps)
    };
    assert_eq!([(0, 1), (0, 2), (1, 2), (0, 528), (1, 528)].map(ops), [1, 1, 2, 264, 1]);
}
