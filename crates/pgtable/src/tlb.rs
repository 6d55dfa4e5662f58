//! TLB flushes, and requests for them, gathered over a call (`include/asm-generic/tlb.h`, 7.3).

use crate::{EntryFormat, Hw, Level, Pte, TlbScope, Tlbi, VirtAddr};

/// The union of everything a call changed that cached translations may still show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmuGather {
    /// Range, in bytes; empty where `start >= end`.
    range: Option<(VirtAddr, VirtAddr)>,
    /// A bit for each level of entries that changed.
    cleared: u8,
    freed_tables: bool,
    fullmm: bool,
}

impl MmuGather {
    /// Of an address space that ends: nothing is flushed before all is gone, and then all at once (`tlb_gather_mmu_fullmm`).
    pub const fn fullmm() -> Self {
        Self { range: None, cleared: 0, freed_tables: false, fullmm: true }
    }

    /// Notes that translations of `len` bytes from `addr`, by leaves of `level`, may have become too generous.
    #[inline]
    pub fn flush_range(&mut self, addr: VirtAddr, len: u64, level: Level) {
        let end = addr.add(len);
        let (lo, hi) = self.range.unwrap_or((addr, end));
        self.range = Some((lo.min(addr), hi.max(end)));
        self.cleared |= 1 << level as u8;
    }

    /// Notes that a table was freed that an entry of `level` named for `addr`: one page there is flushed too, and walk caches go
    /// (`pte_free_tlb`, `pmd_free_tlb`).
    pub fn free_table(&mut self, addr: VirtAddr, page_size: u64, level: Level) {
        self.flush_range(addr, page_size, level);
        self.freed_tables = true;
    }

    /// The range to flush, if any.
    pub const fn range(&self) -> Option<(VirtAddr, VirtAddr)> {
        self.range
    }

    /// Whether tables were freed: walk caches go too.
    pub const fn freed_tables(&self) -> bool {
        self.freed_tables
    }

    /// Whether the whole address space goes.
    pub const fn is_fullmm(&self) -> bool {
        self.fullmm
    }

    /// The lowest level of entries that changed, in whose steps a range is flushed (`tlb_get_unmap_size`).
    pub const fn unmap_level(&self) -> Level {
        match self.cleared.trailing_zeros() {
            1 => Level::Pmd,
            2 => Level::Pud,
            3 => Level::P4d,
            4 => Level::Pgd,
            _ => Level::Pte,
        }
    }

    /// The level of all leaves that changed, where it is one and no table was freed (arm64's `tlb_get_level`).
    pub const fn only_level(&self) -> Option<Level> {
        if self.cleared.is_power_of_two() && !self.freed_tables { Some(self.unmap_level()) } else { None }
    }
}

/// When cached translations must go, and how. Every default is Linux's generic fallback (`include/asm-generic/tlb.h`, 7.3).
pub trait TlbOps: EntryFormat {
    /// Whether one gather flushes for all VMAs of a call (`CONFIG_MMU_GATHER_MERGE_VMAS`), or for each by itself.
    const MMU_GATHER_MERGE_VMAS: bool = false;

    /// Whether emptied tables may be freed while others walk (`CONFIG_MMU_GATHER_RCU_TABLE_FREE`).
    const MMU_GATHER_RCU_TABLE_FREE: bool = false;

    /// Whether a page's cached translation must go after its entry changed from `old` to `new`.
    #[inline]
    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        let _ = (old, new);
        true
    }

    /// Whether a huge page's cached translation must go.
    #[inline]
    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        let _ = (old, new);
        true
    }

    /// Flushes translations of a range, in bytes, of leaves of `level`.
    #[inline]
    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        let stride = Self::entry_size(level);
        let scope = TlbScope::Range { start, end, stride };
        hw.tlbi(Tlbi { scope, level: 0, last_level: false, local: false, ops: 1 });
    }

    /// Flushes the translation of one page.
    #[inline]
    fn flush_tlb_page<H: Hw>(&self, hw: &mut H, addr: VirtAddr) {
        self.flush_tlb_range(hw, addr, addr.add(Self::PAGE_SIZE), Level::Pte);
    }

    /// Flushes the translation of one huge page.
    #[inline]
    fn flush_pmd_tlb_range<H: Hw>(&self, hw: &mut H, addr: VirtAddr) {
        self.flush_tlb_range(hw, addr, addr.add(Self::entry_size(Level::Pmd)), Level::Pmd);
    }

    /// Flushes everything of an address space.
    #[inline]
    fn flush_tlb_mm<H: Hw>(&self, hw: &mut H) {
        hw.tlbi(Tlbi { scope: TlbScope::All, level: 0, last_level: false, local: false, ops: 1 });
    }

    /// Flushes what a call gathered.
    #[inline]
    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        if let Some((start, end)) = tlb.range() {
            self.flush_tlb_range(hw, start, end, tlb.unmap_level());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_unite() {
        let mut tlb = MmuGather::default();
        assert_eq!(tlb.range(), None);
        tlb.flush_range(VirtAddr::new(0x5000), 0x1000, Level::Pte);
        tlb.flush_range(VirtAddr::new(0x2000), 0x1000, Level::Pte);
        assert_eq!(tlb.range(), Some((VirtAddr::new(0x2000), VirtAddr::new(0x6000))));
        assert_eq!(tlb.only_level(), Some(Level::Pte));
    }

    /// A table that goes leaves no level to hint at, and is flushed where nothing was mapped.
    #[test]
    fn a_freed_table_is_flushed() {
        let mut tlb = MmuGather::default();
        tlb.free_table(VirtAddr::new(0x20_0000), 0x1000, Level::Pmd);
        assert_eq!(tlb.range(), Some((VirtAddr::new(0x20_0000), VirtAddr::new(0x20_1000))));
        assert_eq!((tlb.unmap_level(), tlb.only_level()), (Level::Pmd, None));
        tlb.flush_range(VirtAddr::new(0x20_3000), 0x1000, Level::Pte);
        assert_eq!((tlb.unmap_level(), tlb.only_level()), (Level::Pte, None));
    }
}
