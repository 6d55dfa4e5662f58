//! The fallbacks flush after every change, whatever it was.

use arch_generic::Generic;
use ptelab_pgtable::{
    Level, MmuGather, Pte, Record, RecordingHw, TableMemory, TlbOps, TlbScope, Tlbi, VirtAddr,
};

#[test]
fn every_change_is_flushed() {
    for (old, new) in [(0, 0x25), (0x22, 0x25), (0x25, 0x25), (0x2d, 0x25)] {
        assert!(Generic.pte_needs_flush(Pte(old), Pte(new)));
        assert!(Generic.huge_pmd_needs_flush(Pte(old), Pte(new)));
    }
}

#[test]
fn one_instruction_covers_any_range() {
    let start = VirtAddr::new(0x4000_0000);
    for (level, stride) in [(Level::Pte, 1 << 12), (Level::Pmd, 1 << 21)] {
        let mut tlb = MmuGather::default();
        tlb.flush_range(start, 1 << 30, level);
        let mut hw = RecordingHw::with_tables_of(512);
        Generic.tlb_flush(&mut hw, &tlb);
        let scope = TlbScope::Range { start, end: start.add(1 << 30), stride };
        let op = Tlbi { scope, level: 0, last_level: false, local: false, ops: 1 };
        assert_eq!(hw.take_records(), [Record::Tlbi(op)]);
    }
}

#[test]
fn each_vma_is_flushed_by_itself() {
    const { assert!(!Generic::MMU_GATHER_MERGE_VMAS) }
}
