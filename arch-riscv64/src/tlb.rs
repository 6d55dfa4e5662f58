//! TLB flushes: how (`arch/riscv/mm/tlbflush.c`, 7.2). Every change needs one, as by Linux's fallback.

use crate::{Riscv64, cause};
use ptelab_pgtable::{EntryFormat, Hw, Level, MmuGather, TlbOps, TlbScope, Tlbi, VirtAddr};

/// Flushes of more leaves than this become one of everything (`tlb_flush_all_threshold`).
const FLUSH_CEILING: u64 = 64;

/// `sfence.vma` by address and address space, one a leaf.
impl TlbOps for Riscv64 {
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;

    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let stride = Self::entry_size(level);
        let leaves = end.since(start).div_ceil(stride);
        if leaves > FLUSH_CEILING {
            return hw.because(&cause::flush_all_threshold, |hw| self.flush_tlb_mm(hw));
        }
        let scope = TlbScope::Range { start, end, stride };
        hw.tlbi(Tlbi { scope, level: 0, last_level: false, local: false, ops: leaves as u32 });
    }

    /// Where tables went, the whole address space is flushed.
    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        if tlb.freed_tables() {
            self.flush_tlb_mm(hw);
        } else if let Some((start, end)) = tlb.range() {
            self.flush_tlb_range(hw, start, end, tlb.unmap_level());
        }
    }
}
