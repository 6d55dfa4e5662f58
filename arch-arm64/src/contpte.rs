//! Contiguous blocks: entries that hardware may keep as one translation, sixteen of 4K, 128 of 16K, 32 of 64K
//! (`arch/arm64/mm/contpte.c`, 7.3).
//!
//! Folding makes a block of entries that could be one, unfolding takes one apart before a part of it
//! changes. Callers know nothing of either. Hardware may set accessed and dirty in any entry of a block on
//! behalf of all of them.

use crate::Granule;
use crate::bits::{PFN_MASK, PteBits};
use crate::cause;
use ptelab_pgtable::{EntryFormat, Event, Hw, Level, Pte, Ptep, VirtAddr};

/// Bits in which the entries of a block may differ.
const BLOCK_IGNORE: u64 = PteBits::AF.union(PteBits::DIRTY).union(PteBits::RDONLY).bits();

/// Bits that faults care for.
const FAULT_BITS: u64 = PteBits::AF.union(PteBits::DIRTY).union(PteBits::RDONLY).union(PteBits::DBM).bits();

/// Whether an entry is one of a block that hardware sees.
#[inline]
pub(crate) const fn is_valid_cont(pte: Pte) -> bool {
    let bits = PteBits::VALID.bits() | PteBits::CONT.bits();
    pte.0 & bits == bits
}

/// The entry by itself.
#[inline]
pub(crate) fn mknoncont(pte: Pte) -> Pte {
    pte.without(PteBits::CONT)
}

#[inline]
fn mkcont(pte: Pte) -> Pte {
    pte.with(PteBits::CONT)
}

/// Whether an entry may become one of a block, neighbours apart.
#[inline]
fn is_foldable(pte: Pte) -> bool {
    pte.has(PteBits::VALID) && !pte.has(PteBits::CONT.union(PteBits::SPECIAL))
}

impl<const SHIFT: u32> Granule<SHIFT> {
    /// Bytes that a block maps.
    const CONT_SIZE: u64 = (Self::CONT_PTES as u64) << SHIFT;

    /// The entry of its block's first frame.
    const fn align_frame(pte: Pte) -> Pte {
        Pte(pte.0 & !(PFN_MASK & (Self::CONT_SIZE - 1)))
    }

    /// Whether an entry at `addr` is the last of a block, by address and by frame. Tables are mostly written
    /// upwards, so this is when a block is likely to be complete.
    #[inline]
    const fn is_last_of_block(addr: VirtAddr, pte: Pte) -> bool {
        let last = Self::CONT_PTES as u64 - 1;
        (addr.get() >> SHIFT) & (pte.0 >> SHIFT) & last == last
    }

    /// Makes a block if the entry just written at `p` completes one (`contpte_try_fold`).
    #[inline]
    pub(crate) fn contpte_try_fold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        if Self::is_last_of_block(addr, pte) && is_foldable(pte) {
            self.contpte_fold(hw, addr, p, pte);
        }
    }

    /// Takes the block apart that the entry at `p` is one of, if any (`contpte_try_unfold`).
    #[inline]
    pub(crate) fn contpte_try_unfold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let pte = hw.load(p);
        if is_valid_cont(pte) {
            self.contpte_unfold(hw, addr, p, pte);
        }
    }

    /// Takes blocks apart that a run of entries covers in part: the first, the last, or both.
    #[inline]
    pub(crate) fn contpte_try_unfold_partial<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        if p.offset_in(Self::CONT_PTES) != 0 || nr < Self::CONT_PTES {
            self.contpte_try_unfold(hw, addr, p);
        }
        if p.add(nr).offset_in(Self::CONT_PTES) != 0 {
            let last = nr - 1;
            self.contpte_try_unfold(hw, addr.add(last as u64 * Self::PAGE_SIZE), p.add(last));
        }
    }

    /// Folds if one folio covers the block, and the entries differ in nothing but frames, accessed and dirty.
    #[cold]
    #[inline(never)]
    fn contpte_fold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        let first = Self::align_frame(pte);
        let folio = hw.page_folio(self.pte_pfn(pte));
        let start = p.align_down(Self::CONT_PTES);
        if folio.head > self.pte_pfn(first) {
            return;
        }
        if hw.match_run(start, first, Self::PAGE_SIZE, BLOCK_IGNORE, Self::CONT_PTES) == Self::CONT_PTES {
            hw.event(Event::Fold);
            hw.because(&cause::contpte_fold, |hw| self.contpte_convert(hw, addr, p, mkcont(pte)));
        }
    }

    /// Unfolds the block of the entry at `p`, which was read as `pte`.
    #[cold]
    #[inline(never)]
    pub(crate) fn contpte_unfold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        hw.event(Event::Unfold);
        hw.because(&cause::contpte_unfold, |hw| self.contpte_convert(hw, addr, p, mknoncont(pte)));
    }

    /// Rewrites a block after the pattern of `pte`, break-before-make. All its entries come out as accessed and
    /// dirty as any was.
    fn contpte_convert<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        let (addr, p) = (addr.align_down(Self::CONT_SIZE), p.align_down(Self::CONT_PTES));
        let mut recorded = 0;
        hw.swap_run(p, Pte::NONE, Self::CONT_PTES, |old| recorded |= self.recorded(old));
        if !self.cpu.bbml3 {
            self.flush_pages(hw, addr, addr.add(Self::CONT_SIZE));
        }
        let first = self.pte_mkrecorded(Self::align_frame(pte), recorded);
        hw.store_run(p, first, Self::PAGE_SIZE, Self::CONT_PTES);
    }

    /// `pte`, which stands at `p`, accessed and dirty if any entry of its block is.
    #[cold]
    #[inline(never)]
    pub(crate) fn contpte_ptep_get<H: Hw>(&self, hw: &mut H, p: Ptep, pte: Pte) -> Pte {
        let start = p.align_down(Self::CONT_PTES);
        if self.rules.contpte_get_stops_early {
            return self.gather_until_found(hw, start, pte);
        }
        let mut recorded = 0;
        hw.load_run(start, Self::CONT_PTES, |other| recorded |= self.recorded(other));
        self.pte_mkrecorded(pte, recorded)
    }

    /// Gathers up to the first entry that is dirty or young, then on to the first that is the other. A dirty
    /// one is read twice: the search for a young one starts with it.
    fn gather_until_found<H: Hw>(&self, hw: &mut H, start: Ptep, pte: Pte) -> Pte {
        for i in 0..Self::CONT_PTES {
            let other = hw.load(start.add(i));
            if self.pte_dirty(other) {
                let dirty = self.pte_mkdirty(pte);
                let young = (i..Self::CONT_PTES).any(|j| self.pte_young(hw.load(start.add(j))));
                return if young { self.pte_mkyoung(dirty) } else { dirty };
            }
            if self.pte_young(other) {
                let young = self.pte_mkyoung(pte);
                let dirty = (i + 1..Self::CONT_PTES).any(|j| self.pte_dirty(hw.load(start.add(j))));
                return if dirty { self.pte_mkdirty(young) } else { young };
            }
        }
        pte
    }

    /// Writes a run of entries, whole blocks as such. The caller promises that nothing is mapped there, and one
    /// folio behind it.
    ///
    /// Linux goes block by block. Since addresses and frames advance together, either every whole block is
    /// aligned in both or none is, so three runs say the same: up to the first whole block, all of those, and
    /// the rest.
    pub(crate) fn contpte_set_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte, nr: usize) {
        let congruent =
            (addr.get() ^ (pte.0 & PFN_MASK)) & (Self::CONT_SIZE - 1) & !(Self::PAGE_SIZE - 1) == 0;
        let may_join = pte.has(PteBits::VALID) || self.rules.cont_on_invalid;
        let head = p.offset_in(Self::CONT_PTES).wrapping_neg() % Self::CONT_PTES;
        if !congruent || !may_join || nr < head + Self::CONT_PTES {
            return hw.store_run(p, pte, Self::PAGE_SIZE, nr);
        }
        let blocks = (nr - head) / Self::CONT_PTES * Self::CONT_PTES;
        let at = |i| self.pte_advance_pfn(pte, i);
        hw.store_run(p, pte, Self::PAGE_SIZE, head);
        hw.because(&cause::contpte_set, |hw| {
            hw.store_run(p.add(head), mkcont(at(head)), Self::PAGE_SIZE, blocks);
        });
        let done = head + blocks;
        hw.store_run(p.add(done), at(done), Self::PAGE_SIZE, nr - done);
    }

    /// A run of entries widened to the blocks that it touches, where its ends are parts of blocks.
    pub(crate) fn contpte_align<H: Hw>(hw: &mut H, p: Ptep, nr: usize) -> (Ptep, usize) {
        let mut end = p.add(nr);
        if hw.load(p.add(nr - 1)).has(PteBits::CONT) {
            end = p.add(nr - 1).align_down(Self::CONT_PTES).add(Self::CONT_PTES);
        }
        let start = if hw.load(p).has(PteBits::CONT) { p.align_down(Self::CONT_PTES) } else { p };
        (start, (end.0 - start.0) as usize)
    }

    /// Gives the entry at `p`, one of a block, what `entry` has more. Accessed and dirty go to the whole block;
    /// a change of write permission takes it apart. Says whether there was anything to do.
    #[cold]
    #[inline(never)]
    pub(crate) fn contpte_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let start = p.align_down(Self::CONT_PTES);
        if hw.match_run(start, entry, 0, !FAULT_BITS, Self::CONT_PTES) == Self::CONT_PTES {
            return false;
        }
        let old = hw.load(p);
        if self.pte_write(old) != self.pte_write(entry) {
            self.contpte_unfold(hw, addr, p, old);
            self.set_access_flags(hw, addr, p, entry, write.then_some(Level::Pte));
            return true;
        }
        hw.because(&cause::contpte_access_flags, |hw| {
            for i in 0..Self::CONT_PTES {
                self.set_access_flags(hw, addr, start.add(i), entry, None);
            }
            if write {
                let block = addr.align_down(Self::CONT_SIZE);
                self.flush_after_fault(hw, block, block.add(Self::CONT_SIZE), Level::Pte);
            }
        });
        true
    }
}
