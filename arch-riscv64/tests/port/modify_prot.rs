//! The transaction in which a protection changes: Linux's fallback, an exchange and a store an entry.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, EntryFormat, ModifyProt, Pte, TableMemory, VirtAddr, VmFlags};

#[test]
fn an_entry_takes_one_exchange_and_one_store() {
    let arch = arch("7.2");
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    for i in 0..16 {
        hw.hardware_store(p.add(i), Pte(0x0010_00d7 + 0x400 * i as u64));
    }
    let old = arch.modify_prot_start_ptes(&mut hw, VirtAddr::new(0), p, 16);
    let new = arch.pte_modify(old, arch.vm_get_page_prot(VmFlags::READ));
    arch.modify_prot_commit_ptes(&mut hw, VirtAddr::new(0), p, old, new, 16);
    let words: Vec<u64> = (0..16).map(|i| 0x0010_00d3 + 0x400 * i).collect();
    assert_eq!(hw.peek_table(p, 16), words);
    let counters = hw.counters().expect("it counts");
    let costs = [Counter::Loads, Counter::Exchanges, Counter::Stores].map(|counter| counters.get(counter));
    assert_eq!(costs, [0, 16, 16]);
}
