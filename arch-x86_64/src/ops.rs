//! What touches tables (`arch/x86/include/asm/pgtable.h` and `arch/x86/mm/pgtable.c`, 7.3), native: no paravirtual
//! hooks.

use crate::X86_64;
use ptelab_pgtable::{EntryFormat, Hw, Pte, PteOps, Ptep, VirtAddr};

impl PteOps for X86_64 {
    const ATOMIC: bool = true;
    const ARCH_SUPPORTS_PT_RECLAIM: bool = true;
    const HAVE_MOVE_TABLES: bool = true;

    /// After a read there is nothing to store: hardware sets accessed by itself.
    #[inline]
    fn ptep_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        _: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let changed = hw.load(p) != entry;
        if changed && write {
            hw.store(p, entry);
        }
        changed
    }

    /// Without a flush: hardware sets no bits through an entry that is not present.
    #[inline]
    fn pmdp_invalidate_ad<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        hw.swap(p, self.pmd_mkinvalid(old))
    }

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
