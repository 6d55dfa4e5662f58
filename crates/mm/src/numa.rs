//! NUMA balancing: hinting protection and hint faults (`mm/mempolicy.c`, `mm/memory.c`, 7.3).

use crate::fault::Fault;
use crate::{CPU_NODE, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{Arch, Event, FaultKind, FolioSpan, Level, Pte, Ptep, TableMemory, VirtAddr, VmFlags};

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// One pass of the NUMA scanner over a range: pages that a hint fault could move to this CPU's node become inaccessible.
    /// Returns the pages looked at (`task_numa_work`).
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn numa_scan(&mut self, mm: &mut Mm, start: VirtAddr, len: u64) -> u64 {
        let Some(end) = Self::page_end(start.align_down(A::PAGE_SIZE), len) else { return 0 };
        let start = start.align_down(A::PAGE_SIZE);
        let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
        vmas.iter()
            // Shared memory has a policy of its own, which does not ask for balancing (`vma_policy_mof`).
            .filter(|vma| vma.flags.intersects(VmFlags::ACCESS) && vma.is_anonymous())
            .map(|vma| self.change_prot_numa(mm, vma, vma.start.max(start), vma.end.min(end)))
            .sum()
    }

    /// Whether NUMA hinting passes over an entry, and the entry's folio where that was looked up (`prot_numa_skip`,
    /// `mm/mprotect.c`, 6.17).
    pub(crate) fn prot_numa_skip(&mut self, vma: &Vma, pte: Pte) -> (bool, Option<FolioSpan>) {
        if self.arch.pte_protnone(pte) {
            return (true, None);
        }
        let folio = self.vm_normal_folio(pte);
        (!folio.is_some_and(|folio| self.folio_can_map_prot_numa(vma, folio)), folio)
    }

    /// Whether NUMA hinting passes over a huge leaf.
    pub(crate) fn numa_skip_huge(&mut self, vma: &Vma, pmdp: Ptep) -> bool {
        let pmd = self.hw.load(pmdp);
        if self.arch.pte_protnone(pmd) {
            return true;
        }
        let Some(folio) = self.vm_normal_folio_pmd(pmd) else { return true };
        self.rules.numa_skips_huge_leaves && !self.folio_can_map_prot_numa(vma, folio)
    }

    /// Whether a hint fault could do anything for this folio: not where another process shares it, nor where it is on the CPU's
    /// node already (processes here have one thread).
    fn folio_can_map_prot_numa(&self, vma: &Vma, folio: FolioSpan) -> bool {
        let shared_cow = vma.flags.is_cow() && self.pages.maybe_mapped_shared(folio);
        !shared_cow && self.pages.node(folio) != CPU_NODE
    }

    /// A hint fault: the folio moves to this CPU's node, or its entries become accessible again (`do_numa_page`).
    pub(crate) fn do_numa_page(&mut self, mm: &mut Mm, vma: &Vma, p: Ptep, pte: Pte, fault: Fault) {
        let folio = self.vm_normal_folio(pte);
        let restored = self.arch.pte_modify(pte, vma.page_prot);
        let writable = self.could_be_writable(vma, restored);
        self.because(&cause::fault_numa, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::Numa));
            if let Some(folio) = folio
                && kernel.pages.node(folio) != CPU_NODE
                && kernel.migrate_misplaced_folio(mm, folio)
            {
                return;
            }
            match folio.filter(|folio| folio.order > 0) {
                Some(folio) => kernel.numa_rebuild_large_mapping(vma, folio, p, restored, fault.addr),
                None => kernel.numa_rebuild_single_mapping(vma, p, fault.addr, writable),
            }
        });
    }

    fn could_be_writable(&mut self, vma: &Vma, pte: Pte) -> bool {
        self.arch.pte_write(pte)
            || self.wants_write_upgrade(vma) && self.can_change_pte_writable(vma, pte).is_ok()
    }

    fn numa_rebuild_single_mapping(&mut self, vma: &Vma, p: Ptep, addr: VirtAddr, writable: bool) {
        let old = self.arch.ptep_modify_prot_start(&mut self.hw, addr, p);
        let mut pte = self.arch.pte_mkyoung(self.arch.pte_modify(old, vma.page_prot));
        if writable {
            pte = self.arch.pte_mkwrite(pte);
        }
        self.arch.ptep_modify_prot_commit(&mut self.hw, addr, p, old, pte);
    }

    /// Makes all entries of a large folio accessible again that lie in this VMA and table.
    fn numa_rebuild_large_mapping(&mut self, vma: &Vma, folio: FolioSpan, p: Ptep, pte: Pte, addr: VirtAddr) {
        let into = self.arch.pte_pfn(pte).since(folio.head) << A::PAGE_SHIFT;
        let table = addr.align_down(A::entry_size(Level::Pmd));
        let folio_start = VirtAddr::new(addr.get().saturating_sub(into));
        let start = folio_start.max(table).max(vma.start);
        let folio_end = addr.get() - into.min(addr.get()) + (folio.nr_pages() as u64) * A::PAGE_SIZE;
        let end = folio_end.min(table.get() + A::entry_size(Level::Pmd)).min(vma.end.get());
        let first = p.0 - (addr.since(start) >> A::PAGE_SHIFT);
        for i in 0..(end - start.get()) >> A::PAGE_SHIFT {
            let (p, addr) = (Ptep(first + i), start.add(i << A::PAGE_SHIFT));
            let pte = self.arch.ptep_get(&mut self.hw, p);
            let hinted = self.arch.pte_present(pte) && self.arch.pte_protnone(pte);
            if !hinted || self.vm_normal_folio(pte) != Some(folio) {
                continue;
            }
            let restored = self.arch.pte_modify(pte, vma.page_prot);
            let writable = self.could_be_writable(vma, restored);
            self.numa_rebuild_single_mapping(vma, p, addr, writable);
        }
    }

    /// A hint fault on a huge leaf (`do_huge_pmd_numa_page`).
    pub(crate) fn do_huge_pmd_numa_page(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        pmdp: Ptep,
        pmd: Pte,
        base: VirtAddr,
    ) {
        self.hw.event(Event::Fault(FaultKind::Numa));
        if let Some(folio) = self.vm_normal_folio_pmd(pmd)
            && self.pages.node(folio) != CPU_NODE
            && self
                .because(&cause::migrate_misplaced, |kernel| kernel.migrate_huge(mm, vma, folio, pmdp, base))
        {
            return;
        }
        let mut pmd = self.arch.pte_mkyoung(self.arch.pmd_modify(pmd, vma.page_prot));
        if !self.arch.pte_write(pmd)
            && self.wants_write_upgrade(vma)
            && self.can_change_pmd_writable(vma, pmd).is_ok()
        {
            pmd = self.arch.pte_mkwrite(pmd);
        }
        self.arch.set_pmd_at(&mut self.hw, base, pmdp, pmd);
    }
}
