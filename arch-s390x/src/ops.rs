//! What touches tables (`arch/s390/mm/pgtable.c`, `arch/s390/include/asm/pgtable.h`, 7.2).
//!
//! An entry is exchanged by way of an invalid one, with the flush of its translation: at once, which is one instruction (IPTE, or IDTE
//! of a huge page; counted as the exchange and the flush that it is), or lazily, where the flush is put off until the call ends. Lazy is
//! what Linux does where no other CPU has the address space, as here. The end of an address space is no exception here: Linux takes
//! entries out with plain stores then.

use crate::bits::{PteBits, SEGMENT_INVALID};
use crate::{S390x, cause};
use ptelab_pgtable::{EntryBits, EntryFormat, Hw, Level, Pte, PteOps, Ptep, TlbScope, Tlbi, VirtAddr};

/// What makes an entry of a level invalid to hardware.
fn invalid(level: Level) -> u64 {
    if level == Level::Pte { PteBits::INVALID.word() } else { SEGMENT_INVALID }
}

impl S390x {
    /// The flush that IPTE and IDTE make of `nr` entries, with leaves of a level of their own or, behind a table, of pages. IDTE also
    /// clears what was cached of the table that an entry leads to.
    pub(crate) fn flush<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        (level, leaves): (Level, Level),
        nr: usize,
    ) {
        let end = addr.add(Self::entry_size(level) * nr as u64);
        let scope = TlbScope::Range { start: addr, end, stride: Self::entry_size(leaves) };
        hw.tlbi(Tlbi { scope, level: 0, last_level: level == Level::Pte, local: false, ops: 1 });
    }

    /// Makes an entry invalid and flushes it with the leaves that it is or leads to (`ptep_flush_direct`, `pmdp_flush_direct`). Returns
    /// what it was.
    fn flush_direct<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        (level, leaves): (Level, Level),
    ) -> Pte {
        let old = hw.load(p);
        if !old.has(invalid(level)) {
            hw.because(&cause::flush_direct, |hw| {
                hw.swap(p, old.with(invalid(level)));
                self.flush(hw, addr, (level, leaves), 1);
            });
        }
        old
    }

    /// Makes an entry invalid, and leaves the flush to the end of the call (`ptep_flush_lazy`, `pmdp_flush_lazy`). Returns what
    /// it was.
    pub(crate) fn flush_lazy<H: Hw>(&self, hw: &mut H, p: Ptep, level: Level) -> Pte {
        let old = hw.load(p);
        if !old.has(invalid(level)) {
            hw.because(&cause::flush_lazy, |hw| hw.store(p, old.with(invalid(level))));
            self.flush_mm.set();
        }
        old
    }

    /// `ptep_xchg_direct`, `pmdp_xchg_direct`.
    fn xchg_direct<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, new: Pte, level: Level) -> Pte {
        let old = self.flush_direct(hw, addr, p, (level, level));
        hw.store(p, new);
        old
    }

    /// `ptep_xchg_lazy`, `pmdp_xchg_lazy`.
    fn xchg_lazy<H: Hw>(&self, hw: &mut H, p: Ptep, new: Pte, level: Level) -> Pte {
        let old = self.flush_lazy(hw, p, level);
        hw.store(p, new);
        old
    }

    /// Whether only protection goes, and what software alone looks at changes (`pte_allow_rdp`).
    fn allows_rdp(&self, old: Pte, new: Pte) -> bool {
        let software = PteBits::PROTECT | PteBits::DIRTY | PteBits::SOFT_DIRTY | PteBits::WRITE;
        let protects = (old.has(PteBits::PROTECT), new.has(PteBits::PROTECT));
        self.cpu.rdp
            && protects == (true, false)
            && !old.has(PteBits::INVALID)
            && old.without(software) == new.without(software)
    }
}

impl PteOps for S390x {
    const ARCH_SUPPORTS_PMD_PFNMAP: bool = false;

    #[inline]
    fn arch_wants_thp_swap(&self) -> bool {
        self.rules.thp_swap
    }

    #[inline]
    fn ptep_get_and_clear<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        self.xchg_lazy(hw, p, Self::EMPTY[0], Level::Pte)
    }

    #[inline]
    fn get_and_clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        let first = self.ptep_get_and_clear(hw, addr, p);
        let others = (1..nr).map(|i| self.recorded(self.ptep_get_and_clear(hw, addr, p.add(i))));
        let recorded = others.fold(0, |all, recorded| all | recorded);
        self.pte_mkrecorded(first, recorded)
    }

    #[inline]
    fn clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        for i in 0..nr {
            self.ptep_get_and_clear(hw, addr, p.add(i));
        }
    }

    #[inline]
    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep, nr: usize) {
        for p in (0..nr).map(|i| p.add(i)) {
            let old = hw.load(p);
            if self.pte_write(old) {
                self.xchg_lazy(hw, p, self.pte_wrprotect(old), Level::Pte);
            }
        }
    }

    #[inline]
    fn ptep_test_and_clear_young<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> bool {
        let old = hw.load(p);
        self.xchg_direct(hw, addr, p, self.pte_mkold(old), Level::Pte);
        self.pte_young(old)
    }

    #[inline]
    fn ptep_set_access_flags<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, entry: Pte, _: bool) -> bool {
        let old = hw.load(p);
        if old == entry {
            return false;
        }
        if self.allows_rdp(old, entry) {
            hw.swap(p, old.without(PteBits::PROTECT));
            self.flush(hw, addr, (Level::Pte, Level::Pte), 1);
            hw.store(p, entry);
        } else {
            self.xchg_direct(hw, addr, p, entry, Level::Pte);
        }
        true
    }

    #[inline]
    fn ptep_clear_flush<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        self.xchg_direct(hw, addr, p, Self::EMPTY[0], Level::Pte)
    }

    #[inline]
    fn pmdp_get_and_clear<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        self.xchg_lazy(hw, p, Self::EMPTY[Level::Pmd as usize], Level::Pmd)
    }

    /// What the table's entries left to be flushed goes with it.
    #[inline]
    fn pmdp_collapse_flush<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        self.flush_mm.take();
        let old = self.flush_direct(hw, addr, p, (Level::Pmd, Level::Pte));
        hw.store(p, Self::EMPTY[Level::Pmd as usize]);
        old
    }

    #[inline]
    fn pmdp_invalidate<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        let old = hw.load(p);
        self.xchg_direct(hw, addr, p, self.pmd_mkinvalid(old), Level::Pmd)
    }

    #[inline]
    fn pmdp_test_and_clear_young<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let old = hw.load(p);
        self.xchg_direct(hw, addr, p, self.pmd_mkold(old), Level::Pmd);
    }

    #[inline]
    fn pmdp_set_wrprotect<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) {
        let old = hw.load(p);
        if self.pmd_write(old) {
            self.xchg_lazy(hw, p, self.pmd_wrprotect(old), Level::Pmd);
        }
    }

    /// Young, and for a write dirty, whatever the new entry says.
    #[inline]
    fn pmdp_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let entry = self.pmd_mkyoung(entry);
        let entry = if write { self.pmd_mkdirty(entry) } else { entry };
        let changed = hw.load(p) != entry;
        if changed {
            self.xchg_direct(hw, addr, p, entry, Level::Pmd);
        }
        changed
    }
}
