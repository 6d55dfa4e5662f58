//! What touches tables.

use crate::X86_64;
use crate::bits::PteBits;
use ptelab_pgtable::{EntryFormat, Hw, Level, MmuGather, Pte, PteOps, Ptep, VirtAddr};

/// Rewrites an entry with a compare-exchange, so that no bit that hardware sets meanwhile is lost. `old` is
/// what the entry was read as; returns what it held when it was replaced.
#[inline]
fn update<H: Hw>(hw: &mut H, p: Ptep, mut old: Pte, new: impl Fn(Pte) -> Pte) -> Pte {
    while let Err(now) = hw.compare_swap(p, old, new(old)) {
        old = now;
    }
    old
}

/// `arch/x86/include/asm/pgtable.h` and `arch/x86/mm/pgtable.c` (7.3), native: no paravirtual hooks.
impl PteOps for X86_64 {
    const HAVE_MOVE_TABLES: bool = true;
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;
    const ARCH_SUPPORTS_PT_RECLAIM: bool = true;
    const MMU_GATHER_MERGE_VMAS: bool = true;

    #[inline]
    fn ptep_get_and_clear<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        hw.swap(p, Pte::NONE)
    }

    /// Linux's loop over the exchange above.
    #[inline]
    fn get_and_clear_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize) -> Pte {
        let mut pte = hw.swap(p, Pte::NONE);
        let mut any = 0;
        hw.swap_run(p.add(1), nr - 1, |pte| any |= pte.0);
        if any & PteBits::DIRTY_BITS.bits() != 0 {
            pte = self.pte_mkdirty(pte);
        }
        if any & PteBits::ACCESSED.bits() != 0 {
            pte = self.pte_mkyoung(pte);
        }
        pte
    }

    #[inline]
    fn clear_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize) {
        hw.swap_run(p, nr, |_| ());
    }

    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize) {
        for i in 0..nr {
            let old = hw.load(p.add(i));
            update(hw, p.add(i), old, |pte| self.pte_wrprotect(pte));
        }
    }

    /// Linux clears the bit with a locked `btr`; here it is one compare-exchange. There is no flush.
    #[inline]
    fn ptep_test_and_clear_young<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> bool {
        let old = hw.load(p);
        self.pte_young(old) && self.pte_young(update(hw, p, old, |pte| self.pte_mkold(pte)))
    }

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

    #[inline]
    fn pmdp_get_and_clear<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        hw.swap(p, Pte::NONE)
    }

    /// Without a flush: hardware sets no bits through an entry that is not present.
    #[inline]
    fn pmdp_invalidate_ad<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        hw.swap(p, self.pmd_mkinvalid(old))
    }

    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        self.wrprotect_ptes(hw, addr, p, 1);
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

    #[inline]
    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.page_needs_flush(old, new)
    }

    #[inline]
    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.huge_page_needs_flush(old, new)
    }

    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        Self::flush_range(hw, start, end, level);
    }

    /// Linux flushes a huge page in steps of small pages, which are above the ceiling: everything goes.
    fn flush_pmd_tlb_range<H: Hw>(&self, hw: &mut H, addr: VirtAddr) {
        Self::flush_range(hw, addr, addr.add(Self::entry_size(Level::Pmd)), Level::Pte);
    }

    fn flush_tlb_mm<H: Hw>(&self, hw: &mut H) {
        Self::flush_all(hw);
    }

    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        Self::flush_gathered(hw, tlb);
    }
}
