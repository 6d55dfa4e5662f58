//! What touches tables (`arch/arm64/include/asm/pgtable.h`, 7.3): each operation in its plain form, and by way
//! of [`contpte`](crate::contpte) where a contiguous block is involved.

use crate::Arm64;
use crate::bits::{PteBits, clear, has, set};
use crate::cause;
use crate::contpte::{is_valid_cont, mknoncont};
use ptelab_pgtable::{Cydp, EntryFormat, Hw, Level, MmuGather, Pte, PteOps, Ptep, VirtAddr};

/// What a fault may add to an entry.
const ACCESS_BITS: PteBits = PteBits::AF.union(PteBits::DBM).union(PteBits::DIRTY);

/// Rewrites an entry with a compare-exchange, so that no bit that hardware sets meanwhile is lost. `old` is
/// what the entry was read as; returns what it held when it was replaced.
#[inline]
fn update<H: Hw>(hw: &mut H, p: Ptep, mut old: Pte, new: impl Fn(Pte) -> Pte) -> Pte {
    while let Err(now) = hw.compare_swap(p, old, new(old)) {
        old = now;
    }
    old
}

/// The union of what a run of entries records.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    bits: u64,
    hw_dirty: u64,
}

impl Seen {
    /// One more entry. Without branches, so that runs become vector code.
    #[inline]
    pub(crate) fn add(&mut self, pte: Pte) {
        const DBM_TO_RDONLY: u32 =
            PteBits::DBM.bits().trailing_zeros() - PteBits::RDONLY.bits().trailing_zeros();
        self.bits |= pte.0;
        self.hw_dirty |= (pte.0 >> DBM_TO_RDONLY) & !pte.0;
    }

    /// `pte`, dirty and young if any entry was.
    #[inline]
    pub(crate) fn merge_into(self, arch: &Arm64, mut pte: Pte) -> Pte {
        if has(Pte(self.bits), PteBits::DIRTY) || has(Pte(self.hw_dirty), PteBits::RDONLY) {
            pte = arch.pte_mkdirty(pte);
        }
        if has(Pte(self.bits), PteBits::AF) {
            pte = arch.pte_mkyoung(pte);
        }
        pte
    }
}

impl PteOps for Arm64 {
    const HAVE_MOVE_TABLES: bool = true;
    const MMU_GATHER_RCU_TABLE_FREE: bool = true;
    #[inline]
    fn ptep_get<H: Hw>(&self, hw: &mut H, p: Ptep) -> Pte {
        let pte = hw.load(p);
        if is_valid_cont(pte) { self.contpte_ptep_get(hw, p, pte) } else { pte }
    }

    #[inline]
    fn pte_batch_hint(&self, p: Ptep, pte: Pte) -> usize {
        if is_valid_cont(pte) { Self::CONT_PTES - p.offset_in(Self::CONT_PTES) } else { 1 }
    }

    #[inline]
    fn set_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte, nr: usize) {
        let pte = mknoncont(pte);
        if nr != 1 {
            return self.contpte_set_ptes(hw, addr, p, pte, nr);
        }
        self.contpte_try_unfold(hw, addr, p);
        hw.store(p, pte);
        self.contpte_try_fold(hw, addr, p, pte);
    }

    #[inline]
    fn pte_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        self.contpte_try_unfold(hw, addr, p);
        hw.store(p, Pte::NONE);
    }

    #[inline]
    fn ptep_get_and_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        self.contpte_try_unfold(hw, addr, p);
        hw.swap(p, Pte::NONE)
    }

    #[inline]
    fn get_and_clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        if nr == 1 {
            return self.ptep_get_and_clear(hw, addr, p);
        }
        self.contpte_try_unfold_partial(hw, addr, p, nr);
        let first = hw.swap(p, Pte::NONE);
        let mut seen = Seen::default();
        hw.swap_run(p.add(1), nr - 1, |pte| seen.add(pte));
        seen.merge_into(self, first)
    }

    #[inline]
    fn clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if nr == 1 {
            self.ptep_get_and_clear(hw, addr, p);
            return;
        }
        self.contpte_try_unfold_partial(hw, addr, p, nr);
        hw.swap_run(p, nr, |_| ());
    }

    /// A block whose entries all change stays folded; until the flush that follows, writes may go through or
    /// not.
    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if nr == 1 {
            let mut old = hw.load(p);
            if has(old, PteBits::CONT) {
                self.contpte_unfold(hw, addr, p, old);
                old = mknoncont(old);
            }
            update(hw, p, old, |pte| self.pte_wrprotect(pte));
            return;
        }
        self.contpte_try_unfold_partial(hw, addr, p, nr);
        self.update_run(hw, p, nr, |pte| self.pte_wrprotect(pte));
    }

    #[inline]
    fn clear_young_dirty_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize, flags: Cydp) {
        if nr == 1 && !has(hw.load(p), PteBits::CONT) {
            return self.clear_young_dirty_run(hw, p, 1, flags);
        }
        let (p, nr) = Self::contpte_align(hw, p, nr);
        self.clear_young_dirty_run(hw, p, nr, flags);
    }

    /// Of a contiguous block, all entries are made old: the page struct keeps age by folio anyway.
    #[inline]
    fn ptep_test_and_clear_young<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> bool {
        if !is_valid_cont(hw.load(p)) {
            return self.clear_young_run(hw, p, 1);
        }
        let (p, nr) = Self::contpte_align(hw, p, 1);
        hw.because(&cause::contpte_clear_young, |hw| self.clear_young_run(hw, p, nr))
    }

    #[inline]
    fn ptep_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let entry = mknoncont(entry);
        if is_valid_cont(hw.load(p)) {
            return self.contpte_set_access_flags(hw, addr, p, entry, write);
        }
        self.set_access_flags(hw, addr, p, entry, write.then_some(Level::Pte))
    }

    #[inline]
    fn pmdp_get_and_clear<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        hw.swap(p, Pte::NONE)
    }

    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) {
        self.update_run(hw, p, 1, |pmd| self.pte_wrprotect(pmd));
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

    #[inline]
    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.needs_flush(old, new)
    }

    #[inline]
    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.needs_flush(old, new)
    }

    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        self.flush_with_tables(hw, start, end, level);
    }

    fn flush_tlb_page<H: Hw>(&self, hw: &mut H, addr: VirtAddr) {
        self.flush_pages(hw, addr, addr.add(Self::PAGE_SIZE));
    }

    fn flush_tlb_mm<H: Hw>(&self, hw: &mut H) {
        Self::flush_all(hw);
    }

    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        self.flush_gathered(hw, tlb);
    }
}

impl Arm64 {
    /// Rewrites each of `nr` entries with a load and a compare-exchange.
    #[inline]
    fn update_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize, new: impl Fn(Pte) -> Pte) {
        for i in 0..nr {
            let old = hw.load(p.add(i));
            update(hw, p.add(i), old, &new);
        }
    }

    /// Makes `nr` entries old; says whether any was young (`__ptep_test_and_clear_young`).
    #[inline]
    fn clear_young_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize) -> bool {
        let mut young = false;
        for i in 0..nr {
            let old = hw.load(p.add(i));
            young |= self.pte_young(update(hw, p.add(i), old, |pte| self.pte_mkold(pte)));
        }
        young
    }

    /// Makes `nr` entries old, clean, or both (`__clear_young_dirty_ptes`). Both at once is a plain store,
    /// since no bit of hardware's can be lost then.
    fn clear_young_dirty_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize, flags: Cydp) {
        let new = |mut pte| {
            if flags.contains(Cydp::CLEAR_YOUNG) {
                pte = self.pte_mkold(pte);
            }
            if flags.contains(Cydp::CLEAR_DIRTY) {
                pte = self.pte_mkclean(pte);
            }
            pte
        };
        if flags != Cydp::all() {
            return self.update_run(hw, p, nr, new);
        }
        for i in 0..nr {
            let old = hw.load(p.add(i));
            hw.store(p.add(i), new(old));
        }
    }

    /// Adds accessed, dirty and write permission of `entry` to an entry (`__ptep_set_access_flags`), and
    /// flushes it as a leaf of `flush`, if given. Says whether the entry was another before.
    pub(crate) fn set_access_flags<H: Hw>(
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
        update(hw, p, old, |pte| {
            let pte = set(pte, added);
            if has(entry, PteBits::RDONLY) { pte } else { clear(pte, PteBits::RDONLY) }
        });
        if let Some(level) = flush {
            self.flush_after_fault(hw, addr, addr.add(Self::entry_size(level)), level);
        }
        true
    }
}
