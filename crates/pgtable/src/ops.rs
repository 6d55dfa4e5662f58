//! What touches tables. Every default is Linux's generic fallback (`include/linux/pgtable.h`, 7.3).

use crate::{Cydp, EntryFormat, Hw, Level, MmuGather, Pte, Ptep, TlbScope, Tlbi, VirtAddr};

/// Operations on the entries of user tables, single and in runs, and the TLB flushes that belong to them.
///
/// `addr` is the address that the entry at `p` maps. A run of `nr` entries never leaves its table.
pub trait PteOps: EntryFormat + Sized {
    /// Whether one gather flushes for all VMAs of a call (`CONFIG_MMU_GATHER_MERGE_VMAS`), or for each by itself.
    const MMU_GATHER_MERGE_VMAS: bool = false;

    /// Whether emptied tables may be freed while others walk (`CONFIG_MMU_GATHER_RCU_TABLE_FREE`).
    const MMU_GATHER_RCU_TABLE_FREE: bool = false;

    /// Whether kernels before 7.3 free the tables that `MADV_DONTNEED` empties (`CONFIG_ARCH_SUPPORTS_PT_RECLAIM`).
    const ARCH_SUPPORTS_PT_RECLAIM: bool = false;

    /// Whether `mremap` may move whole tables (`CONFIG_HAVE_MOVE_PMD`, `CONFIG_HAVE_MOVE_PUD`).
    const HAVE_MOVE_TABLES: bool = false;

    /// Reads an entry; where hardware keeps accessed and dirty elsewhere in its block, gathers them.
    #[inline]
    fn ptep_get<H: Hw>(&self, hw: &mut H, p: Ptep) -> Pte {
        hw.load(p)
    }

    /// How many entries from this one on are known to continue it without being read (`pte_batch_hint`).
    #[inline]
    fn pte_batch_hint(&self, p: Ptep, pte: Pte) -> usize {
        let _ = (p, pte);
        1
    }

    /// Writes `nr` entries that map consecutive frames, from `pte` on.
    #[inline]
    fn set_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte, nr: usize) {
        let _ = addr;
        hw.store_run(p, pte, self.pfn_step(pte), nr);
    }

    /// Writes one entry.
    #[inline]
    fn set_pte_at<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        self.set_ptes(hw, addr, p, pte, 1);
    }

    /// Clears one entry.
    #[inline]
    fn pte_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let _ = addr;
        hw.store(p, Pte::NONE);
    }

    /// Clears one entry and returns it.
    #[inline]
    fn ptep_get_and_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let _ = addr;
        let old = hw.load(p);
        hw.store(p, Pte::NONE);
        old
    }

    /// Clears `nr` entries and returns the first, accessed and dirty if any of them was (`get_and_clear_full_ptes`).
    #[inline]
    fn get_and_clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        let _ = addr;
        let mut merge = Merge::new(self);
        hw.take_run(p, nr, |pte| merge.add(pte));
        merge.finish()
    }

    /// Clears `nr` entries whose contents nobody needs (`clear_full_ptes`).
    #[inline]
    fn clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        let _ = addr;
        hw.take_run(p, nr, |_| ());
    }

    /// Takes write permission from `nr` entries.
    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        for i in 0..nr {
            let old = hw.load(p.add(i));
            self.set_pte_at(hw, addr.add(i as u64 * Self::PAGE_SIZE), p.add(i), self.pte_wrprotect(old));
        }
    }

    /// Makes `nr` entries old, clean, or both.
    #[inline]
    fn clear_young_dirty_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize, flags: Cydp) {
        for i in 0..nr {
            let (addr, p) = (addr.add(i as u64 * Self::PAGE_SIZE), p.add(i));
            if flags == Cydp::CLEAR_YOUNG {
                self.ptep_test_and_clear_young(hw, addr, p);
                continue;
            }
            let mut pte = self.ptep_get_and_clear(hw, addr, p);
            if flags.contains(Cydp::CLEAR_YOUNG) {
                pte = self.pte_mkold(pte);
            }
            if flags.contains(Cydp::CLEAR_DIRTY) {
                pte = self.pte_mkclean(pte);
            }
            self.set_pte_at(hw, addr, p, pte);
        }
    }

    /// Makes an entry old; says whether it was young.
    #[inline]
    fn ptep_test_and_clear_young<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> bool {
        let pte = hw.load(p);
        let young = self.pte_young(pte);
        if young {
            self.set_pte_at(hw, addr, p, self.pte_mkold(pte));
        }
        young
    }

    /// Gives an entry more permission, or accessed or dirty, after a fault; says whether anything changed. `write` tells
    /// that the fault was a write.
    #[inline]
    fn ptep_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let _ = write;
        let changed = hw.load(p) != entry;
        if changed {
            self.set_pte_at(hw, addr, p, entry);
            self.flush_tlb_page(hw, addr);
        }
        changed
    }

    /// Clears one entry, flushes its translation, and returns it.
    #[inline]
    fn ptep_clear_flush<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let old = self.ptep_get_and_clear(hw, addr, p);
        if self.pte_present(old) {
            self.flush_tlb_page(hw, addr);
        }
        old
    }

    // Huge leaves. They stand in a PMD table and map `entry_size(Level::Pmd)` bytes.

    /// Writes a huge leaf.
    #[inline]
    fn set_pmd_at<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pmd: Pte) {
        let _ = addr;
        hw.store(p, pmd);
    }

    /// Clears a huge leaf and returns it (`pmdp_huge_get_and_clear`).
    #[inline]
    fn pmdp_get_and_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let _ = addr;
        let old = hw.load(p);
        hw.store(p, Pte::NONE);
        old
    }

    /// Makes a huge leaf invalid to hardware, flushes it, and returns what it was (`pmdp_invalidate`).
    #[inline]
    fn pmdp_invalidate<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        let old = hw.swap(p, self.pmd_mkinvalid(old));
        self.flush_pmd_tlb_range(hw, addr);
        old
    }

    /// The same where the caller only cares for accessed and dirty (`pmdp_invalidate_ad`).
    #[inline]
    fn pmdp_invalidate_ad<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        self.pmdp_invalidate(hw, addr, p)
    }

    /// Takes write permission from a huge leaf.
    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let old = hw.load(p);
        self.set_pmd_at(hw, addr, p, self.pte_wrprotect(old));
    }

    /// As [`ptep_set_access_flags`](Self::ptep_set_access_flags), for a huge leaf.
    #[inline]
    fn pmdp_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let _ = write;
        let changed = hw.load(p) != entry;
        if changed {
            self.set_pmd_at(hw, addr, p, entry);
            self.flush_pmd_tlb_range(hw, addr);
        }
        changed
    }

    // TLB.

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

/// Collects accessed and dirty over a run of entries: the first entry, with what the others add.
pub struct Merge<'a, A> {
    arch: &'a A,
    first: Option<Pte>,
    dirty: bool,
    young: bool,
}

impl<'a, A: EntryFormat> Merge<'a, A> {
    /// Nothing collected yet.
    #[inline]
    pub const fn new(arch: &'a A) -> Self {
        Self { arch, first: None, dirty: false, young: false }
    }

    /// The next entry of the run.
    #[inline]
    pub fn add(&mut self, pte: Pte) {
        if self.first.is_none() {
            self.first = Some(pte);
            return;
        }
        self.dirty |= self.arch.pte_dirty(pte);
        self.young |= self.arch.pte_young(pte);
    }

    /// The merged entry; empty for an empty run.
    #[inline]
    pub fn finish(self) -> Pte {
        let mut pte = self.first.unwrap_or(Pte::NONE);
        if self.dirty {
            pte = self.arch.pte_mkdirty(pte);
        }
        if self.young {
            pte = self.arch.pte_mkyoung(pte);
        }
        pte
    }
}
