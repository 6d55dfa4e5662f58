//! NUMA balancing takes access from memory, to notice the next one (`mm/mempolicy.c`, `change_prot_numa`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::mprotect::change::CpFlags;
use crate::mprotect::change_protection;
use crate::tables::PageTables;
use crate::userfaultfd::is_anon_or_shmem;
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
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn numa_scan<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, start: VirtAddr, len: u64) {
    let start = start.align_down(A::PAGE_SIZE);
    let Some(end) = A::page_end(start, len) else { return };
    if k.pt.pages.alloc_node.is_some() {
        // Memory that is bound to a node does not ask for balancing.
        return;
    }
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    for vma in vmas.iter().filter(|vma| vma.flags.intersects(VmFlags::ACCESS)) {
        if vma.is_anonymous() || shared_is_scanned(k, vma) {
            change_prot_numa(&mut k.pt, mm, vma, (vma.start.max(start), vma.end.min(end)));
        }
    }
}

/// Whether shared memory gets hints. What is only read counts as code that each node has of its own, and in some kernels shared memory
/// has a policy of its own that does not ask for balancing (`vma_policy_mof`).
fn shared_is_scanned<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma) -> bool {
    let only_read = vma.flags & (VmFlags::READ | VmFlags::WRITE) == VmFlags::READ;
    is_anon_or_shmem(k, vma) && !only_read && !k.pt.rules.numa_passes_shared
}
