//! The transaction in which a protection changes (`arch/powerpc/mm/book3s64/pgtable.c`, `radix_pgtable.c`, 7.3).

use crate::Radix;
use ptelab_pgtable::{EntryFormat, Hw, ModifyProt, Pte, PteOps, Ptep, VirtAddr};

/// Commit is a plain store: the flush before it, where an accelerator shares the address space of a POWER9, is not needed here.
///
/// With `batch`, as no kernel has it: commit is one run of stores; and where nothing but software sets reference and change,
/// which the lock of the table keeps out, start takes a load and a plain store an entry in place of a load-reserve and a
/// store-conditional. The store keeps the transaction's promise that nobody uses the entry meanwhile, and nothing else. Where hardware
/// sets them, each entry keeps its own atomic update, as none may be lost. Neither needs a `ptesync`: a walker that reads a late
/// entry faults, and finds it then.
impl<const SHIFT: u32> ModifyProt for Radix<SHIFT> {
    const START_CLEARS: bool = false;

    #[inline]
    fn ptep_modify_prot_start<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        hw.update(p, old, |pte| self.pmd_mkinvalid(pte))
    }

    #[inline]
    fn modify_prot_start_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        let start = |hw: &mut H, i: usize| {
            if !self.cpu.batch || self.cpu.rc {
                return self.ptep_modify_prot_start(hw, addr.add(i as u64 * Self::PAGE_SIZE), p.add(i));
            }
            let old = hw.load(p.add(i));
            hw.store(p.add(i), self.pmd_mkinvalid(old));
            old
        };
        let first = start(hw, 0);
        let recorded = (1..nr).fold(0, |recorded, i| recorded | self.recorded(start(hw, i)));
        self.pte_mkrecorded(first, recorded)
    }

    #[inline]
    fn modify_prot_commit_ptes<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        old: Pte,
        new: Pte,
        nr: usize,
    ) {
        if self.cpu.batch {
            return self.set_ptes(hw, addr, p, new, nr);
        }
        for i in 0..nr {
            let (old, new) = (self.pte_advance_pfn(old, i), self.pte_advance_pfn(new, i));
            self.ptep_modify_prot_commit(hw, addr.add(i as u64 * Self::PAGE_SIZE), p.add(i), old, new);
        }
    }
}
