//! What touches tables (`arch/loongarch/include/asm/pgtable.h`, `arch/loongarch/mm/pgtable.c`, 7.3).

use crate::{Loong64, cause};
use ptelab_pgtable::{EntryFormat, Hw, Pte, PteOps, Ptep, TlbOps, VirtAddr};

/// Nothing is an exchange: on one CPU, nothing sets bits while the kernel runs.
impl PteOps for Loong64 {
    const ARCH_SUPPORTS_PMD_PFNMAP: bool = false;

    #[inline]
    fn set_pmd_at<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, pmd: Pte) {
        hw.store(p, pmd);
        hw.because(&cause::set_pmd_flushes, |hw| self.flush_tlb_mm(hw));
    }

    #[inline]
    fn pmdp_invalidate<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        self.set_pmd_at(hw, addr, p, self.pmd_mkinvalid(old));
        self.flush_pmd_tlb_range(hw, addr);
        old
    }
}
