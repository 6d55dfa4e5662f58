//! What touches tables: the change of an entry and its flush are one.

use crate::{arch, costs, on, table};
use ptelab_pgtable::{CpuConfig, Pte, PteOps, TableMemory, TlbOps, VirtAddr};

const ADDR: VirtAddr = VirtAddr::new(0);

#[test]
fn what_goes_lazily_is_flushed_at_the_end_and_once() {
    let arch = arch("7.3");
    let (mut hw, p) = table(&[0x13f, 0x13f]);
    arch.get_and_clear_ptes(&mut hw, ADDR, p, 2);
    assert_eq!((hw.peek_table(p, 2), costs(&hw)), (&[0x400, 0x400][..], [2, 0, 4, 0]));
    arch.flush_tlb_mm(&mut hw);
    arch.flush_tlb_mm(&mut hw);
    assert_eq!(costs(&hw)[3], 1);
}

#[test]
fn an_entry_becomes_old_with_its_flush() {
    let arch = arch("7.3");
    let (mut hw, p) = table(&[0x13f]);
    assert!(arch.ptep_test_and_clear_young(&mut hw, ADDR, p));
    assert_eq!((hw.peek(p), costs(&hw)), (Pte(0x53b), [2, 1, 1, 1]));
    assert!(!arch.ptep_test_and_clear_young(&mut hw, ADDR, p));
    assert_eq!(costs(&hw), [4, 1, 2, 1], "what is invalid is in no TLB");
}

/// RDP leaves the entry valid in between.
#[test]
fn protection_goes_with_ipte_or_rdp() {
    for rdp in [false, true] {
        let arch = on(&CpuConfig::default().with("rdp", rdp), "7.3");
        let (mut hw, p) = table(&[0x337]);
        assert!(arch.ptep_set_access_flags(&mut hw, ADDR, p, Pte(0x13f), true));
        assert_eq!(hw.peek(p), Pte(0x13f));
        assert_eq!(costs(&hw), [if rdp { 1 } else { 2 }, 1, 1, 1]);
    }
}
