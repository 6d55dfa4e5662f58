//! TLB flushes: when one is needed, and how.

use crate::X86_64;
use crate::bits::{PFN_MASK, PKEY, PMD_PFN_MASK, PteBits};
use crate::cause;
use ptelab_pgtable::{EntryFormat, Hw, Level, Pte, TlbOps, TlbScope, Tlbi, VirtAddr};

/// Flushes of more leaves than this become one of everything (`tlb_single_page_flush_ceiling`, 7.3).
const FLUSH_CEILING: u64 = 33;

/// A cached translation may allow what the entry no longer does once one of these was cleared. Setting them
/// needs no flush: hardware reads the entry again before it relies on a bit that is clear.
const FLUSH_ON_CLEAR: PteBits = PteBits::PRESENT.union(PteBits::ACCESSED).union(PteBits::DIRTY);

/// A flush is needed once one of these changed either way.
const FLUSH_ON_CHANGE: u64 = PteBits::RW
    .union(PteBits::USER)
    .union(PteBits::PWT)
    .union(PteBits::PCD)
    .union(PteBits::PSE)
    .union(PteBits::PROTNONE)
    .union(PteBits::NX)
    .bits()
    | PKEY.mask
    | PAT_LARGE;

/// The PAT bit of a huge page, inside what is the frame number in a small page's entry.
const PAT_LARGE: u64 = 1 << 12;

impl X86_64 {
    #[inline]
    fn frame_or_bits_changed(&self, old: Pte, new: Pte, relevant: u64) -> bool {
        if !old.has(PteBits::PRESENT) {
            return false;
        }
        let diff = (old.0 ^ new.0) & relevant;
        self.pte_pfn(old) != self.pte_pfn(new)
            || diff & old.0 & FLUSH_ON_CLEAR.bits() != 0
            || diff & FLUSH_ON_CHANGE != 0
    }
}

/// `arch/x86/include/asm/tlbflush.h`, `arch/x86/mm/tlb.c` (7.3). `INVLPG` drops the walk caches too, so freed tables make no
/// difference.
impl TlbOps for X86_64 {
    const MMU_GATHER_MERGE_VMAS: bool = true;
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;

    /// A page that became old is not worth a flush.
    #[inline]
    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.frame_or_bits_changed(old, new, !(PFN_MASK | PteBits::ACCESSED.bits()))
    }

    #[inline]
    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.frame_or_bits_changed(old, new, !PMD_PFN_MASK)
    }

    /// Leaf by leaf, or everything with one write of CR3 (`flush_tlb_mm_range`).
    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let stride = Self::entry_size(level);
        if end.since(start) / stride > FLUSH_CEILING {
            return hw.because(&cause::flush_ceiling, |hw| self.flush_tlb_mm(hw));
        }
        let leaves = end.since(start).div_ceil(stride);
        let scope = TlbScope::Range { start, end, stride };
        hw.tlbi(Tlbi { scope, level: 0, last_level: false, local: false, ops: leaves as u32 });
    }

    /// Linux flushes a huge page in steps of small pages, which are above the ceiling: everything goes.
    fn flush_pmd_tlb_range<H: Hw>(&self, hw: &mut H, addr: VirtAddr) {
        self.flush_tlb_range(hw, addr, addr.add(Self::entry_size(Level::Pmd)), Level::Pte);
    }
}
