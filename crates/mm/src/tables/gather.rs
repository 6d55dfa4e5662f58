//! When gathered TLB flushes are issued (`include/asm-generic/tlb.h`, `mm/mmu_gather.c`, 7.3).

use crate::cause;
use crate::tables::PageTables;
use ptelab_pgtable::{Arch, Level, MmuGather, TableMemory, VirtAddr};

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// The work on one VMA is done (`tlb_end_vma`): ports that do not gather over VMAs flush now.
    #[inline]
    pub(crate) fn tlb_end_vma(&mut self, tlb: &mut MmuGather) {
        if !A::MMU_GATHER_MERGE_VMAS && !tlb.is_fullmm() {
            self.because(&cause::tlb_end_vma, |pt| pt.tlb_flush_mmu(tlb));
        }
    }

    /// The call is done (`tlb_finish_mmu`).
    #[inline]
    pub(crate) fn tlb_finish(&mut self, tlb: &mut MmuGather) {
        let cause = if tlb.is_fullmm() { &cause::tlb_fullmm } else { &cause::tlb_finish };
        self.because(cause, |pt| pt.tlb_flush_mmu(tlb));
    }

    /// Flushes what was gathered (`tlb_flush_mmu`).
    #[inline]
    pub(crate) fn tlb_flush_mmu(&mut self, tlb: &mut MmuGather) {
        if tlb.range().is_none() {
            return;
        }
        if tlb.is_fullmm() {
            self.flush_tlb_mm();
        } else {
            self.tlb_flush(tlb);
        }
        *tlb = MmuGather::default();
    }

    /// Flushes what was under a table that moved: pages, or huge pages, of any level.
    pub(crate) fn flush_moved_table(&mut self, from: VirtAddr, len: u64) {
        self.flush_tlb_range(from, from.add(len), Level::Pte);
    }
}
