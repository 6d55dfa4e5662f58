//! The transaction in which a protection changes: Linux's fallback, a load and two stores an entry.

use crate::arch;
use ptelab_pgtable::{Counter, CountingHw, EntryFormat, ModifyProt, Pte, TableMemory, VirtAddr, VmFlags};

#[test]
fn an_entry_takes_one_load_and_two_stores() {
    let arch = arch();
    let mut hw = CountingHw::with_tables_of(2048);
    let p = hw.alloc_table(2048, Pte::NONE);
    for i in 0..16 {
        hw.hardware_store(p.add(i), Pte((1 << 62) + 0x0010_039f + 0x4000 * i as u64));
    }
    let old = arch.modify_prot_start_ptes(&mut hw, VirtAddr::new(0), p, 16);
    let new = arch.pte_modify(old, arch.vm_get_page_prot(VmFlags::READ));
    arch.modify_prot_commit_ptes(&mut hw, VirtAddr::new(0), p, old, new, 16);
    let words: Vec<u64> = (0..16).map(|i| (1 << 62) + 0x0010_029d + 0x4000 * i).collect();
    assert_eq!(hw.peek_table(p, 16), words);
    let counters = hw.counters().expect("it counts");
    let costs = [Counter::Loads, Counter::Exchanges, Counter::Stores].map(|counter| counters.get(counter));
    assert_eq!(costs, [16, 0, 32]);
}
