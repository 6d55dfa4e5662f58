//! What entries say, and what they map (`include/linux/leafops.h`, `mm/memory.c`, `mm/internal.h`, 7.3).

use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, Event, FolioSpan, Fpb, Level, Pfn, Pte, PteView, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr,
    swp_type,
};

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// The page that an entry maps, for processes or for a device.
    pub(crate) fn mapped_page(&self, pte: Pte) -> Option<Pfn> {
        if self.arch.pte_present(pte) {
            return (!self.arch.pte_special(pte)).then(|| self.arch.pte_pfn(pte));
        }
        let leaf = self.soft_view(pte)?;
        let of_device = leaf.is_device_private() || leaf.ty == swp_type::DEVICE_EXCLUSIVE;
        leaf.pfn().filter(|_| of_device)
    }

    /// The page that a page's migration entry is of.
    pub(crate) fn migrating_page(&self, pte: Pte) -> Option<Pfn> {
        self.soft_view(pte).filter(|leaf| leaf.is_migration())?.pfn()
    }

    /// The folio that a present entry maps, or `None` for zero pages and raw frames (`vm_normal_folio`).
    #[inline]
    pub(crate) fn vm_normal_folio(&mut self, pte: Pte) -> Option<FolioSpan> {
        if self.arch.pte_special(pte) {
            self.hw.event(Event::SpecialEntry);
            return None;
        }
        Some(self.hw.page_folio(self.arch.pte_pfn(pte)))
    }

    /// How many entries from `p` on, at most `max`, map consecutive pages of `folio` and are alike in everything that
    /// `respect` asks for (`folio_pte_batch_flags`, `mm/internal.h`, 7.3). `pte` is the entry at `p`.
    #[inline]
    pub(crate) fn folio_pte_batch(
        &mut self,
        folio: FolioSpan,
        p: Ptep,
        pte: Pte,
        max: usize,
        respect: Fpb,
    ) -> usize {
        if folio.order == 0 {
            return 1;
        }
        let max = max.min(folio.end().since(self.arch.pte_pfn(pte)) as usize);
        let hint = self.arch.pte_batch_hint(p, pte);
        if hint == 1 && self.arch.batch_by_mask(respect) {
            let (next, step) = (self.arch.pte_advance_pfn(pte, 1), self.arch.pfn_step(pte));
            let nr = 1 + self.hw.match_run(p.add(1), next, step, self.arch.batch_ignore(respect), max - 1);
            self.hw.event(Event::BatchSteps((nr.min(max - 1)) as u32));
            return nr;
        }
        let first = self.arch.batch_clean(pte, respect);
        let (mut nr, mut steps) = (hint, 0);
        while nr < max {
            steps += 1;
            let next = self.ptep_get(p.add(nr));
            if self.arch.batch_clean(next, respect) != self.arch.pte_advance_pfn(first, nr) {
                break;
            }
            nr += self.arch.pte_batch_hint(p.add(nr), next);
        }
        self.hw.event(Event::BatchSteps(steps));
        nr.min(max)
    }

    /// The software entry that a word is, if it is one.
    pub(crate) fn soft_view(&self, pte: Pte) -> Option<SoftLeaf> {
        match self.arch.decode(pte, Level::Pte) {
            PteView::Soft(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The software entry of a huge page that a word is, if it is one.
    pub(crate) fn soft_view_pmd(&self, pmd: Pte) -> Option<SoftLeaf> {
        match self.arch.decode(pmd, Level::Pmd) {
            PteView::Soft(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The word of a huge page's software entry.
    pub(crate) fn soft_word_pmd(&self, leaf: SoftLeaf) -> Pte {
        self.arch.pte_pmd(self.soft_word(leaf))
    }

    /// A huge page's software entry with a flag set or cleared.
    pub(crate) fn with_soft_flag_pmd(&self, pmd: Pte, flag: SoftFlags, on: bool) -> Pte {
        self.arch.pte_pmd(self.with_soft_flag(self.arch.pmd_pte(pmd), flag, on))
    }

    /// The word of a software entry; what the architecture has no bit for is left out (`pte_swp_mksoft_dirty`).
    pub(crate) fn soft_word(&self, mut leaf: SoftLeaf) -> Pte {
        if !self.arch.has_soft_dirty() {
            leaf.flags -= SoftFlags::SOFT_DIRTY;
        }
        if !self.arch.pgtable_supports_uffd_wp() {
            leaf.flags -= SoftFlags::UFFD;
        }
        self.arch.soft_leaf(leaf).expect("frames and slots fit an entry")
    }

    /// A software entry with a flag set or cleared (`pte_swp_mksoft_dirty` and its like).
    pub(crate) fn with_soft_flag(&self, pte: Pte, flag: SoftFlags, on: bool) -> Pte {
        let Some(mut leaf) = self.soft_view(pte) else { return pte };
        leaf.flags.set(flag, on);
        self.soft_word(leaf)
    }

    /// Whether an entry is a marker with all of `bits`.
    pub(crate) fn is_marker(&self, pte: Pte, bits: u64) -> bool {
        self.soft_view(pte).is_some_and(|leaf| leaf.is_marker(bits))
    }

    /// Clears entries that map nothing.
    pub(crate) fn clear_nonpresent_ptes(&mut self, addr: VirtAddr, p: Ptep, nr: usize) {
        for i in 0..nr {
            self.pte_clear(addr.add(i as u64 * A::PAGE_SIZE), p.add(i));
        }
    }

    /// The folio behind a huge leaf, or `None` for the huge zero page (`vm_normal_folio_pmd`).
    pub(crate) fn vm_normal_folio_pmd(&mut self, pmd: Pte) -> Option<FolioSpan> {
        let pfn = self.arch.pmd_pfn(pmd);
        if pfn == self.pages.huge_zero().head {
            return None;
        }
        Some(self.hw.page_folio(pfn))
    }

    /// The entry that maps a zero page at `addr` in `vma`.
    pub(crate) fn zero_entry(&self, vma: &Vma, addr: VirtAddr) -> Pte {
        self.arch.pte_mkspecial(self.arch.pfn_pte(self.pages.zero_pfn(addr), vma.page_prot))
    }

    /// How many entries from `p` on, at most `max`, name one slot after the other, alike in all else (`swap_pte_batch`,
    /// `mm/internal.h`). `leaf` is the one at `p`.
    pub(crate) fn swap_pte_batch(&mut self, p: Ptep, leaf: SoftLeaf, max: usize) -> usize {
        let word = |i| self.arch.soft_leaf(SoftLeaf { offset: leaf.offset + i, ..leaf });
        let (Some(Pte(this)), Some(next)) = (word(0), word(1)) else { return 1 };
        1 + self.hw.match_run(p.add(1), next, next.0.wrapping_sub(this), 0, max - 1)
    }

    /// The page that an entry maps for processes.
    pub(crate) fn present_page(&self, pte: Pte) -> Option<Pfn> {
        let mapped = self.arch.pte_present(pte) && !self.arch.pte_special(pte);
        mapped.then(|| self.arch.pte_pfn(pte))
    }
}

#[cfg(test)]
mod tests {
    use crate::tables::tests::{Plain, at, machine};
    use ptelab_pgtable::{
        EntryFormat, FolioSpan, Fpb, Level, Pfn, Ptep, SoftFlags, SoftLeaf, VmFlags, marker, swp_type,
    };

    /// Entries for the pages of a new folio of 16, from `at` on in a new table.
    fn mapped(pt: &mut Plain, offset: usize) -> (FolioSpan, Ptep) {
        let folio = pt.alloc_folio(4).expect("there is memory");
        let table = pt.new_table(Level::Pte).add(offset);
        let prot = pt.arch.vm_get_page_prot(VmFlags::READ);
        let entry = pt.arch.pfn_pte(folio.head, prot);
        pt.set_ptes(at(0), table, entry, 16);
        (folio, table)
    }

    #[test]
    fn a_batch_ends_with_its_folio_its_range_or_its_likeness() {
        let (mut pt, _) = machine();
        let (folio, p) = mapped(&mut pt, 8);
        let batch = |pt: &mut Plain, from: usize, max, respect| {
            let pte = pt.ptep_get(p.add(from));
            pt.folio_pte_batch(folio, p.add(from), pte, max, respect)
        };
        assert_eq!(batch(&mut pt, 0, 100, Fpb::empty()), 16);
        assert_eq!(batch(&mut pt, 5, 100, Fpb::empty()), 11);
        assert_eq!(batch(&mut pt, 5, 3, Fpb::empty()), 3);
        let pte = pt.ptep_get(p.add(9));
        let written = pt.arch.pte_mkwrite(pte);
        pt.set_pte_at(at(0), p.add(9), written);
        assert_eq!(batch(&mut pt, 0, 100, Fpb::empty()), 16, "nobody asked for the write bit");
        assert_eq!(batch(&mut pt, 0, 100, Fpb::RESPECT_WRITE), 9);
        pt.pte_clear(at(0), p.add(3));
        assert_eq!(batch(&mut pt, 0, 100, Fpb::empty()), 3);
    }

    #[test]
    fn entries_say_which_page_they_stand_for() {
        let (mut pt, _) = machine();
        let (folio, p) = mapped(&mut pt, 0);
        let pte = pt.ptep_get(p.add(2));
        assert_eq!(pt.vm_normal_folio(pte), Some(folio));
        assert_eq!(
            (pt.present_page(pte), pt.mapped_page(pte)),
            (Some(folio.head.add(2)), Some(folio.head.add(2)))
        );
        let special = pt.arch.pte_mkspecial(pte);
        assert_eq!((pt.vm_normal_folio(special), pt.present_page(special)), (None, None));
        let of = |pt: &Plain, ty| pt.soft_word(SoftLeaf::of_page(ty, Pfn::new(77), SoftFlags::empty()));
        let (moving, lent) = (of(&pt, swp_type::MIGRATION_WRITE), of(&pt, swp_type::DEVICE_EXCLUSIVE));
        assert_eq!((pt.migrating_page(moving), pt.mapped_page(moving)), (Some(Pfn::new(77)), None));
        assert_eq!((pt.migrating_page(lent), pt.mapped_page(lent)), (None, Some(Pfn::new(77))));
    }

    #[test]
    fn software_entries_keep_what_flags_do_not_touch() {
        let (mut pt, _) = machine();
        let leaf = SoftLeaf { ty: 0, offset: 40, flags: SoftFlags::EXCLUSIVE };
        let word = pt.soft_word(leaf);
        let protected = pt.with_soft_flag(word, SoftFlags::UFFD, true);
        let flags = SoftFlags::EXCLUSIVE | SoftFlags::UFFD;
        assert_eq!(pt.soft_view(protected), Some(SoftLeaf { flags, ..leaf }));
        assert_eq!(pt.with_soft_flag(protected, SoftFlags::UFFD, false), word);
        assert!(pt.is_marker(pt.soft_word(SoftLeaf::UFFD_WP), marker::UFFD_WP));
        assert!(!pt.is_marker(word, 0));
        let p = pt.new_table(Level::Pte);
        for (i, offset) in [40, 41, 42, 44].into_iter().enumerate() {
            let word = pt.soft_word(SoftLeaf { offset, ..leaf });
            pt.set_pte_at(at(0), p.add(i), word);
        }
        assert_eq!(pt.swap_pte_batch(p, leaf, 8), 3);
    }
}
