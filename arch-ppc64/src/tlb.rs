//! TLB flushes: when one is needed, and how (`arch/powerpc/include/asm/book3s/64/tlbflush.h`, `arch/powerpc/mm/book3s64/radix_tlb.c`,
//! 7.3).

use crate::bits::PteBits;
use crate::{Radix, cause};
use ptelab_pgtable::{EntryFormat, Hw, Level, MmuGather, Pte, TlbOps, TlbScope, Tlbi, VirtAddr};

/// Flushes of more leaves than this become one of everything (`tlb_single_page_flush_ceiling`, on all CPUs).
const FLUSH_CEILING: u64 = 33;

/// What may change without a flush, if it is added.
const FLUSH_ON_CLEAR: PteBits = PteBits::RWX.union(PteBits::DIRTY);

/// Which caches an invalidation empties (`RIC`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ric {
    /// Translations.
    Tlb,
    /// Those, and what walks left of tables.
    All,
}

impl<const SHIFT: u32> Radix<SHIFT> {
    /// Every translation of the process (`_tlbie_pid`).
    fn flush_pid<H: Hw>(hw: &mut H, ric: Ric) {
        hw.tlbi(Tlbi { scope: TlbScope::All, level: 0, last_level: ric == Ric::Tlb, local: false, ops: 1 });
    }

    /// Leaves of one size, by a `tlbie` each, or all of the process (`__radix__flush_tlb_range_psize`).
    fn flush_psize<H: Hw>(hw: &mut H, (start, end): (VirtAddr, VirtAddr), level: Level, ric: Ric) {
        let stride = Self::entry_size(level);
        let leaves = end.since(start).div_ceil(stride);
        if leaves > FLUSH_CEILING {
            return hw.because(&cause::flush_ceiling, |hw| Self::flush_pid(hw, ric));
        }
        let last_level = ric == Ric::Tlb;
        let ops = leaves as u32 + u32::from(!last_level);
        let scope = TlbScope::Range { start, end, stride };
        hw.tlbi(Tlbi { scope, level: 0, last_level, local: false, ops });
    }
}

/// An invalidation names the size of its leaves, and leaves what walks found of tables alone unless told otherwise.
impl<const SHIFT: u32> TlbOps for Radix<SHIFT> {
    const MMU_GATHER_MERGE_VMAS: bool = true;
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;

    /// Not for rights that are added, nor for a page that became old.
    #[inline]
    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        let delta = (old.0 ^ new.0) & !PteBits::ACCESSED.bits();
        self.is_valid(old) && (delta & !FLUSH_ON_CLEAR.bits() != 0 || delta & old.0 != 0)
    }

    #[inline]
    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.pte_needs_flush(old, new)
    }

    /// Where so many pages go that it may be a table's worth, which moves of tables rely on, walk caches go too.
    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let len = end.since(start);
        let many = len > FLUSH_CEILING * Self::PAGE_SIZE || len >= Self::entry_size(Level::Pmd);
        let ric = if many && level == Level::Pte { Ric::All } else { Ric::Tlb };
        Self::flush_psize(hw, (start, end), level, ric);
    }

    /// Every translation; walk caches too, as the end of a process wants it.
    fn flush_tlb_mm<H: Hw>(&self, hw: &mut H) {
        Self::flush_pid(hw, Ric::All);
    }

    /// By the size of the smallest leaves that changed; where tables went, walk caches go too (`radix__tlb_flush`).
    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        let Some(range) = tlb.range() else { return };
        if tlb.freed_tables() {
            Self::flush_psize(hw, range, Level::Pte, Ric::All);
        } else {
            Self::flush_psize(hw, range, tlb.unmap_level(), Ric::Tlb);
        }
    }
}
