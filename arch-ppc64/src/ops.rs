//! What touches tables (`arch/powerpc/include/asm/book3s/64/pgtable.h`, `radix.h`, `arch/powerpc/mm/book3s64/pgtable.c`, 7.3).
//!
//! An entry is changed by a load-reserve and a store-conditional: a load and a compare-exchange here.

use crate::Radix;
use crate::bits::PteBits;
use ptelab_pgtable::{EntryFormat, Hw, Pte, PteOps, Ptep, TlbOps, VirtAddr};

/// What a fault adds to an entry.
const ACCESS_FLAGS: PteBits =
    PteBits::DIRTY.union(PteBits::SOFT_DIRTY).union(PteBits::ACCESSED).union(PteBits::RWX);

impl<const SHIFT: u32> PteOps for Radix<SHIFT> {
    const ATOMIC: bool = true;
    const ARCH_SUPPORTS_PMD_PFNMAP: bool = false;
    const HAVE_ARCH_TLB_REMOVE_TABLE: bool = true;
    const HAVE_MOVE_TABLES: bool = true;

    #[inline]
    fn arch_wants_thp_swap(&self) -> bool {
        false
    }

    #[inline]
    fn pte_clear<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) {
        hw.swap(p, Self::EMPTY[0]);
    }

    /// Entries that are not writable stay untouched.
    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize) {
        for p in (0..nr).map(|i| p.add(i)) {
            let old = hw.load(p);
            if self.pte_write(old) {
                hw.update(p, old, |pte| self.pte_wrprotect(pte));
            }
        }
    }

    /// Adds what the fault needs, in place and without a flush: hardware reads an entry again before it faults.
    #[inline]
    fn ptep_set_access_flags<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, entry: Pte, _: bool) -> bool {
        let old = hw.load(p);
        let changed = old != entry;
        if changed {
            hw.update(p, old, |pte| pte.with(entry.0 & ACCESS_FLAGS.bits()));
        }
        changed
    }

    #[inline]
    fn pmdp_invalidate<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        let old = hw.update(p, old, |pmd| self.pmd_mkinvalid(pmd));
        self.flush_pmd_tlb_range(hw, addr);
        old
    }

    /// As for one page.
    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        self.wrprotect_ptes(hw, addr, p, 1);
    }

    /// As for one page.
    #[inline]
    fn pmdp_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        self.ptep_set_access_flags(hw, addr, p, entry, write)
    }
}
