//! What touches tables (`arch/riscv/include/asm/pgtable.h`, `arch/riscv/mm/pgtable.c`, 7.2).

use crate::Riscv64;
use ptelab_pgtable::{EntryFormat, Hw, PteOps, Ptep, VirtAddr};

impl PteOps for Riscv64 {
    const ATOMIC: bool = true;
    const HAVE_MOVE_TABLES: bool = true;

    /// Since shadow stacks a load and a store, which lose what hardware sets in between.
    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        for i in 0..nr {
            let (addr, p) = (addr.add(i as u64 * Self::PAGE_SIZE), p.add(i));
            let old = hw.load(p);
            if self.rules.wrprotect_sets_read {
                self.set_pte_at(hw, addr, p, self.pte_wrprotect(old));
            } else {
                hw.update(p, old, |pte| self.pte_wrprotect(pte));
            }
        }
    }

    /// As for one page.
    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        self.wrprotect_ptes(hw, addr, p, 1);
    }
}
