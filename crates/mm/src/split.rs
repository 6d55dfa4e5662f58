//! From huge to small: a PMD leaf becomes a table of entries, a large folio becomes order-0 folios
//! (`mm/huge_memory.c`, `mm/migrate.c`, 7.3).

use crate::migration::Mapped;
use crate::pages::{MapLevel, ZERO_PFN};
use crate::walk::PmdState;
use crate::{Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Arch, Event, FolioSpan, Level, Pfn, Pte, Ptep, SoftFlags, TableMemory, VirtAddr, VmFlags,
};
use ptelab_uapi::Errno;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Puts a table aside for the day that a huge leaf is split, so that splitting cannot fail
    /// (`pgtable_trans_huge_deposit`).
    pub(crate) const fn deposit_table(&mut self, mm: &mut Mm) -> Result<(), Errno> {
        let done = self.pages.charge_table();
        if done.is_ok() {
            mm.tables += 1;
        }
        done
    }

    /// Gives up a table that was put aside.
    pub(crate) const fn forfeit_table(&mut self, mm: &mut Mm) {
        self.pages.uncharge_table();
        mm.tables -= 1;
    }

    /// The folio behind a huge leaf, or `None` for the huge zero page (`vm_normal_folio_pmd`).
    pub(crate) fn vm_normal_folio_pmd(&mut self, pmd: Pte) -> Option<FolioSpan> {
        let pfn = self.arch.pte_pfn(pmd);
        if pfn == self.pages.huge_zero().head {
            return None;
        }
        Some(self.hw.page_folio(pfn))
    }

    /// Splits the huge leaf that maps `addr`, if one does.
    pub(crate) fn split_huge_pmd_address(&mut self, mm: &mut Mm, vma: &Vma, addr: VirtAddr) {
        let Ok(pmdp) = self.pmd_offset(mm, addr) else { return };
        if let PmdState::Huge(_) | PmdState::Soft(_) = self.pmd_state(pmdp) {
            self.split_huge_pmd(mm, vma, pmdp, addr);
        }
    }

    /// Splits a huge leaf into a table of page entries with the protection that `vma` has at this moment
    /// (`__split_huge_pmd_locked`).
    pub(crate) fn split_huge_pmd(&mut self, mm: &mut Mm, vma: &Vma, pmdp: Ptep, addr: VirtAddr) {
        self.hw.event(Event::HugeSplit);
        let base = addr.align_down(A::entry_size(Level::Pmd));
        self.because(&cause::huge_split, |kernel| kernel.split_huge_pmd_locked(mm, vma, pmdp, base));
    }

    fn split_huge_pmd_locked(&mut self, mm: &mut Mm, vma: &Vma, pmdp: Ptep, base: VirtAddr) {
        if let PmdState::Soft(pmd) = self.pmd_state(pmdp) {
            return self.split_soft_pmd(pmdp, pmd, base);
        }
        let table = self.hw.alloc_table();
        let pfn = self.arch.pte_pfn(self.hw.peek(pmdp));
        if pfn == self.pages.huge_zero().head {
            let old = self.arch.pmdp_get_and_clear(&mut self.hw, base, pmdp);
            self.arch.flush_pmd_tlb_range(&mut self.hw, base);
            self.fill_zero_table(vma, table, base, old);
        } else {
            let old = self.arch.pmdp_invalidate(&mut self.hw, base, pmdp);
            self.fill_split_table(mm, vma, table, base, old);
        }
        self.populate(pmdp, table);
    }

    fn fill_zero_table(&mut self, vma: &Vma, table: Ptep, base: VirtAddr, old: Pte) {
        let mut entry = self.zero_entry(vma);
        if self.arch.pte_uffd_wp(old) {
            entry = self.arch.pte_mkuffd_wp(entry);
        }
        for i in 0..A::PTRS_PER_TABLE {
            let addr = base.add(i as u64 * A::PAGE_SIZE);
            self.arch.set_pte_at(&mut self.hw, addr, table.add(i), entry);
        }
    }

    fn fill_split_table(&mut self, mm: &Mm, vma: &Vma, table: Ptep, base: VirtAddr, old: Pte) {
        let arch = &self.arch;
        let pfn = arch.pte_pfn(old);
        let mut entry = arch.pfn_pte(pfn, vma.page_prot);
        if arch.pte_write(old) {
            entry = arch.pte_mkwrite(entry);
        }
        if !arch.pte_young(old) {
            entry = arch.pte_mkold(entry);
        }
        let dirty = arch.pte_dirty(old);
        if dirty {
            entry = arch.pte_mkdirty(entry);
        }
        if arch.pte_soft_dirty(old) {
            entry = arch.pte_mksoft_dirty(entry);
        }
        if arch.pte_uffd_wp(old) {
            entry = arch.pte_mkuffd_wp(entry);
        }
        let span = self.hw.page_folio(pfn);
        if dirty {
            self.pages.set_dirty(span, true);
        }
        let n = A::PTRS_PER_TABLE;
        if self.pages.is_exclusive(span.head) {
            self.pages.set_exclusive(pfn, n, true);
        }
        self.arch.set_ptes(&mut self.hw, base, table, entry, n);
        self.pages.map(span, pfn, MapLevel::Ptes(n), mm.id);
        self.pages.unmap(span, pfn, MapLevel::Pmd, mm.id);
    }

    /// The entry that maps the zero page in `vma`.
    pub(crate) fn zero_entry(&self, vma: &Vma) -> Pte {
        self.arch.pte_mkspecial(self.arch.pfn_pte(ZERO_PFN, vma.page_prot))
    }

    /// Makes a large folio that only `mm` maps order-0 folios (`split_folio`).
    pub(crate) fn split_folio(&mut self, mm: &mut Mm, folio: FolioSpan) {
        self.split_mapped(&mut [mm], Split { folio, order: 0, fails: None });
    }

    /// Takes a large folio apart that only `mms` map. Every mapping is taken down as for a migration, and put back for the parts, one
    /// entry at a time; parts that nobody maps are freed.
    pub fn split_mapped(&mut self, mms: &mut [&mut Mm], split: Split) {
        self.pages.hold(split.folio);
        self.because(&cause::folio_split, |kernel| {
            let unmapped: Vec<Vec<Moved>> =
                mms.iter_mut().map(|mm| kernel.unmap_folio(mm, split.folio)).collect();
            kernel.pages.split(&mut kernel.hw, split.folio, split.order);
            for (mm, unmapped) in mms.iter().zip(&unmapped) {
                kernel.remap_folio(mm, split, unmapped);
            }
        });
        for part in split.folio.parts(split.order) {
            self.pages.release_hold(part);
        }
    }

    /// The folio that is mapped at an address and that a write to debugfs's `split_huge_pages` would split into folios of an
    /// order. Where there is no larger folio, there is nothing to do, nor for order 1, which anonymous memory does not have.
    pub fn folio_to_split(&mut self, mm: &Mm, addr: VirtAddr, order: u32) -> Option<FolioSpan> {
        let pte = self.entry_at(mm, addr).pte;
        if order == 1 || !self.arch.pte_present(pte) || self.arch.pte_special(pte) {
            return None;
        }
        let folio = self.hw.page_folio(self.arch.pte_pfn(pte));
        (folio != self.pages.huge_zero() && folio.order > order).then_some(folio)
    }

    /// Takes down what maps a folio in `mm`.
    fn unmap_folio(&mut self, mm: &mut Mm, folio: FolioSpan) -> Vec<Moved> {
        for (vma, addr) in self.folio_addresses(mm, folio) {
            self.split_huge_pmd_address(mm, &vma, addr);
        }
        let unmapped = self.unmap_for_move(mm, folio);
        for entry in &unmapped {
            self.pages.unmap(folio, entry.pfn, MapLevel::Ptes(1), mm.id);
        }
        unmapped
    }

    /// Puts back, for the parts, what was taken down in `mm`, one entry at a time (`remap_page`).
    fn remap_folio(&mut self, mm: &Mm, split: Split, unmapped: &[Moved]) {
        for entry in unmapped {
            let locked = entry.vma.flags.contains(VmFlags::LOCKED);
            let stays = locked || split.order > 0 || split.fails == Some(entry.pfn);
            if !stays && self.pages.is_zero_filled(entry.pfn) {
                self.map_unused_to_zeropage(mm, entry);
            } else {
                let part = self.hw.peek_folio(entry.pfn);
                self.pages.map(part, entry.pfn, MapLevel::Ptes(1), mm.id);
                self.restore_moved(mm, entry, entry.pfn);
            }
        }
    }

    /// A page of a split folio that nobody wrote anything but zeros to: the zero page takes its place, and it is freed
    /// (`try_to_map_unused_to_zeropage`).
    fn map_unused_to_zeropage(&mut self, mm: &Mm, moved: &Moved) {
        let mut entry = self.zero_entry(&moved.vma);
        if self.rules.split_zeropage_keeps_soft_dirty {
            let leaf = self.migration_leaf_of(moved.old, moved.pfn, moved.exclusive);
            if leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
                entry = self.arch.pte_mksoft_dirty(entry);
            }
            if leaf.flags.contains(SoftFlags::UFFD) {
                entry = self.arch.pte_mkuffd_wp(entry);
            }
        }
        let p = self.pte_offset(mm, moved.addr).expect("the entry's table is still there");
        self.because(&cause::split_zeropage, |kernel| {
            kernel.arch.set_pte_at(&mut kernel.hw, moved.addr, p, entry);
        });
    }

    /// Where a folio's first page would be mapped, in each VMA of `mm` that may map it.
    pub(crate) fn folio_addresses(&self, mm: &Mm, span: FolioSpan) -> Vec<(Vma, VirtAddr)> {
        let (owner, index) = self.pages.owner(span);
        let pages = span.nr_pages() as u64;
        let anon = self.pages.is_anon(span);
        mm.vmas
            .iter()
            .filter(|vma| if anon { vma.chain.contains(&owner) } else { vma.object == Some(owner) })
            .filter_map(|vma| {
                let end = vma.pgoff + (vma.len() >> A::PAGE_SHIFT);
                let first = index.max(vma.pgoff);
                let addr = vma.start.add(first.wrapping_sub(vma.pgoff) << A::PAGE_SHIFT);
                (first < end.min(index + pages)).then(|| (vma.clone(), addr))
            })
            .collect()
    }

    /// Takes down all of `mm`'s page entries of a folio, as `try_to_migrate` does, and returns what they were.
    pub(crate) fn unmap_for_move(&mut self, mm: &Mm, span: FolioSpan) -> Vec<Moved> {
        let mut moved = Vec::new();
        for (vma, entries) in self.folio_entries(mm, span, Self::mapped_page) {
            for Mapped { addr, p, pte, pfn } in entries {
                let old = self.take_down(span, addr, p, pte);
                let exclusive = self.pages.is_exclusive(pfn);
                moved.push(Moved { vma: vma.clone(), addr, pfn, old, exclusive });
            }
        }
        moved
    }

    /// Puts one entry back, for the page that is in `pfn` now (`remove_migration_pte`). What a migration entry does not
    /// carry is lost: the protection is the VMA's own again, and a device that had the page alone has it no more.
    pub(crate) fn restore_moved(&mut self, mm: &Mm, moved: &Moved, pfn: Pfn) {
        let leaf = self.migration_leaf_of(moved.old, moved.pfn, moved.exclusive);
        let pte = self.migrated_pte(&moved.vma, leaf, pfn);
        self.pages.set_exclusive(pfn, 1, moved.exclusive);
        let p = self.pte_offset(mm, moved.addr).expect("the entry's table is still there");
        self.arch.set_pte_at(&mut self.hw, moved.addr, p, pte);
    }
}

/// A large folio that is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The folio.
    pub folio: FolioSpan,
    /// Order of its parts.
    pub order: u32,
    /// The page for whose failure it is, which stays mapped though it may hold only zeros.
    pub fails: Option<Pfn>,
}

/// An entry that was taken down to be put back.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) vma: Vma,
    pub(crate) addr: VirtAddr,
    pub(crate) pfn: Pfn,
    pub(crate) old: Pte,
    pub(crate) exclusive: bool,
}
