//! Faults on huge pages (`mm/huge_memory.c`, 7.3).

use crate::fault::Fault;
use crate::pages::MapLevel;
use crate::{FaultError, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};
use ptelab_uapi::Signal;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Maps a huge page at an empty PMD, if the VMA may have one there and memory has one. Says whether it did; otherwise the
    /// fault goes on with single entries (`do_huge_pmd_anonymous_page`).
    pub(crate) fn create_huge_pmd(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        pmdp: Ptep,
        fault: Fault,
    ) -> Result<bool, FaultError> {
        let allowed = vma.is_anonymous()
            && self.allowed_orders(mm, vma) & 1 << A::PMD_ORDER != 0
            && Self::suitable_order(vma, fault.addr, A::PMD_ORDER);
        if !allowed {
            return Ok(false);
        }
        let anon_vma = self.anon_vma_prepare(mm, vma);
        let base = fault.addr.align_down(A::entry_size(Level::Pmd));
        self.deposit_table(mm)?;
        if fault.access == Access::Read && !self.config().is_small() {
            let entry = self.huge_zero_entry(vma);
            self.because(&cause::fault_huge_zero, |kernel| {
                kernel.hw.event(Event::Fault(FaultKind::Zero));
                kernel.arch.set_pmd_at(&mut kernel.hw, base, pmdp, entry);
            });
            return Ok(true);
        }
        let Some(folio) = self.alloc_huge(mm, vma, anon_vma, base) else {
            self.forfeit_table(mm);
            return Ok(false);
        };
        let entry = self.new_huge_entry(vma, folio.head);
        self.because(&cause::fault_huge, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::Anon));
            kernel.arch.set_pmd_at(&mut kernel.hw, base, pmdp, entry);
        });
        Ok(true)
    }

    /// A zeroed huge folio, counted as mapped by a huge leaf of `mm` at `base`.
    fn alloc_huge(&mut self, mm: &Mm, vma: &Vma, anon_vma: u32, base: VirtAddr) -> Option<FolioSpan> {
        let folio = self.alloc_folio(A::PMD_ORDER)?;
        let head = folio.head;
        self.add_new_anon_folio(vma, anon_vma, folio, base);
        self.pages.map(folio, head, MapLevel::Pmd, mm.id);
        self.pages.set_exclusive(head, 1, true);
        Some(folio)
    }

    /// The huge leaf of a folio that is new and private: dirty, and writable where the VMA is.
    pub(crate) fn new_huge_entry(&self, vma: &Vma, head: Pfn) -> Pte {
        let entry = self.arch.pmd_mkhuge(self.arch.pfn_pte(head, vma.page_prot));
        self.huge_mkwrite_dirty(vma, entry)
    }

    fn huge_mkwrite_dirty(&self, vma: &Vma, entry: Pte) -> Pte {
        let entry = self.arch.pte_mkdirty(entry);
        if vma.flags.contains(VmFlags::WRITE) { self.arch.pte_mkwrite(entry) } else { entry }
    }

    fn huge_zero_entry(&self, vma: &Vma) -> Pte {
        let entry = self.arch.pfn_pte(self.pages.huge_zero().head, vma.page_prot);
        let entry = self.arch.pmd_mkhuge(entry);
        if self.rules.huge_zero_special { self.arch.pte_mkspecial(entry) } else { entry }
    }

    /// A fault on a huge leaf. Says whether that resolved it; otherwise it was split and the fault goes on.
    pub(crate) fn huge_pmd_fault(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        pmdp: Ptep,
        pmd: Pte,
        fault: Fault,
    ) -> Result<bool, FaultError> {
        let base = fault.addr.align_down(A::entry_size(Level::Pmd));
        if self.arch.pte_protnone(pmd) {
            self.because(&cause::fault_huge_numa, |kernel| {
                kernel.do_huge_pmd_numa_page(mm, vma, pmdp, pmd, base);
            });
            return Ok(true);
        }
        if fault.access == Access::Write && !self.arch.pte_write(pmd) {
            if !vma.uffd_wp() || !self.arch.pte_uffd_wp(pmd) {
                return Ok(self.do_huge_pmd_wp_page(mm, vma, pmdp, pmd, base));
            }
            if !vma.uffd_wp_async() {
                return Err(FaultError::Signal(Signal::BUS));
            }
            self.because(&cause::uffd_async, |kernel| kernel.split_huge_pmd(mm, vma, pmdp, base));
            return Ok(false);
        }
        let write = fault.access == Access::Write;
        let entry = self.arch.pte_mkyoung(pmd);
        let entry = if write { self.arch.pte_mkdirty(entry) } else { entry };
        self.because(&cause::fault_huge_access_flags, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::AccessFlags));
            kernel.arch.pmdp_set_access_flags(&mut kernel.hw, base, pmdp, entry, write);
        });
        Ok(true)
    }

    /// A write to a huge leaf that is mapped read-only (`do_huge_pmd_wp_page`).
    fn do_huge_pmd_wp_page(&mut self, mm: &mut Mm, vma: &Vma, pmdp: Ptep, pmd: Pte, base: VirtAddr) -> bool {
        let Some(folio) = self.vm_normal_folio_pmd(pmd) else {
            return self.do_huge_zero_wp_pmd(mm, vma, pmdp, base);
        };
        let exclusive = self.pages.is_exclusive(folio.head);
        if !exclusive && self.pages.folio_ref_count(folio) > 1 {
            self.because(&cause::fault_huge_shared, |kernel| kernel.split_huge_pmd(mm, vma, pmdp, base));
            return false;
        }
        if !exclusive {
            self.folio_move_anon_rmap(vma, folio);
            self.pages.set_exclusive(folio.head, 1, true);
        }
        let entry = self.huge_mkwrite_dirty(vma, self.arch.pte_mkyoung(pmd));
        self.because(&cause::fault_huge_reuse, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::Reuse));
            kernel.arch.pmdp_set_access_flags(&mut kernel.hw, base, pmdp, entry, true);
        });
        true
    }

    /// A write to the huge zero page: a huge folio takes its place, or it is split.
    fn do_huge_zero_wp_pmd(&mut self, mm: &mut Mm, vma: &Vma, pmdp: Ptep, base: VirtAddr) -> bool {
        let anon_vma = self.anon_vma_prepare(mm, vma);
        let Some(folio) = self.alloc_huge(mm, vma, anon_vma, base) else {
            self.because(&cause::fault_huge_shared, |kernel| kernel.split_huge_pmd(mm, vma, pmdp, base));
            return false;
        };
        let entry = self.new_huge_entry(vma, folio.head);
        self.because(&cause::fault_huge_zero_write, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::Copy));
            kernel.arch.pmdp_get_and_clear(&mut kernel.hw, base, pmdp);
            kernel.arch.flush_pmd_tlb_range(&mut kernel.hw, base);
            kernel.arch.set_pmd_at(&mut kernel.hw, base, pmdp, entry);
        });
        true
    }
}
