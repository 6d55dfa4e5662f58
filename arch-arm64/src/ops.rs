//! What touches tables (`arch/arm64/include/asm/pgtable.h`, 7.3): each operation in its plain form, and by way
//! of [`contpte`](crate::contpte) where a contiguous block is involved.

use crate::Granule;
use crate::bits::PteBits;
use crate::cause;
use crate::contpte::{is_valid_cont, mknoncont};
use ptelab_pgtable::{Cydp, EntryFormat, Hw, Level, Pte, PteOps, Ptep, VirtAddr};

/// What a fault may add to an entry.
const ACCESS_BITS: PteBits = PteBits::AF.union(PteBits::DBM).union(PteBits::DIRTY);

impl<const SHIFT: u32> PteOps for Granule<SHIFT> {
    const ATOMIC: bool = true;
    const HAVE_MOVE_TABLES: bool = true;

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
        let mut recorded = 0;
        hw.swap_run(p.add(1), Pte::NONE, nr - 1, |pte| recorded |= self.recorded(pte));
        self.pte_mkrecorded(first, recorded)
    }

    #[inline]
    fn clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if nr == 1 {
            self.ptep_get_and_clear(hw, addr, p);
            return;
        }
        self.contpte_try_unfold_partial(hw, addr, p, nr);
        hw.swap_run(p, Pte::NONE, nr, |_| ());
    }

    /// A block whose entries all change stays folded; until the flush that follows, writes may go through or
    /// not.
    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if nr == 1 {
            let mut old = hw.load(p);
            if old.has(PteBits::CONT) {
                self.contpte_unfold(hw, addr, p, old);
                old = mknoncont(old);
            }
            hw.update(p, old, |pte| self.pte_wrprotect(pte));
            return;
        }
        self.contpte_try_unfold_partial(hw, addr, p, nr);
        self.update_run(hw, p, nr, |pte| self.pte_wrprotect(pte));
    }

    #[inline]
    fn clear_young_dirty_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize, flags: Cydp) {
        if nr == 1 && !hw.load(p).has(PteBits::CONT) {
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
    /// Rewrites each of `nr` entries with a load and a compare-exchange.
    #[inline]
    fn update_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize, new: impl Fn(Pte) -> Pte) {
        for i in 0..nr {
            let old = hw.load(p.add(i));
            hw.update(p.add(i), old, &new);
        }
    }

    /// Makes `nr` entries old; says whether any was young (`__ptep_test_and_clear_young`).
    #[inline]
    fn clear_young_run<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize) -> bool {
        let mut young = false;
        for i in 0..nr {
            let old = hw.load(p.add(i));
            young |= self.pte_young(hw.update(p.add(i), old, |pte| self.pte_mkold(pte)));
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
        hw.update(p, old, |pte| {
            let pte = pte.with(added);
            if entry.has(PteBits::RDONLY) { pte } else { pte.without(PteBits::RDONLY) }
        });
        if let Some(level) = flush {
            self.flush_after_fault(hw, addr, addr.add(Self::entry_size(level)), level);
        }
        true
    }
}
