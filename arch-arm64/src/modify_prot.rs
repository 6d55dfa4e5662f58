//! The transaction in which a protection changes (`arch/arm64/mm/mmu.c`, 7.3).

use crate::Granule;
use crate::bits::PteBits;
use crate::cause;
use ptelab_pgtable::{EntryFormat, Hw, ModifyProt, Pte, PteOps, Ptep, VirtAddr};

impl<const SHIFT: u32> ModifyProt for Granule<SHIFT> {
    #[inline]
    fn ptep_modify_prot_start<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        self.modify_prot_start_ptes(hw, addr, p, 1)
    }

    /// CPUs with erratum 2645198 need the old translations gone before a page loses execute permission.
    #[inline]
    fn modify_prot_start_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        let old = self.get_and_clear_ptes(hw, addr, p, nr);
        if self.cpu.erratum_2645198 && self.pte_present(old) && !old.has(PteBits::UXN) {
            let end = addr.add(nr as u64 * Self::PAGE_SIZE);
            hw.because(&cause::erratum_2645198, |hw| self.flush_pages(hw, addr, end));
        }
        old
    }
}
