//! The VMAs of a range that advice is for (`mm/madvise.c`, `madvise_walk_vmas`, 7.3).

use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use ptelab_uapi::Errno;

/// Part of a VMA that advice is about: first address and end.
pub(crate) type Range = (VirtAddr, VirtAddr);

/// The end of a range that begins with a page, rounded up to pages.
pub(crate) fn madvise_end<A: Arch>(start: VirtAddr, len: u64) -> Result<VirtAddr, Errno> {
    let rounded = len.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::EINVAL)?;
    let end = start.checked_add(rounded).ok_or(Errno::EINVAL)?;
    if start.is_aligned(A::PAGE_SIZE) { Ok(end) } else { Err(Errno::EINVAL) }
}

/// Does something to each VMA's part of a range; a hole does not stop it, and fails at the end (`madvise_walk_vmas`).
pub(crate) fn walk_vmas<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    (start, end): Range,
    mut each: impl FnMut(&mut Kernel<A, H>, &mut Mm, &Vma, Range) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut at = start;
    let mut hole = false;
    while at < end {
        let Some(vma) = mm.vmas.find_or_next(at).filter(|vma| vma.start < end).cloned() else {
            hole = true;
            break;
        };
        hole |= vma.start > at;
        let part = (vma.start.max(at), vma.end.min(end));
        each(k, mm, &vma, part)?;
        at = part.1;
    }
    if hole { Err(Errno::ENOMEM) } else { Ok(()) }
}
