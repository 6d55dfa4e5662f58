//! `MADV_REMOVE`: holes in files and shared memory (`mm/madvise.c`, `mm/memory.c`, `mm/shmem.c`, 7.3).

use crate::address_space::{Hole, ObjectKind};
use crate::cause;
use crate::kernel::Kernel;
use crate::madvise::range::Range;
use crate::memory::zap::{Zap, zap_page_range};
use crate::mm_types::Mm;
use crate::shmem::shmem_free_swap;
use crate::vm_area::{ObjectId, Vma};
use ptelab_pgtable::{Arch, MmuGather, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

/// Asks for a hole where a range of a VMA is kept (`madvise_remove`). Every process that maps it loses it: the machine has all of them
/// ([`take_holes`]).
pub(crate) fn madvise_remove<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    vma: &Vma,
    (start, end): Range,
) -> Result<(), Errno> {
    if vma.flags.contains(VmFlags::LOCKED) {
        return Err(Errno::EINVAL);
    }
    let keeps = |object: &ObjectId| !matches!(k.objects.kind(*object), ObjectKind::Special(_));
    let object = vma.object.filter(keeps).ok_or(Errno::EINVAL)?;
    if !vma.flags.contains(VmFlags::SHARED | VmFlags::MAYWRITE) {
        return Err(Errno::EACCES);
    }
    let page = |at| vma.pgoff_of(at, A::PAGE_SHIFT);
    k.objects.holes.push(Hole { object, start: page(start), end: page(end) });
    Ok(())
}

/// The holes that calls have asked for since this was last asked.
pub fn take_holes<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>) -> Vec<Hole> {
    std::mem::take(&mut k.objects.holes)
}

/// Whether a page in a hole is under migration, for whose end the call waits.
pub fn is_migrating<A: Arch, H: TableMemory>(k: &Kernel<A, H>, hole: &Hole) -> bool {
    k.objects.pages_in(hole).any(|page| k.pt.pages.migrations.contains_key(&page))
}

/// Takes what `mm` maps of a hole away; private copies stay (`unmap_mapping_range`).
pub fn unmap_hole<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, hole: &Hole) {
    let of_it = |vma: &&Vma| vma.object == Some(hole.object);
    let vmas: Vec<Vma> = mm.vmas.iter().filter(of_it).cloned().collect();
    for vma in vmas {
        let at = |page: u64| {
            let into = page.saturating_sub(vma.pgoff).min(vma.len() >> A::PAGE_SHIFT);
            vma.start.add(into << A::PAGE_SHIFT)
        };
        let range: (VirtAddr, VirtAddr) = (at(hole.start), at(hole.end));
        if range.0 < range.1 {
            let mut tlb = MmuGather::default();
            k.because(&cause::remove, |k| {
                zap_page_range(k, mm, &mut tlb, &vma, range, Zap::Hole);
                k.pt.tlb_finish(&mut tlb);
            });
        }
    }
}

/// Frees the pages of a hole, which nobody maps any more (`shmem_truncate_range`).
pub fn punch_hole<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, hole: &Hole) {
    let swapped = k.objects.punch(&mut k.pt.pages, hole);
    shmem_free_swap(k, &swapped);
}
