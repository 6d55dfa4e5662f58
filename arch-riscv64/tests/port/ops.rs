//! What touches tables, by release.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, Pte, PteOps, TableMemory, VirtAddr};

/// Write protection leaves an entry readable from 7.2 on, and is no exchange any more.
#[test]
fn write_protection() {
    for (release, word, exchanges) in [("6.12", 0xd9, 2), ("7.2", 0xdb, 0)] {
        let mut hw = CountingHw::with_tables_of(512);
        let p = hw.alloc_table(512, Pte::NONE);
        for i in 0..2 {
            hw.hardware_store(p.add(i), Pte(0xdd));
        }
        arch(release).wrprotect_ptes(&mut hw, VirtAddr::new(0), p, 2);
        assert_eq!(hw.peek_table(p, 3), [word, word, 0], "{release}");
        let counters = hw.counters().expect("it counts");
        let exchanged = counters.get(Counter::Exchanges) + counters.get(Counter::CompareExchanges);
        assert_eq!(exchanged, exchanges, "{release}");
    }
}
