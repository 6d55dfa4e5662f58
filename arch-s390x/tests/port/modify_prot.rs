//! The transaction in which a protection changes: an entry is invalid in between, not empty.

use crate::{arch, costs, on, table};
use ptelab_pgtable::{CpuConfig, EntryFormat, ModifyProt, Pte, TableMemory, TlbOps, VirtAddr, VmFlags};

const ADDR: VirtAddr = VirtAddr::new(0);

#[test]
fn an_entry_keeps_its_word_but_for_invalid() {
    let arch = arch("7.3");
    let (mut hw, p) = table(&[0x13f, 0x53b]);
    assert_eq!(arch.ptep_modify_prot_start(&mut hw, ADDR, p), Pte(0x13f));
    assert_eq!(arch.ptep_modify_prot_start(&mut hw, ADDR, p.add(1)), Pte(0x53b));
    assert_eq!(hw.peek_table(p, 2), [0x53f, 0x53b]);
    assert_eq!(costs(&hw), [2, 0, 1, 0], "what is invalid is left alone");
    arch.ptep_modify_prot_commit(&mut hw, ADDR, p, Pte(0x13f), Pte(0x31f));
    arch.flush_tlb_mm(&mut hw);
    assert_eq!((hw.peek(p), costs(&hw)), (Pte(0x31f), [2, 0, 2, 1]));
}

/// With one IPTE for all, nothing is left to flush.
#[test]
fn a_batch_is_a_loop_or_one_ipte() {
    for (batch, spent) in [(false, [16, 0, 32, 1]), (true, [16, 16, 16, 1])] {
        let arch = on(&CpuConfig::default().with("batch", batch), "7.3");
        let words: Vec<u64> = (0..16).map(|i| 0x10_013f + 0x1000 * i).collect();
        let (mut hw, p) = table(&words);
        let old = arch.modify_prot_start_ptes(&mut hw, ADDR, p, 16);
        let new = arch.pte_modify(old, arch.vm_get_page_prot(VmFlags::READ));
        arch.modify_prot_commit_ptes(&mut hw, ADDR, p, old, new, 16);
        arch.flush_tlb_mm(&mut hw);
        let changed: Vec<u64> = (0..16).map(|i| 0x10_031f + 0x1000 * i).collect();
        assert_eq!(hw.peek_table(p, 16), changed);
        assert_eq!(costs(&hw), spent);
    }
}
