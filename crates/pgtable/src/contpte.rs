//! Contiguous blocks: page entries that hardware may keep as one translation (`arch/arm64/mm/contpte.c`, 7.3).
//!
//! A port says how many entries make a block, by which bit, and whether its kernel makes any
//! ([`has_contpte`](crate::EntryFormat::has_contpte)). Folding makes a block of entries that could be one; unfolding takes one
//! apart before a part of it changes. Callers of [`PteOps`] know nothing of either. Hardware may set accessed and dirty in any
//! entry of a block on behalf of all of them.

use crate::{Cydp, EntryBits, Event, Fpb, Hw, Pte, PteOps, Ptep, VirtAddr};

/// The causes that folding ports apply.
pub(crate) mod cause {
    crate::causes! {
        contpte_fold, "arch/arm64/mm/contpte.c:__contpte_try_fold",
            "A block of entries of one folio becomes one where they differ in frame, accessed and dirty only.";
        contpte_unfold, "arch/arm64/mm/contpte.c:__contpte_try_unfold",
            "A block is taken apart before a part of it changes, break-before-make.";
        contpte_set, "arch/arm64/mm/contpte.c:contpte_set_ptes",
            "Whole, aligned blocks of one folio are written with the contiguous bit.";
        contpte_access_flags, "arch/arm64/mm/contpte.c:contpte_ptep_set_access_flags",
            "Accessed and dirty go to all entries of a block, as hardware may look at any.";
        contpte_clear_young, "arch/arm64/mm/contpte.c:contpte_ptep_test_and_clear_young",
            "Of a block, all entries become old: age is kept by folio.";
    }
}

/// What [`PteOps`] does where there are blocks. Names are those of `contpte.c`.
pub(crate) trait ContPte: PteOps {
    /// Bytes that a block maps.
    const CONT_SIZE: u64 = (Self::CONT_PTES as u64) << Self::PAGE_SHIFT;

    /// Whether an entry is of a block.
    #[inline]
    fn pte_cont(&self, pte: Pte) -> bool {
        Self::CONT_PTES > 1 && Self::CONT.is_some_and(|bit| pte.has(bit))
    }

    /// Whether an entry is of a block that hardware sees.
    #[inline]
    fn pte_valid_cont(&self, pte: Pte) -> bool {
        let Some(bit) = Self::CONT else { return false };
        let bits = Self::VALID.word() | bit.word();
        Self::CONT_PTES > 1 && pte.0 & bits == bits
    }

    /// The entry by itself.
    #[inline]
    fn pte_mknoncont(&self, pte: Pte) -> Pte {
        Self::CONT.map_or(pte, |bit| pte.without(bit))
    }

    #[inline]
    fn pte_mkcont(&self, pte: Pte) -> Pte {
        Self::CONT.map_or(pte, |bit| pte.with(bit))
    }

    /// Whether an entry may become one of a block, neighbours apart.
    #[inline]
    fn is_foldable(&self, pte: Pte) -> bool {
        pte.has(Self::VALID) && !self.pte_cont(pte) && !pte.has(Self::SPECIAL)
    }

    /// Bits in which the entries of a block may differ: accessed and dirty.
    #[inline]
    fn block_ignore(&self) -> u64 {
        self.batch_ignore(Fpb::RESPECT_WRITE | Fpb::RESPECT_SOFT_DIRTY)
    }

    /// The entry of its block's first frame.
    #[inline]
    fn align_frame(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !((Self::CONT_PTES as u64 - 1) << Self::PFN_SHIFT))
    }

    /// Whether an entry at `addr` is the last of a block, by address and by frame. Tables are mostly written upwards, so this is
    /// when a block is likely to be complete.
    #[inline]
    fn is_last_of_block(&self, addr: VirtAddr, pte: Pte) -> bool {
        let last = Self::CONT_PTES as u64 - 1;
        (addr.get() >> Self::PAGE_SHIFT) & (pte.0 >> Self::PFN_SHIFT) & last == last
    }

    /// Makes a block if the entry just written at `p` completes one.
    #[inline]
    fn contpte_try_fold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        if self.is_last_of_block(addr, pte) && self.is_foldable(pte) {
            self.contpte_fold(hw, addr, p, pte);
        }
    }

    /// Takes the block apart that the entry at `p` is one of, if any.
    #[inline]
    fn contpte_try_unfold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let pte = hw.load(p);
        if self.pte_valid_cont(pte) {
            self.contpte_unfold(hw, addr, p, pte);
        }
    }

    /// Takes blocks apart that a run of entries covers in part: the first, the last, or both.
    #[inline]
    fn contpte_try_unfold_partial<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
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
        let first = self.align_frame(pte);
        let folio = hw.page_folio(self.pte_pfn(pte));
        let start = p.align_down(Self::CONT_PTES);
        if folio.head > self.pte_pfn(first) {
            return;
        }
        let (step, ignore) = (self.pfn_step(pte), self.block_ignore());
        if hw.match_run(start, first, step, ignore, Self::CONT_PTES) == Self::CONT_PTES {
            hw.event(Event::Fold);
            hw.because(&cause::contpte_fold, |hw| self.contpte_convert(hw, addr, p, self.pte_mkcont(pte)));
        }
    }

    /// Unfolds the block of the entry at `p`, which was read as `pte`.
    #[cold]
    #[inline(never)]
    fn contpte_unfold<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        hw.event(Event::Unfold);
        hw.because(&cause::contpte_unfold, |hw| self.contpte_convert(hw, addr, p, self.pte_mknoncont(pte)));
    }

    /// Rewrites a block after the pattern of `pte`, break-before-make. All its entries come out as accessed and dirty as any was.
    fn contpte_convert<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte) {
        let (addr, p) = (addr.align_down(Self::CONT_SIZE), p.align_down(Self::CONT_PTES));
        let mut recorded = 0;
        hw.swap_run(p, Self::EMPTY[0], Self::CONT_PTES, |old| recorded |= self.recorded(old));
        if !self.contpte_converts_live() {
            self.flush_leaves(hw, addr, addr.add(Self::CONT_SIZE));
        }
        let first = self.pte_mkrecorded(self.align_frame(pte), recorded);
        hw.store_run(p, first, self.pfn_step(pte), Self::CONT_PTES);
    }

    /// `pte`, which stands at `p`, accessed and dirty if any entry of its block is.
    #[cold]
    #[inline(never)]
    fn contpte_ptep_get<H: Hw>(&self, hw: &mut H, p: Ptep, pte: Pte) -> Pte {
        let start = p.align_down(Self::CONT_PTES);
        if self.contpte_get_stops_early() {
            return self.gather_until_found(hw, start, pte);
        }
        let mut recorded = 0;
        hw.load_run(start, Self::CONT_PTES, |other| recorded |= self.recorded(other));
        self.pte_mkrecorded(pte, recorded)
    }

    /// Gathers up to the first entry that is dirty or young, then on to the first that is the other. A dirty one is read twice: the
    /// search for a young one starts with it.
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

    /// Writes a run of entries, whole blocks as such. The caller promises that nothing is mapped there, and one folio behind it.
    ///
    /// Linux goes block by block. Since addresses and frames advance together, either every whole block is aligned in both or none
    /// is, so three runs say the same: up to the first whole block, all of those, and the rest.
    fn contpte_set_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte, nr: usize) {
        let step = self.pfn_step(pte);
        let frame = self.pte_pfn(pte).get() << Self::PAGE_SHIFT;
        let congruent = (addr.get() ^ frame) & (Self::CONT_SIZE - 1) & !(Self::PAGE_SIZE - 1) == 0;
        let may_join = pte.has(Self::VALID) || self.cont_on_invalid();
        let head = p.offset_in(Self::CONT_PTES).wrapping_neg() % Self::CONT_PTES;
        if !congruent || !may_join || nr < head + Self::CONT_PTES {
            return hw.store_run(p, pte, step, nr);
        }
        let blocks = (nr - head) / Self::CONT_PTES * Self::CONT_PTES;
        let at = |i| self.pte_advance_pfn(pte, i);
        hw.store_run(p, pte, step, head);
        hw.because(&cause::contpte_set, |hw| {
            hw.store_run(p.add(head), self.pte_mkcont(at(head)), step, blocks);
        });
        let done = head + blocks;
        hw.store_run(p.add(done), at(done), step, nr - done);
    }

    /// A run of entries widened to the blocks that it touches, where its ends are parts of blocks.
    fn contpte_align<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize) -> (Ptep, usize) {
        let mut end = p.add(nr);
        if self.pte_cont(hw.load(p.add(nr - 1))) {
            end = p.add(nr - 1).align_down(Self::CONT_PTES).add(Self::CONT_PTES);
        }
        let start = if self.pte_cont(hw.load(p)) { p.align_down(Self::CONT_PTES) } else { p };
        (start, (end.0 - start.0) as usize)
    }

    /// Takes write permission from one entry.
    #[inline]
    fn contpte_wrprotect_pte<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let mut old = hw.load(p);
        if self.pte_cont(old) {
            self.contpte_unfold(hw, addr, p, old);
            old = self.pte_mknoncont(old);
        }
        self.wrprotect_pte(hw, p, old);
    }

    /// Makes `nr` entries old, clean, or both, and with them the rest of the blocks at their ends.
    #[inline]
    fn contpte_clear_young_dirty_ptes<H: Hw>(&self, hw: &mut H, p: Ptep, nr: usize, flags: Cydp) {
        if nr == 1 && !self.pte_cont(hw.load(p)) {
            return self.clear_young_dirty_run(hw, p, 1, flags);
        }
        let (p, nr) = self.contpte_align(hw, p, nr);
        self.clear_young_dirty_run(hw, p, nr, flags);
    }

    /// Makes an entry old. Of a block, all entries are made old: the page struct keeps age by folio anyway.
    #[inline]
    fn contpte_test_and_clear_young<H: Hw>(&self, hw: &mut H, p: Ptep) -> bool {
        if !self.pte_valid_cont(hw.load(p)) {
            return self.clear_young_pte(hw, p);
        }
        let (start, nr) = self.contpte_align(hw, p, 1);
        hw.because(&cause::contpte_clear_young, |hw| {
            let mut young = false;
            for i in 0..nr {
                young |= self.clear_young_pte(hw, start.add(i));
            }
            young
        })
    }

    /// Gives the entry at `p`, one of a block, what `entry` has more. Accessed and dirty go to the whole block; a change of write
    /// permission takes it apart. Says whether there was anything to do.
    #[cold]
    #[inline(never)]
    fn contpte_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        let start = p.align_down(Self::CONT_PTES);
        let of_faults = self.block_ignore() | Self::WRITE.word();
        if hw.match_run(start, entry, 0, !of_faults, Self::CONT_PTES) == Self::CONT_PTES {
            return false;
        }
        let old = hw.load(p);
        if self.pte_write(old) != self.pte_write(entry) {
            self.contpte_unfold(hw, addr, p, old);
            self.set_access_flags_pte(hw, addr, p, entry, write);
            return true;
        }
        hw.because(&cause::contpte_access_flags, |hw| {
            for i in 0..Self::CONT_PTES {
                self.add_access_flags(hw, start.add(i), entry);
            }
            if write {
                let block = addr.align_down(Self::CONT_SIZE);
                self.flush_after_fault(hw, block, block.add(Self::CONT_SIZE), crate::Level::Pte);
            }
        });
        true
    }
}

impl<A: PteOps> ContPte for A {}
