//! Which sizes of folios memory may have (`include/linux/huge_mm.h`, 7.3).

use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr, VmFlags};

/// The orders that a fault in `vma` may use, as a mask (`thp_vma_allowable_orders`).
pub(crate) fn allowed_orders<A: Arch, H: TableMemory>(k: &Kernel<A, H>, mm: &Mm, vma: &Vma) -> u32 {
    if mm.thp_disable.disables(vma.flags) {
        return 0;
    }
    k.thp.allowed(vma.flags.contains(VmFlags::HUGEPAGE))
}

/// Whether the naturally aligned block of this order around `addr` lies in the VMA (`thp_vma_suitable_order`).
pub(crate) fn suitable_order<A: Arch>(vma: &Vma, addr: VirtAddr, order: u32) -> bool {
    let size = A::PAGE_SIZE << order;
    let base = addr.align_down(size);
    base >= vma.start && vma.end.get().checked_sub(base.get()).is_some_and(|room| room >= size)
}
