//! TLB flushes: when one is needed, and how.

use crate::X86_64;
use crate::bits::{PFN_MASK, PKEY_MASK, PMD_PFN_MASK, PteBits};
use crate::cause;
use ptelab_pgtable::{EntryFormat, Hw, Level, MmuGather, Pte, TlbScope, Tlbi, VirtAddr};

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
    | PKEY_MASK
    | PAT_LARGE;

/// The PAT bit of a huge page, inside what is the frame number in a small page's entry.
const PAT_LARGE: u64 = 1 << 12;

impl X86_64 {
    /// `pte_needs_flush` (`arch/x86/include/asm/tlbflush.h`, 7.3). A page that became old is not worth a flush.
    #[inline]
    pub(crate) fn page_needs_flush(&self, old: Pte, new: Pte) -> bool {
        let relevant = !(PFN_MASK | PteBits::ACCESSED.bits());
        self.frame_or_bits_changed(old, new, relevant)
    }

    /// `huge_pmd_needs_flush` (`arch/x86/include/asm/tlbflush.h`, 7.3).
    #[inline]
    pub(crate) fn huge_page_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.frame_or_bits_changed(old, new, !PMD_PFN_MASK)
    }

    #[inline]
    fn frame_or_bits_changed(&self, old: Pte, new: Pte, relevant: u64) -> bool {
        if old.0 & PteBits::PRESENT.bits() == 0 {
            return false;
        }
        let diff = (old.0 ^ new.0) & relevant;
        self.pte_pfn(old) != self.pte_pfn(new)
            || diff & old.0 & FLUSH_ON_CLEAR.bits() != 0
            || diff & FLUSH_ON_CHANGE != 0
    }

    /// Flushes a range leaf by leaf, or everything (`flush_tlb_mm_range`, `arch/x86/mm/tlb.c`, 7.3).
    ///
    /// `INVLPG` drops the walk caches too, so freed tables make no difference here.
    pub(crate) fn flush_range<H: Hw>(hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let stride = Self::entry_size(level);
        if end.since(start) / stride > FLUSH_CEILING {
            return hw.because(&cause::flush_ceiling, Self::flush_all);
        }
        let leaves = end.since(start).div_ceil(stride);
        let scope = TlbScope::Range { start, end, stride };
        hw.tlbi(Tlbi { scope, level: 0, last_level: false, local: false, ops: leaves as u32 });
    }

    /// Flushes everything of the address space with one write of CR3.
    pub(crate) fn flush_all<H: Hw>(hw: &mut H) {
        hw.tlbi(Tlbi { scope: TlbScope::All, level: 0, last_level: false, local: false, ops: 1 });
    }

    /// Flushes what a call gathered, in steps of its smallest leaf (`arch/x86/include/asm/tlb.h:tlb_flush`,
    /// 7.3).
    pub(crate) fn flush_gathered<H: Hw>(hw: &mut H, tlb: &MmuGather) {
        if let Some((start, end)) = tlb.range() {
            Self::flush_range(hw, start, end, tlb.unmap_level());
        }
    }
}
