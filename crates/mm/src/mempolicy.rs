//! NUMA balancing takes access from memory, to notice the next one (`mm/mempolicy.c`, `change_prot_numa`, 7.3).

use crate::cause;
use crate::mm_types::Mm;
use crate::mprotect::change::CpFlags;
use crate::mprotect::change_protection;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, MmuGather, TableMemory, VirtAddr, VmFlags};

/// Takes access from the entries of a range for NUMA balancing to notice the next one (`change_prot_numa`).
fn change_prot_numa<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    range: (VirtAddr, VirtAddr),
) {
    let mut tlb = MmuGather::default();
    pt.because(&cause::numa_hint, |pt| {
        change_protection(pt, mm, &mut tlb, vma, range, CpFlags::PROT_NUMA);
        pt.tlb_finish(&mut tlb);
    });
}

/// One pass of the NUMA scanner over a range: pages that a hint fault could move to this CPU's node become inaccessible
/// (`task_numa_work`).
#[tracing::instrument(level = "trace", skip(pt, mm))]
pub fn numa_scan<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &mut Mm, start: VirtAddr, len: u64) {
    let start = start.align_down(A::PAGE_SIZE);
    let Some(end) = A::page_end(start, len) else { return };
    if pt.pages.alloc_node.is_some() {
        // Memory that is bound to a node does not ask for balancing.
        return;
    }
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    // Shared memory has a policy of its own, which does not ask for balancing (`vma_policy_mof`).
    let scanned = |vma: &&Vma| vma.flags.intersects(VmFlags::ACCESS) && vma.is_anonymous();
    for vma in vmas.iter().filter(scanned) {
        change_prot_numa(pt, mm, vma, (vma.start.max(start), vma.end.min(end)));
    }
}
