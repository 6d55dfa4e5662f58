//! TLB flushes: how (`arch/s390/include/asm/tlbflush.h`, `tlb.h`, 7.2). Every change needs one, as by Linux's fallback, and most have
//! had it already.

use crate::S390x;
use ptelab_pgtable::{Hw, Level, MmuGather, TlbOps, TlbScope, Tlbi, VirtAddr};

/// IDTE of the whole address space, if anything is to be flushed: there is nothing smaller.
impl TlbOps for S390x {
    const MMU_GATHER_MERGE_VMAS: bool = true;
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;

    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, _: VirtAddr, _: VirtAddr, _: Level) {
        self.flush_tlb_mm(hw);
    }

    fn flush_tlb_mm<H: Hw>(&self, hw: &mut H) {
        if self.flush_mm.take() {
            hw.tlbi(Tlbi { scope: TlbScope::All, level: 0, last_level: false, local: false, ops: 1 });
        }
    }

    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        if tlb.freed_tables() {
            self.flush_mm.set();
        }
        self.flush_tlb_mm(hw);
    }
}
