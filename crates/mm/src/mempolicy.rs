//! NUMA balancing takes access from memory, to notice the next one (`mm/mempolicy.c`, `change_prot_numa`, 7.3).

use crate::cause;
use crate::mm_types::Mm;
use crate::mprotect::change::{Change, CpFlags};
use crate::mprotect::change_protection;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, MmuGather, TableMemory, VirtAddr, VmFlags};

/// Takes access from the entries of a range for NUMA balancing to notice the next one (`change_prot_numa`).
fn change_prot_numa<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    start: VirtAddr,
    end: VirtAddr,
) -> u64 {
    let none = pt.arch.vm_get_page_prot(VmFlags::empty());
    let change = Change { vma, newprot: none, cp_flags: CpFlags::PROT_NUMA };
    let mut tlb = MmuGather::default();
    pt.because(&cause::numa_hint, |pt| {
        let pages = change_protection(pt, mm, &mut tlb, change, start, end);
        pt.tlb_finish(&mut tlb);
        pages
    })
}

/// One pass of the NUMA scanner over a range: pages that a hint fault could move to this CPU's node become inaccessible.
/// Returns the pages looked at (`task_numa_work`).
#[tracing::instrument(level = "trace", skip(pt, mm))]
pub fn numa_scan<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> u64 {
    let Some(end) = A::page_end(start.align_down(A::PAGE_SIZE), len) else { return 0 };
    let start = start.align_down(A::PAGE_SIZE);
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    vmas.iter()
        // Shared memory has a policy of its own, which does not ask for balancing (`vma_policy_mof`).
        .filter(|vma| vma.flags.intersects(VmFlags::ACCESS) && vma.is_anonymous())
        .map(|vma| change_prot_numa(pt, mm, vma, vma.start.max(start), vma.end.min(end)))
        .sum()
}
