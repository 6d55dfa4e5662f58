//! What touches tables.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, Pte, PteOps, TableMemory, VirtAddr};

/// Only what is writable is changed.
#[test]
fn write_protection() {
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    hw.hardware_store(p, Pte(0xc000_0000_0000_0386));
    hw.hardware_store(p.add(1), Pte(0xc000_0000_0000_0384));
    arch("7.3").wrprotect_ptes(&mut hw, VirtAddr::new(0), p, 2);
    assert_eq!(hw.peek_table(p, 3), [0xc000_0000_0000_0384, 0xc000_0000_0000_0384, 0]);
    let counters = hw.counters().expect("it counts");
    assert_eq!([Counter::Loads, Counter::CompareExchanges].map(|counter| counters.get(counter)), [2, 1]);
}

/// A fault adds what it needs in place, and nothing is flushed.
#[test]
fn access_flags() {
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    hw.hardware_store(p, Pte(0xc000_0000_0000_0006));
    let entry = Pte(0xc000_0000_0000_0386);
    assert!(arch("7.3").ptep_set_access_flags(&mut hw, VirtAddr::new(0), p, entry, true));
    assert_eq!(hw.peek(p), entry);
    assert_eq!(hw.counters().expect("it counts").get(Counter::TlbFlushes), 0);
}
