//! Faults of NUMA hinting (`mm/memory.c`, `do_numa_page`, 7.3).

use crate::cause;
use crate::huge_memory::change::can_change_pmd_writable;
use crate::kernel::Kernel;
use crate::memory::fault::Fault;
use crate::misplaced::migrate_misplaced_folio;
use crate::mm_types::Mm;
use crate::mprotect::writable::can_change_pte_writable;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use crate::vma::vma_wants_manual_pte_write_upgrade;
use ptelab_pgtable::{Arch, Event, FaultKind, FolioSpan, Level, Pte, Ptep, TableMemory, VirtAddr};

/// A hint fault: the folio moves to this CPU's node, or its entries become accessible again (`do_numa_page`).
pub(crate) fn do_numa_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    p: Ptep,
    pte: Pte,
    fault: Fault,
) {
    let folio = k.pt.vm_normal_folio(pte);
    let restored = k.pt.arch.pte_modify(pte, vma.page_prot);
    let writable = could_be_writable(k, vma, restored);
    k.because(&cause::fault_numa, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::Numa));
        if folio.is_some_and(|folio| migrate_misplaced_folio(k, mm, vma, folio)) {
            return;
        }
        match folio.filter(|folio| folio.order > 0) {
            Some(folio) => numa_rebuild_large_mapping(k, vma, folio, p, restored, fault.addr),
            None => numa_rebuild_single_mapping(&mut k.pt, vma, p, fault.addr, writable),
        }
    });
}

fn could_be_writable<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, vma: &Vma, pte: Pte) -> bool {
    k.pt.arch.pte_write(pte)
        || vma_wants_manual_pte_write_upgrade(k, vma) && can_change_pte_writable(&mut k.pt, vma, pte).is_ok()
}

fn numa_rebuild_single_mapping<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    p: Ptep,
    addr: VirtAddr,
    writable: bool,
) {
    let old = pt.ptep_modify_prot_start(addr, p);
    let mut pte = pt.arch.pte_mkyoung(pt.arch.pte_modify(old, vma.page_prot));
    if writable {
        pte = pt.arch.pte_mkwrite(pte);
    }
    pt.ptep_modify_prot_commit(addr, p, old, pte);
}

/// Makes all entries of a large folio accessible again that lie in this VMA and table.
fn numa_rebuild_large_mapping<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    vma: &Vma,
    folio: FolioSpan,
    p: Ptep,
    pte: Pte,
    addr: VirtAddr,
) {
    let into = k.pt.arch.pte_pfn(pte).since(folio.head) << A::PAGE_SHIFT;
    let table = addr.align_down(A::entry_size(Level::Pmd));
    let folio_start = VirtAddr::new(addr.get().saturating_sub(into));
    let start = folio_start.max(table).max(vma.start);
    let folio_end = addr.get() - into.min(addr.get()) + (folio.nr_pages() as u64) * A::PAGE_SIZE;
    let end = folio_end.min(table.get() + A::entry_size(Level::Pmd)).min(vma.end.get());
    let first = p.0 - (addr.since(start) >> A::PAGE_SHIFT);
    for i in 0..(end - start.get()) >> A::PAGE_SHIFT {
        let (p, addr) = (Ptep(first + i), start.add(i << A::PAGE_SHIFT));
        let pte = k.pt.ptep_get(p);
        let hinted = k.pt.arch.pte_present(pte) && k.pt.arch.pte_protnone(pte);
        if !hinted || k.pt.vm_normal_folio(pte) != Some(folio) {
            continue;
        }
        let restored = k.pt.arch.pte_modify(pte, vma.page_prot);
        let writable = could_be_writable(k, vma, restored);
        numa_rebuild_single_mapping(&mut k.pt, vma, p, addr, writable);
    }
}

/// A hint fault on a huge leaf (`do_huge_pmd_numa_page`).
pub(crate) fn do_huge_pmd_numa_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    pmdp: Ptep,
    pmd: Pte,
    base: VirtAddr,
) {
    k.pt.hw.event(Event::Fault(FaultKind::Numa));
    let folio = k.pt.vm_normal_folio_pmd(pmd);
    if folio.is_some_and(|folio| migrate_misplaced_folio(k, mm, vma, folio)) {
        return;
    }
    let mut pmd = k.pt.arch.pmd_mkyoung(k.pt.arch.pmd_modify(pmd, vma.page_prot));
    if !k.pt.arch.pmd_write(pmd)
        && vma_wants_manual_pte_write_upgrade(k, vma)
        && can_change_pmd_writable(&mut k.pt, vma, pmd).is_ok()
    {
        pmd = k.pt.arch.pmd_mkwrite(pmd);
    }
    k.pt.set_pmd_at(base, pmdp, pmd);
}
