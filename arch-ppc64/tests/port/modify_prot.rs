//! The transaction in which a protection changes: an atomic update and a store an entry, or cheaper as a batch.

use crate::with;
use ptelab_pgtable::{
    Counter, CountingHw, CpuConfig, EntryFormat, ModifyProt, Pte, TableMemory, VirtAddr, VmFlags,
};

const WRITTEN: u64 = 0xc000_0000_0010_0386;

/// Loads, compare-exchanges and stores of a change of 16 pages to read-only.
fn costs(cpu: &CpuConfig) -> [u64; 3] {
    let arch = with("7.3", cpu);
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    for i in 0..16 {
        hw.hardware_store(p.add(i), Pte(WRITTEN + 0x1000 * i as u64));
    }
    let old = arch.modify_prot_start_ptes(&mut hw, VirtAddr::new(0), p, 16);
    assert_eq!((old, hw.peek_table(p, 1)), (Pte(WRITTEN), &[0x6000_0000_0010_0386][..]), "being changed");
    let new = arch.pte_modify(old, arch.vm_get_page_prot(VmFlags::READ));
    arch.modify_prot_commit_ptes(&mut hw, VirtAddr::new(0), p, old, new, 16);
    let words: Vec<u64> = (0..16).map(|i| WRITTEN - 2 + 0x1000 * i).collect();
    assert_eq!(hw.peek_table(p, 16), words);
    let counters = hw.counters().expect("it counts");
    [Counter::Loads, Counter::CompareExchanges, Counter::Stores].map(|counter| counters.get(counter))
}

#[test]
fn a_batch_is_one_of_each_entry_unless_told_otherwise() {
    let cpu = CpuConfig::default;
    assert_eq!(costs(&cpu()), [16, 16, 16]);
    assert_eq!(costs(&cpu().with("batch", true)), [16, 0, 32]);
    assert_eq!(costs(&cpu().with("batch", true).with("rc", true)), [16, 16, 16]);
}
