//! A huge leaf becomes a table of page entries (`mm/huge_memory.c`, `__split_huge_pmd_locked`, 7.3).

use crate::cause;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Event, Level, Pfn, Pte, Ptep, SoftLeaf, TableMemory, VirtAddr};
use ptelab_uapi::Errno;

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// Splits the entry for a huge page that migrates into entries for its pages (`__split_huge_pmd_locked`).
    pub(crate) fn split_soft_pmd(&mut self, pmdp: Ptep, pmd: Pte, base: VirtAddr) {
        let Some(leaf) = self.soft_view_pmd(pmd) else { return };
        let table = self.new_table(Level::Pte);
        for i in 0..A::PTRS_PER_PTE {
            let word = self.soft_word(SoftLeaf { offset: leaf.offset + i as u64, ..leaf });
            self.set_pte_at(base.add(i as u64 * A::PAGE_SIZE), table.add(i), word);
        }
        let more = A::PTRS_PER_PTE as u64 - 1;
        self.migration_entries(Pfn::new(leaf.offset), |entries| entries + more);
        self.populate(pmdp, Level::Pmd, table);
    }

    /// Deposits a table for a later split of a huge leaf, so that splitting cannot fail
    /// (`pgtable_trans_huge_deposit`).
    pub(crate) const fn deposit_table(&mut self, mm: &mut Mm) -> Result<(), Errno> {
        let done = self.pages.charge_table();
        if done.is_ok() {
            mm.tables += 1;
        }
        done
    }

    /// Withdraws a deposited table.
    pub(crate) const fn forfeit_table(&mut self, mm: &mut Mm) {
        self.pages.uncharge_table();
        mm.tables -= 1;
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
        self.because(&cause::huge_split, |pt| pt.split_huge_pmd_locked(mm, vma, pmdp, base));
    }

    pub(crate) fn split_huge_pmd_locked(&mut self, mm: &mut Mm, vma: &Vma, pmdp: Ptep, base: VirtAddr) {
        if let PmdState::Soft(pmd) = self.pmd_state(pmdp) {
            return self.split_soft_pmd(pmdp, pmd, base);
        }
        let table = self.new_table(Level::Pte);
        let pfn = self.arch.pmd_pfn(self.hw.peek(pmdp));
        if pfn == self.pages.huge_zero().head {
            let old = self.pmdp_get_and_clear(base, pmdp);
            self.flush_pmd_tlb_range(base);
            self.fill_zero_table(vma, table, base, old);
        } else {
            let old = self.pmdp_invalidate(base, pmdp);
            self.fill_split_table(mm, vma, table, base, old);
        }
        self.populate(pmdp, Level::Pmd, table);
    }

    pub(crate) fn fill_zero_table(&mut self, vma: &Vma, table: Ptep, base: VirtAddr, old: Pte) {
        let uffd_wp = self.arch.pmd_uffd_wp(old);
        for i in 0..A::PTRS_PER_PTE {
            let addr = base.add(i as u64 * A::PAGE_SIZE);
            let entry = self.zero_entry(vma, addr);
            let entry = if uffd_wp { self.arch.pte_mkuffd_wp(entry) } else { entry };
            self.set_pte_at(addr, table.add(i), entry);
        }
    }

    pub(crate) fn fill_split_table(&mut self, mm: &Mm, vma: &Vma, table: Ptep, base: VirtAddr, old: Pte) {
        let arch = &self.arch;
        let pfn = arch.pmd_pfn(old);
        let mut entry = arch.pfn_pte(pfn, vma.page_prot);
        if arch.pmd_write(old) {
            entry = arch.pte_mkwrite(entry);
        }
        if !arch.pmd_young(old) {
            entry = arch.pte_mkold(entry);
        }
        let dirty = arch.pmd_dirty(old);
        if dirty {
            entry = arch.pte_mkdirty(entry);
        }
        if arch.pmd_soft_dirty(old) {
            entry = arch.pte_mksoft_dirty(entry);
        }
        if arch.pmd_uffd_wp(old) {
            entry = arch.pte_mkuffd_wp(entry);
        }
        let span = self.hw.page_folio(pfn);
        if dirty {
            self.pages.set_dirty(span, true);
        }
        let n = A::PTRS_PER_PTE;
        if self.pages.is_exclusive(span.head) {
            self.pages.set_exclusive(pfn, n, true);
        }
        self.set_ptes(base, table, entry, n);
        self.pages.map(span, pfn, MapLevel::Ptes(n), mm.id);
        self.pages.unmap(span, pfn, MapLevel::Pmd, mm.id);
    }
}

#[cfg(test)]
mod tests {
    use crate::mm_types::Mm;
    use crate::pages::MapLevel;
    use crate::tables::tests::{Plain, at, machine};
    use crate::tables::walk::PmdState;
    use crate::vm_area::Vma;
    use arch_generic::Generic;
    use ptelab_pgtable::{EntryFormat, FolioSpan, Level, TableMemory, VmFlags};

    const PMD: u64 = Generic::PAGE_SIZE << Generic::PMD_ORDER;

    /// A huge page that is mapped at `PMD`, its own to `mm`, dirty and read-only.
    fn huge(pt: &mut Plain, mm: &mut Mm) -> (Vma, FolioSpan) {
        let flags = VmFlags::READ | VmFlags::WRITE;
        let prot = pt.arch.vm_get_page_prot(flags);
        let vma = Vma::anonymous(at(PMD), at(2 * PMD), flags, prot, Generic::PAGE_SHIFT);
        let folio = pt.alloc_folio(Generic::PMD_ORDER).expect("there is memory");
        pt.pages.set_anon(folio, 0, vma.pgoff);
        pt.pages.map(folio, folio.head, MapLevel::Pmd, mm.id);
        pt.pages.set_exclusive(folio.head, 1, true);
        let pmdp = pt.pmd_alloc(mm, at(PMD)).expect("there is memory");
        pt.deposit_table(mm).expect("there is memory");
        let pmd = pt.arch.pmd_mkdirty(pt.arch.pfn_pmd(folio.head, prot));
        pt.set_pmd_at(at(PMD), pmdp, pmd);
        (vma, folio)
    }

    #[test]
    fn a_split_leaf_is_its_pages_one_by_one() {
        let (mut pt, mut mm) = machine();
        let (vma, folio) = huge(&mut pt, &mut mm);
        let tables = mm.tables;
        pt.split_huge_pmd_address(&mut mm, &vma, at(PMD + 5 * Generic::PAGE_SIZE));
        assert_eq!(mm.tables, tables, "the table had been put aside");
        for i in [0, 5, 511] {
            let addr = at(PMD + i * Generic::PAGE_SIZE);
            let pte = pt.hw.peek(pt.pte_offset(&mm, addr).expect("a table is there now"));
            assert_eq!(pt.arch.pte_pfn(pte), folio.head.add(i));
            assert!(pt.arch.pte_dirty(pte) && !pt.arch.pte_write(pte));
            assert!(pt.pages.is_exclusive(folio.head.add(i)));
        }
        assert_eq!((pt.pages.entire_mapcount(folio), pt.pages.folio_mapcount(folio)), (0, 512));
        assert!(pt.pages.is_dirty(folio));
        assert_eq!(pt.entry_at(&mm, at(PMD)).level, Level::Pte);
    }

    #[test]
    fn nothing_else_is_split() {
        let (mut pt, mut mm) = machine();
        let (vma, _) = huge(&mut pt, &mut mm);
        pt.split_huge_pmd_address(&mut mm, &vma, at(0));
        assert!(matches!(pt.pmd_at(&mm, at(PMD)), PmdState::Huge(_)));
        assert_eq!(pt.pmd_at(&mm, at(0)), PmdState::None);
    }
}
