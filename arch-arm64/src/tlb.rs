//! TLB flushes: when one is needed, and how (`arch/arm64/include/asm/tlbflush.h`, 7.3). Kernel page-table
//! isolation, which doubles every instruction, is not modelled.

use crate::Granule;
use crate::bits::{PteBits, SOFTWARE_BITS};
use crate::cause;
use ptelab_pgtable::{Barrier, EntryFormat, Hw, Level, MmuGather, Pte, TlbOps, TlbScope, Tlbi, VirtAddr};

/// Without range invalidation, this many instructions or more become one for the whole address space.
const fn max_dvm_ops(page_shift: u32) -> u64 {
    1 << (page_shift - 3)
}

/// Pages that the largest range instruction covers; more become one for the whole address space.
const MAX_RANGE_PAGES: u64 = range_pages(MAX_RANGE_NUM, MAX_RANGE_SCALE);
const MAX_RANGE_NUM: u64 = 31;
const MAX_RANGE_SCALE: u32 = 3;

/// Pages that a range instruction with these operands covers (Arm ARM, TLBI RVAE1IS).
const fn range_pages(num: u64, scale: u32) -> u64 {
    (num + 1) << (5 * scale + 1)
}

/// No hint.
const TTL_UNKNOWN: u8 = 0;

/// What a flush leaves in place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WalkCache {
    Kept,
    Dropped,
}

/// Whose translations a flush reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    AllCpus,
    ThisCpu,
}

/// What to invalidate: `stride` bytes a leaf, with a level hint.
#[derive(Clone, Copy)]
struct Flush {
    start: VirtAddr,
    end: VirtAddr,
    stride: u64,
    ttl: u8,
    walk_cache: WalkCache,
    reach: Reach,
}

impl Flush {
    /// A flush of leaves only, on all CPUs.
    fn leaves<A: EntryFormat>(start: VirtAddr, end: VirtAddr, level: Level) -> Self {
        let stride = A::entry_size(level);
        Self { start, end, stride, ttl: level.ttl(), walk_cache: WalkCache::Kept, reach: Reach::AllCpus }
    }
}

impl<const SHIFT: u32> TlbOps for Granule<SHIFT> {
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;

    /// `__pte_flags_need_flush`: what was invalid is not cached, and hardware does not see software's bits. Older kernels
    /// flush always.
    #[inline]
    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        !self.rules.needs_flush_arm64 || old.has(PteBits::VALID) && (old.0 ^ new.0) & !SOFTWARE_BITS != 0
    }

    #[inline]
    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.pte_needs_flush(old, new)
    }

    /// One leaf of `level` and all walk caches to it, or a range of pages without a hint.
    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let hint = if level == Level::Pte { TTL_UNKNOWN } else { level.ttl() };
        let leaves = Flush::leaves::<Self>(start, end, level);
        self.flush(hw, Flush { ttl: hint, walk_cache: WalkCache::Dropped, ..leaves });
    }

    fn flush_tlb_page<H: Hw>(&self, hw: &mut H, addr: VirtAddr) {
        self.flush_pages(hw, addr, addr.add(Self::PAGE_SIZE));
    }

    fn flush_tlb_mm<H: Hw>(&self, hw: &mut H) {
        hw.barrier(Barrier::DsbIshst);
        hw.tlbi(Tlbi { scope: TlbScope::All, level: TTL_UNKNOWN, last_level: false, local: false, ops: 1 });
        hw.barrier(Barrier::DsbIsh);
    }

    /// `arch/arm64/include/asm/tlb.h` (7.3).
    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        let Some((start, end)) = tlb.range() else { return };
        let walk_cache = if tlb.freed_tables() { WalkCache::Dropped } else { WalkCache::Kept };
        let ttl = tlb.only_level().map_or(TTL_UNKNOWN, Level::ttl);
        self.flush(hw, Flush { ttl, walk_cache, ..Flush::leaves::<Self>(start, end, tlb.unmap_level()) });
    }
}

impl<const SHIFT: u32> Granule<SHIFT> {
    /// Flushes the pages of a range, leaves only.
    pub(crate) fn flush_pages<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr) {
        self.flush(hw, Flush::leaves::<Self>(start, end, Level::Pte));
    }

    /// Flushes leaves to which a fault gave more permission, older kernels on all CPUs.
    pub(crate) fn flush_for_fault<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let reach = if self.rules.fault_flush_local { Reach::ThisCpu } else { Reach::AllCpus };
        self.flush(hw, Flush { reach, ..Flush::leaves::<Self>(start, end, level) });
    }

    fn flush<H: Hw>(&self, hw: &mut H, flush: Flush) {
        let start = flush.start.align_down(flush.stride);
        let len = flush.end.since(start).next_multiple_of(flush.stride);
        let pages = len / Self::PAGE_SIZE;
        if self.is_excessive(pages, flush.stride) {
            return hw.because(&cause::flush_excess, |hw| self.flush_tlb_mm(hw));
        }
        let local = flush.reach == Reach::ThisCpu;
        let (before, after) = match flush.reach {
            Reach::AllCpus => (Barrier::DsbIshst, Barrier::DsbIsh),
            Reach::ThisCpu => (Barrier::DsbNshst, Barrier::DsbNsh),
        };
        hw.barrier(before);
        hw.tlbi(Tlbi {
            scope: TlbScope::Range { start, end: start.add(len), stride: flush.stride },
            level: flush.ttl,
            last_level: flush.walk_cache == WalkCache::Kept,
            local,
            ops: self.ops(pages, flush.stride),
        });
        hw.barrier(after);
    }

    /// Whether a range is flushed with the whole address space (`__flush_tlb_range_limit_excess`).
    const fn is_excessive(&self, pages: u64, stride: u64) -> bool {
        if self.cpu.range_tlbi {
            pages > MAX_RANGE_PAGES
        } else {
            pages * Self::PAGE_SIZE >= max_dvm_ops(SHIFT) * stride
        }
    }

    /// Instructions that invalidate `pages` pages: one a leaf or, with range invalidation, one for every scale
    /// that has a part in the number of pages, from the largest down, and one for a last odd page.
    const fn ops(&self, mut pages: u64, stride: u64) -> u32 {
        if !self.cpu.range_tlbi {
            return (pages * Self::PAGE_SIZE / stride) as u32;
        }
        let mut ops = 0;
        let mut scale = MAX_RANGE_SCALE + 1;
        while scale > 0 {
            scale -= 1;
            let unit = range_pages(0, scale);
            if pages >= unit {
                ops += 1;
                pages %= unit;
            }
        }
        ops + pages as u32
    }
}
