//! When gathered TLB flushes are issued (`include/asm-generic/tlb.h`, `mm/mmu_gather.c`, 7.3).

use crate::{Kernel, cause};
use ptelab_pgtable::{Arch, MmuGather, TableMemory};

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// The work on one VMA is done (`tlb_end_vma`): ports that do not gather over VMAs flush now.
    #[inline]
    pub(crate) fn tlb_end_vma(&mut self, tlb: &mut MmuGather) {
        if !A::MMU_GATHER_MERGE_VMAS && !tlb.is_fullmm() {
            self.because(&cause::tlb_end_vma, |kernel| kernel.tlb_flush_mmu(tlb));
        }
    }

    /// The call is done (`tlb_finish_mmu`).
    #[inline]
    pub(crate) fn tlb_finish(&mut self, tlb: &mut MmuGather) {
        let cause = if tlb.is_fullmm() { &cause::tlb_fullmm } else { &cause::tlb_finish };
        self.because(cause, |kernel| kernel.tlb_flush_mmu(tlb));
    }

    /// Flushes what was gathered (`tlb_flush_mmu`).
    #[inline]
    fn tlb_flush_mmu(&mut self, tlb: &mut MmuGather) {
        if tlb.range().is_none() {
            return;
        }
        if tlb.is_fullmm() {
            self.arch.flush_tlb_mm(&mut self.hw);
        } else {
            self.arch.tlb_flush(&mut self.hw, tlb);
        }
        *tlb = MmuGather::default();
    }
}
