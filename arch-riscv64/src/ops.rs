//! What touches tables (`arch/riscv/include/asm/pgtable.h`, `arch/riscv/mm/pgtable.c`, 7.2).

use crate::Riscv64;
use ptelab_pgtable::{EntryFormat, Hw, Pte, PteOps, Ptep, VirtAddr};

impl PteOps for Riscv64 {
    const ATOMIC: bool = true;
    const HAVE_MOVE_TABLES: bool = true;

    /// Since shadow stacks a store, which loses what hardware has set since the entry was read. Blocks need an exchange.
    #[inline]
    fn wrprotect_pte<H: Hw>(&self, hw: &mut H, p: Ptep, old: Pte) {
        if self.rules.wrprotect_sets_read && !self.cpu.napot {
            hw.store(p, self.pte_wrprotect(old));
        } else {
            hw.update(p, old, |pte| self.pte_wrprotect(pte));
        }
    }

    /// As for one page.
    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) {
        let old = hw.load(p);
        self.wrprotect_pte(hw, p, old);
    }
}
