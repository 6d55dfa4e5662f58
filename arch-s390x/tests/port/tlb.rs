//! Flushes: of all, and only where something was left to flush.

use crate::{arch, costs, table};
use ptelab_pgtable::{Level, MmuGather, ModifyProt, TlbOps, VirtAddr};

const ADDR: VirtAddr = VirtAddr::new(0);

#[test]
fn nothing_pending_is_no_flush() {
    let arch = arch("7.3");
    let (mut hw, p) = table(&[0x13f]);
    arch.flush_tlb_range(&mut hw, ADDR, VirtAddr::new(0x1000), Level::Pte);
    assert_eq!(costs(&hw)[3], 0);
    arch.ptep_modify_prot_start(&mut hw, ADDR, p);
    let copy = arch.clone();
    for arch in [arch, copy] {
        arch.flush_tlb_range(&mut hw, ADDR, VirtAddr::new(0x1000), Level::Pte);
    }
    assert_eq!(costs(&hw)[3], 2, "a copy of a machine has its own");
}

#[test]
fn freed_tables_are_flushed() {
    let mut tlb = MmuGather::default();
    tlb.free_table(ADDR, 0x1000, Level::Pmd);
    let (mut hw, _) = table(&[]);
    arch("7.3").tlb_flush(&mut hw, &tlb);
    assert_eq!(costs(&hw)[3], 1);
}
