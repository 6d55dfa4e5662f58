//! TLB flushes: how (`arch/loongarch/mm/tlb.c`, 7.3). Every change needs one, as by Linux's fallback.

use crate::{Loong64, cause};
use ptelab_pgtable::{EntryFormat, Hw, Level, TlbOps, TlbScope, Tlbi, VirtAddr};

/// An entry of the TLB maps two pages.
const PAIR: u64 = 2 * Loong64::PAGE_SIZE;
/// Entries of an LA464's TLB, both parts of it together.
const TLB_SIZE: u64 = 2048 + 64;
/// More pairs than this are flushed with the whole address space.
const FLUSH_CEILING: u64 = TLB_SIZE / 8;

/// `invtlb` by address and address space, one a pair of pages, whatever the size of the leaves.
impl TlbOps for Loong64 {
    const MMU_GATHER_MERGE_VMAS: bool = true;
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;

    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, _: Level) {
        let (start, end) = (start.align_down(PAIR), end.get().next_multiple_of(PAIR));
        let pairs = (end - start.get()) / PAIR;
        if pairs > FLUSH_CEILING {
            return hw.because(&cause::drop_asid, |hw| self.flush_tlb_mm(hw));
        }
        let scope = TlbScope::Range { start, end: VirtAddr::new(end), stride: Self::PAGE_SIZE };
        hw.tlbi(Tlbi { scope, level: 0, last_level: false, local: false, ops: pairs as u32 });
    }
}
