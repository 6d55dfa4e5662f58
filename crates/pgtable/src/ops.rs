//! What touches tables. Every default is Linux's generic fallback (`include/linux/pgtable.h`, 7.3), and where the port has
//! contiguous blocks of pages, arm64's way with them ([`contpte`](crate::contpte)).

use crate::contpte::ContPte;
use crate::{Cydp, EntryBits, Hw, Level, Pte, Ptep, TlbOps, VirtAddr};

/// Operations on the entries of user tables, single and in runs.
///
/// `addr` is the address that the entry at `p` maps. A run of `nr` entries never leaves its table.
pub trait PteOps: TlbOps {
    /// Whether entries are changed with exchanges, as hardware may set bits of them at any time, and not with a load and a store as
    /// Linux's fallbacks do.
    const ATOMIC: bool = false;

    /// Whether kernels before 7.3 free the tables that `MADV_DONTNEED` empties (`CONFIG_ARCH_SUPPORTS_PT_RECLAIM`).
    const ARCH_SUPPORTS_PT_RECLAIM: bool = false;

    /// Whether the special bit of a huge leaf is looked at (`CONFIG_ARCH_SUPPORTS_PMD_PFNMAP`).
    const ARCH_SUPPORTS_PMD_PFNMAP: bool = true;

    /// Whether the architecture frees tables in its own way (`CONFIG_HAVE_ARCH_TLB_REMOVE_TABLE`): `MADV_DONTNEED` leaves emptied ones.
    const HAVE_ARCH_TLB_REMOVE_TABLE: bool = false;

    /// Whether `mremap` may move whole tables (`CONFIG_HAVE_MOVE_PMD`, `CONFIG_HAVE_MOVE_PUD`).
    const HAVE_MOVE_TABLES: bool = false;

    /// Whether large folios go to swap whole (`CONFIG_ARCH_WANTS_THP_SWAP`).
    #[inline]
    fn arch_wants_thp_swap(&self) -> bool {
        true
    }

    /// Reads an entry; where hardware keeps accessed and dirty elsewhere in its block, gathers them.
    #[inline]
    fn ptep_get<H: Hw>(&self, hw: &mut H, p: Ptep) -> Pte {
        let pte = hw.load(p);
        if self.pte_valid_cont(pte) { self.contpte_ptep_get(hw, p, pte) } else { pte }
    }

    /// How many entries from this one on are known to continue it without being read (`pte_batch_hint`).
    #[inline]
    fn pte_batch_hint(&self, p: Ptep, pte: Pte) -> usize {
        if self.pte_valid_cont(pte) { Self::CONT_PTES - p.offset_in(Self::CONT_PTES) } else { 1 }
    }

    /// Writes `nr` entries that map consecutive frames, from `pte` on.
    #[inline]
    fn set_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte, nr: usize) {
        if !self.has_contpte() {
            return hw.store_run(p, pte, self.pfn_step(pte), nr);
        }
        let pte = self.as_stored(pte);
        if nr != 1 {
            return self.contpte_set_ptes(hw, addr, p, pte, nr);
        }
        self.contpte_try_unfold(hw, addr, p);
        hw.store(p, pte);
        self.contpte_try_fold(hw, addr, p, pte);
    }

    /// What [`set_ptes`](Self::set_ptes) makes of a word: where blocks are joined, it decides on the contiguous bit, and clears it
    /// first, also where it is a bit of a software entry's offset.
    #[inline]
    fn as_stored(&self, pte: Pte) -> Pte {
        if self.has_contpte() { self.pte_mknoncont(pte) } else { pte }
    }

    /// Writes one entry.
    #[inline]
    fn set_pte_at<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        self.set_ptes(hw, addr, p, pte, 1);
    }

    /// Clears one entry.
    #[inline]
    fn pte_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        if self.has_contpte() {
            self.contpte_try_unfold(hw, addr, p);
        }
        hw.store(p, Self::EMPTY[0]);
    }

    /// Clears one entry and returns it.
    #[inline]
    fn ptep_get_and_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        if self.has_contpte() {
            self.contpte_try_unfold(hw, addr, p);
        }
        take::<Self, H>(hw, p, Self::EMPTY[0])
    }

    /// Clears `nr` entries and returns the first, accessed and dirty if any of them was (`get_and_clear_full_ptes`).
    #[inline]
    fn get_and_clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        if self.has_contpte() {
            if nr == 1 {
                return self.ptep_get_and_clear(hw, addr, p);
            }
            self.contpte_try_unfold_partial(hw, addr, p, nr);
        }
        let first = take::<Self, H>(hw, p, Self::EMPTY[0]);
        let mut recorded = 0;
        take_run::<Self, H>(hw, p.add(1), nr - 1, |pte| recorded |= self.recorded(pte));
        self.pte_mkrecorded(first, recorded)
    }

    /// Clears `nr` entries whose contents are not needed (`clear_full_ptes`).
    #[inline]
    fn clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if self.has_contpte() {
            if nr == 1 {
                self.ptep_get_and_clear(hw, addr, p);
                return;
            }
            self.contpte_try_unfold_partial(hw, addr, p, nr);
        }
        take_run::<Self, H>(hw, p, nr, |_| ());
    }

    /// Takes write permission from `nr` entries. A block whose entries all change stays folded; until the flush that follows, writes may
    /// go through or not.
    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if self.has_contpte() {
            if nr == 1 {
                return self.contpte_wrprotect_pte(hw, addr, p);
            }
            self.contpte_try_unfold_partial(hw, addr, p, nr);
        }
        for i in 0..nr {
            let old = hw.load(p.add(i));
            self.wrprotect_pte(hw, p.add(i), old);
        }
    }

    /// Makes `nr` entries old, clean, or both.
    #[inline]
    fn clear_young_dirty_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize, flags: Cydp) {
        if self.has_contpte() {
            return self.contpte_clear_young_dirty_ptes(hw, p, nr, flags);
        }
        for i in 0..nr {
            let (addr, p) = (addr.add(i as u64 * Self::PAGE_SIZE), p.add(i));
            if flags == Cydp::CLEAR_YOUNG {
                self.ptep_test_and_clear_young(hw, addr, p);
                continue;
            }
            let pte = self.ptep_get_and_clear(hw, addr, p);
            self.set_pte_at(hw, addr, p, self.pte_cleared(pte, flags));
        }
    }

    /// Makes an entry old; says whether it was young.
    #[inline]
    fn ptep_test_and_clear_young<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> bool {
        let _ = addr;
        if self.has_contpte() {
            return self.contpte_test_and_clear_young(hw, p);
        }
        self.clear_young_pte(hw, p)
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
        if !self.has_contpte() {
            return self.set_access_flags_pte(hw, addr, p, entry, write);
        }
        let entry = self.pte_mknoncont(entry);
        if self.pte_valid_cont(hw.load(p)) {
            return self.contpte_set_access_flags(hw, addr, p, entry, write);
        }
        self.set_access_flags_pte(hw, addr, p, entry, write)
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

    // One entry by itself, whatever block it is in: what the operations above are made of.

    /// An entry made old, clean, or both.
    #[inline]
    fn pte_cleared(&self, mut pte: Pte, flags: Cydp) -> Pte {
        if flags.contains(Cydp::CLEAR_YOUNG) {
            pte = self.pte_mkold(pte);
        }
        if flags.contains(Cydp::CLEAR_DIRTY) {
            pte = self.pte_mkclean(pte);
        }
        pte
    }

    /// Takes write permission from an entry that was read as `old`.
    #[inline]
    fn wrprotect_pte<H: Hw>(&self, hw: &mut H, p: Ptep, old: Pte) {
        if Self::ATOMIC {
            hw.update(p, old, |pte| self.pte_wrprotect(pte));
        } else {
            hw.store(p, self.pte_wrprotect(old));
        }
    }

    /// Makes an entry old; says whether it was young.
    #[inline]
    fn clear_young_pte<H: Hw>(&self, hw: &mut H, p: Ptep) -> bool {
        let pte = hw.load(p);
        if !self.pte_young(pte) {
            return false;
        }
        if Self::ATOMIC {
            return self.pte_young(hw.update(p, pte, |pte| self.pte_mkold(pte)));
        }
        hw.store(p, self.pte_mkold(pte));
        true
    }

    /// Writes the entry that a fault wants, and flushes what it was; says whether it was another.
    #[inline]
    fn set_access_flags_pte<H: Hw>(
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
            hw.store(p, entry);
            self.flush_tlb_page(hw, addr);
        }
        changed
    }

    // What ports with contiguous blocks are asked besides.

    /// Makes `nr` entries old, clean, or both, without a look at blocks.
    #[inline]
    fn clear_young_dirty_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize, flags: Cydp) {
        for i in 0..nr {
            let old = hw.load(p.add(i));
            hw.update(p.add(i), old, |pte| self.pte_cleared(pte, flags));
        }
    }

    /// Adds what `entry` allows and has recorded to one entry of its block.
    #[inline]
    fn add_access_flags<H: Hw>(&self, hw: &mut H, p: Ptep, entry: Pte) {
        let added = entry.0 & (self.block_ignore() | Self::WRITE.word());
        let old = hw.load(p);
        hw.update(p, old, |pte| pte.with(added));
    }

    /// Flushes leaves whose block is made or taken apart.
    #[inline]
    fn flush_leaves<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr) {
        self.flush_tlb_range(hw, start, end, Level::Pte);
    }

    /// Flushes leaves to which a fault gave more permission.
    #[inline]
    fn flush_after_fault<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        self.flush_tlb_range(hw, start, end, level);
    }

    /// Whether the size of a translation may change without break-before-make.
    #[inline]
    fn contpte_converts_live(&self) -> bool {
        false
    }

    /// Whether reading an entry of a block stops at the first that is dirty and the first that is young.
    #[inline]
    fn contpte_get_stops_early(&self) -> bool {
        false
    }

    /// Whether blocks of entries that are invalid to hardware are marked too.
    #[inline]
    fn cont_on_invalid(&self) -> bool {
        false
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
        take::<Self, H>(hw, p, Self::EMPTY[Level::Pmd as usize])
    }

    /// Takes the table of a block from where it hangs, with every translation that came by it (`pmdp_collapse_flush`).
    #[inline]
    fn pmdp_collapse_flush<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let old = self.pmdp_get_and_clear(hw, addr, p);
        self.flush_tlb_range(hw, addr, addr.add(Self::entry_size(Level::Pmd)), Level::Pte);
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

    /// Makes a huge leaf old.
    #[inline]
    fn pmdp_test_and_clear_young<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let old = hw.load(p);
        self.set_pmd_at(hw, addr, p, self.pmd_mkold(old));
    }

    /// Takes write permission from a huge leaf.
    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let old = hw.load(p);
        if Self::ATOMIC {
            hw.update(p, old, |pmd| self.pmd_wrprotect(pmd));
        } else {
            self.set_pmd_at(hw, addr, p, self.pmd_wrprotect(old));
        }
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
}

/// Clears one entry and returns it.
#[inline]
fn take<A: PteOps, H: Hw>(hw: &mut H, p: Ptep, empty: Pte) -> Pte {
    if A::ATOMIC {
        return hw.swap(p, empty);
    }
    let old = hw.load(p);
    hw.store(p, empty);
    old
}

/// Clears `nr` entries and shows each.
#[inline]
fn take_run<A: PteOps, H: Hw>(hw: &mut H, p: Ptep, nr: usize, each: impl FnMut(Pte)) {
    if A::ATOMIC { hw.swap_run(p, A::EMPTY[0], nr, each) } else { hw.take_run(p, A::EMPTY[0], nr, each) }
}
