//! What touches tables (`arch/arm64/include/asm/pgtable.h`, 7.3), contiguous blocks apart: those are the seam's.

use crate::Granule;
use crate::bits::PteBits;
use ptelab_pgtable::{Cydp, EntryFormat, Hw, Level, Pte, PteOps, Ptep, VirtAddr};

/// What a fault may add to an entry.
const ACCESS_BITS: PteBits = PteBits::AF.union(PteBits::DBM).union(PteBits::DIRTY);

impl<const SHIFT: u32> PteOps for Granule<SHIFT> {
    const ATOMIC: bool = true;
    const HAVE_MOVE_TABLES: bool = true;

    /// Where pages are of 4K (`arch/arm64/Kconfig`).
    #[inline]
    fn arch_wants_thp_swap(&self) -> bool {
        SHIFT == 12
    }

    /// Exchanged whether young or not (`__ptep_test_and_clear_young`).
    #[inline]
    fn clear_young_pte<H: Hw>(&self, hw: &mut H, p: Ptep) -> bool {
        let old = hw.load(p);
        self.pte_young(hw.update(p, old, |pte| self.pte_mkold(pte)))
    }

    #[inline]
    fn set_access_flags_pte<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        self.set_access_flags(hw, addr, p, entry, write.then_some(Level::Pte))
    }

    /// Both at once is a plain store, since no bit of hardware's can be lost then (`__clear_young_dirty_ptes`).
    #[inline]
    fn clear_young_dirty_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize, flags: Cydp) {
        for i in 0..nr {
            let old = hw.load(p.add(i));
            if flags == Cydp::all() {
                hw.store(p.add(i), self.pte_cleared(old, flags));
            } else {
                hw.update(p.add(i), old, |pte| self.pte_cleared(pte, flags));
            }
        }
    }

    #[inline]
    fn add_access_flags<H: Hw>(&self, hw: &mut H, p: Ptep, entry: Pte) {
        self.set_access_flags(hw, VirtAddr::new(0), p, entry, None);
    }

    #[inline]
    fn flush_leaves<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr) {
        self.flush_pages(hw, start, end);
    }

    /// Other CPUs may keep their stale entries: they fault and find out.
    #[inline]
    fn flush_after_fault<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        self.flush_for_fault(hw, start, end, level);
    }

    #[inline]
    fn contpte_converts_live(&self) -> bool {
        self.cpu.bbml3
    }

    #[inline]
    fn contpte_get_stops_early(&self) -> bool {
        self.rules.contpte_get_stops_early
    }

    #[inline]
    fn cont_on_invalid(&self) -> bool {
        self.rules.cont_on_invalid
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
        self.set_access_flags(hw, addr, p, entry, write.then_some(Level::Pmd))
    }
}

impl<const SHIFT: u32> Granule<SHIFT> {
    /// Adds accessed, dirty and write permission of `entry` to an entry (`__ptep_set_access_flags`), and
    /// flushes it as a leaf of `flush`, if given. Says whether the entry was another before.
    fn set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        flush: Option<Level>,
    ) -> bool {
        let old = hw.load(p);
        if old == entry {
            return false;
        }
        let added = PteBits::from_bits_retain(entry.0).intersection(ACCESS_BITS);
        hw.update(p, old, |pte| {
            let pte = pte.with(added);
            if entry.has(PteBits::RDONLY) { pte } else { pte.without(PteBits::RDONLY) }
        });
        if let Some(level) = flush {
            self.flush_for_fault(hw, addr, addr.add(Self::entry_size(level)), level);
        }
        true
    }
}
