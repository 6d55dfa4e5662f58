//! What calls do to software entries (`mm/mprotect.c`, `mm/memory.c`, `mm/huge_memory.c`, 7.3).

use crate::fork::Copy;
use crate::mprotect::Walk;
use crate::zap::Zap;
use crate::{Kernel, MapLevel, Mm, Vma, cause};
use ptelab_pgtable::{
    Arch, Cause, Level, Pfn, Pte, PteView, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, marker, swp_type,
};

/// What fork does with a software entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    /// The child has what it gets.
    Done,
    /// The entry maps a page again: it is shared as such.
    Present,
}

/// Guards outlive their contents, as write protection of shared memory does.
fn outlives_contents(vma: &Vma, leaf: SoftLeaf) -> bool {
    leaf.is_marker(marker::GUARD) || !vma.is_anonymous() && leaf.is_marker(marker::UFFD_WP)
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// The software entry that a word is, if it is one.
    pub(crate) fn soft_view(&self, pte: Pte) -> Option<SoftLeaf> {
        match self.arch.decode(pte, Level::Pte) {
            PteView::Soft(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The word of a software entry; what the architecture has no bit for is left out (`pte_swp_mksoft_dirty`).
    pub(crate) fn soft_word(&self, mut leaf: SoftLeaf) -> Pte {
        if !self.arch.has_soft_dirty() {
            leaf.flags -= SoftFlags::SOFT_DIRTY;
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

    /// What a software entry becomes where protections change, or `None` where it stays: what is writable is so no more, and
    /// gets its permission back when its page comes back (`change_softleaf_pte`, `change_non_present_huge_pmd`).
    fn changed_softleaf(&self, leaf: SoftLeaf) -> Option<SoftLeaf> {
        let read = |ty, kept| Some(SoftLeaf { ty, flags: leaf.flags & kept, ..leaf });
        match leaf.ty {
            swp_type::MIGRATION_WRITE => {
                let anon = self.pages.is_anon(self.hw.peek_folio(Pfn::new(leaf.offset)));
                let ty = if anon { swp_type::MIGRATION_READ_EXCLUSIVE } else { swp_type::MIGRATION_READ };
                read(ty, SoftFlags::SOFT_DIRTY | SoftFlags::YOUNG | SoftFlags::DIRTY)
            }
            swp_type::DEVICE_WRITE => read(swp_type::DEVICE_READ, SoftFlags::UFFD),
            _ => None,
        }
    }

    /// Changes the protection of an entry that maps no page.
    pub(crate) fn change_nonpresent_pte(&mut self, walk: &mut Walk<'_>, addr: VirtAddr, p: Ptep, pte: Pte) {
        let (new, cause) = self.changed_nonpresent(walk, pte);
        if new == pte {
            return;
        }
        walk.pages += 1;
        self.because(cause, |kernel| {
            if kernel.arch.pte_none(new) {
                kernel.arch.pte_clear(&mut kernel.hw, addr, p);
            } else {
                kernel.arch.set_pte_at(&mut kernel.hw, addr, p, new);
            }
        });
    }

    /// The same for the entry of a huge page.
    pub(crate) fn change_nonpresent_pmd(&mut self, walk: &Walk<'_>, addr: VirtAddr, pmdp: Ptep, pmd: Pte) {
        let (new, cause) = self.changed_nonpresent(walk, pmd);
        if new != pmd {
            self.because(cause, |kernel| kernel.arch.set_pmd_at(&mut kernel.hw, addr, pmdp, new));
        }
    }

    fn changed_nonpresent(&self, walk: &Walk<'_>, pte: Pte) -> (Pte, &'static Cause) {
        let (changed, cause) = match self.soft_view(pte).and_then(|leaf| self.changed_softleaf(leaf)) {
            Some(leaf) => (self.soft_word(leaf), &cause::mprotect_softleaf),
            None => (pte, &cause::uffd_wp_softleaf),
        };
        (self.uffd_changed_nonpresent(walk.change.vma, walk.change.flags, changed), cause)
    }

    /// Gives a child what a software entry stands for; what was exclusive is shared (`copy_nonpresent_pte`).
    pub(crate) fn copy_nonpresent_pte(
        &mut self,
        child: &Mm,
        copy: &Copy<'_>,
        (src, dst): (Ptep, Ptep),
        pte: Pte,
        addr: VirtAddr,
    ) -> Forked {
        let vma = copy.vma;
        let Some(mut leaf) = self.soft_view(pte) else { return Forked::Done };
        match leaf.ty {
            swp_type::MARKER => {
                let uffd_wp = copy.keeps_uffd && leaf.is_marker(marker::UFFD_WP);
                if uffd_wp || leaf.is_marker(marker::GUARD) || leaf.is_marker(marker::POISONED) {
                    self.arch.set_pte_at(&mut self.hw, addr, dst, pte);
                }
                return Forked::Done;
            }
            swp_type::DEVICE_EXCLUSIVE => {
                self.restore_exclusive_pte(vma, src, leaf, addr);
                return Forked::Present;
            }
            swp_type::DEVICE_READ | swp_type::DEVICE_WRITE => {
                let page = Pfn::new(leaf.offset);
                let folio = self.hw.page_folio(page);
                self.pages.set_exclusive(page, 1, false);
                self.pages.map(folio, page, MapLevel::Ptes(1), child.id);
                if leaf.ty == swp_type::DEVICE_WRITE {
                    leaf =
                        SoftLeaf { ty: swp_type::DEVICE_READ, flags: leaf.flags & SoftFlags::UFFD, ..leaf };
                }
            }
            _ if leaf.is_migration() => {
                self.migration_entries(Pfn::new(leaf.offset), |entries| entries + 1);
                if vma.flags.is_cow() && leaf.ty != swp_type::MIGRATION_READ {
                    let kept = leaf.flags & (SoftFlags::SOFT_DIRTY | SoftFlags::UFFD);
                    leaf = self.shared_migration(leaf, kept);
                }
            }
            _ if leaf.is_swap() => {
                self.swap_dup(leaf);
                leaf.flags -= SoftFlags::EXCLUSIVE;
            }
            _ => {}
        }
        let word = self.soft_word(leaf);
        if word != pte {
            self.arch.set_pte_at(&mut self.hw, addr, src, word);
        }
        let word = self.forked_softleaf(copy, word);
        self.arch.set_pte_at(&mut self.hw, addr, dst, word);
        Forked::Done
    }

    /// The migration entry of a page that is shared from now on. Accessed and dirty stand in the offset, which is kept.
    fn shared_migration(&self, leaf: SoftLeaf, kept: SoftFlags) -> SoftLeaf {
        let recorded = leaf.flags & (SoftFlags::YOUNG | SoftFlags::DIRTY);
        SoftLeaf { ty: swp_type::MIGRATION_READ, flags: kept | recorded, ..leaf }
    }

    /// Gives a child the entry of a huge page that migrates (`copy_huge_non_present_pmd`).
    pub(crate) fn copy_softleaf_pmd(
        &mut self,
        copy: &Copy<'_>,
        (src, dst): (Ptep, Ptep),
        pmd: Pte,
        addr: VirtAddr,
    ) {
        let Some(leaf) = self.soft_view(pmd) else { return };
        self.migration_entries(Pfn::new(leaf.offset), |entries| entries + 1);
        let kept = leaf.flags & (SoftFlags::SOFT_DIRTY | SoftFlags::UFFD);
        let word = self.soft_word(self.shared_migration(leaf, kept));
        if word != pmd {
            self.arch.set_pmd_at(&mut self.hw, addr, src, word);
        }
        let word = self.forked_softleaf(copy, word);
        self.arch.set_pmd_at(&mut self.hw, addr, dst, word);
    }

    /// A child's entry is write-protected only where its userfaultfd is its parent's.
    fn forked_softleaf(&self, copy: &Copy<'_>, pte: Pte) -> Pte {
        if copy.keeps_uffd { pte } else { self.with_soft_flag(pte, SoftFlags::UFFD, false) }
    }

    /// Takes software entries away, neighbouring slots of swap together; returns how many entries it is done with
    /// (`zap_nonpresent_ptes`).
    pub(crate) fn zap_nonpresent(
        &mut self,
        mm: &Mm,
        vma: &Vma,
        (addr, p): (VirtAddr, Ptep),
        pte: Pte,
        max: usize,
        how: Zap,
    ) -> usize {
        let Some(leaf) = self.soft_view(pte) else { return 1 };
        let mut nr = 1;
        match leaf.ty {
            swp_type::MARKER if how != Zap::Unmap && outlives_contents(vma, leaf) => {
                self.hw.keeps(p, 1, &cause::marker_stays);
                return 1;
            }
            swp_type::DEVICE_READ | swp_type::DEVICE_WRITE | swp_type::DEVICE_EXCLUSIVE => {
                let page = Pfn::new(leaf.offset);
                let folio = self.hw.page_folio(page);
                self.pages.unmap(folio, page, MapLevel::Ptes(1), mm.id);
            }
            _ if leaf.is_migration() => {
                self.migration_entries(Pfn::new(leaf.offset), |entries| entries - 1);
            }
            _ if leaf.is_swap() => {
                nr = self.swap_pte_batch(p, leaf, max);
                self.swap_put_batch(leaf, nr);
            }
            _ => {}
        }
        self.clear_nonpresent_ptes(addr, p, nr);
        if how != Zap::Unmap {
            self.uffd_mark_zapped(vma, addr, p, leaf.flags.contains(SoftFlags::UFFD), nr);
        }
        nr
    }

    /// Frees the slots of entries that name one after the other.
    pub(crate) fn swap_put_batch(&mut self, leaf: SoftLeaf, nr: usize) {
        for i in 0..nr as u64 {
            self.swap_put(SoftLeaf { offset: leaf.offset + i, ..leaf });
        }
    }

    /// Clears entries that map nothing.
    pub(crate) fn clear_nonpresent_ptes(&mut self, addr: VirtAddr, p: Ptep, nr: usize) {
        for i in 0..nr {
            self.arch.pte_clear(&mut self.hw, addr.add(i as u64 * A::PAGE_SIZE), p.add(i));
        }
    }
}
