//! `brk`: the heap (`mm/mmap.c`, 7.3).

use crate::gup::mm_populate;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::mmap::{check_fixed, unmap_range};
use crate::util::charge;
use crate::vm_area::{DATA_DEFAULT, Vma};
use crate::vma::expand_or_insert;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

/// Moves the end of the heap and returns where it is now: at the old place if it could not be moved. There is no
/// `RLIMIT_DATA`.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn brk<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, brk: VirtAddr) -> VirtAddr {
    let old = mm.brk.end;
    if brk < mm.brk.start || move_brk(k, mm, brk).is_err() {
        return old;
    }
    mm.brk.end = brk;
    brk
}

fn move_brk<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, brk: VirtAddr) -> Result<(), Errno> {
    let new = brk.align_up(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    let old = mm.brk.end.align_up(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    if new == old {
        return Ok(());
    }
    if brk <= mm.brk.end {
        // Somebody else may have unmapped it.
        mm.vmas.range(new, old).next().ok_or(Errno::EINVAL)?;
        return unmap_range(k, mm, new, old);
    }
    check_fixed::<A>(mm, old, new.since(old))?;
    let guarded = new.checked_add(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    let next = mm.vmas.find_or_next(old);
    if next.is_some_and(|next| guarded > next.vm_start_gap(A::PAGE_SHIFT)) {
        return Err(Errno::ENOMEM);
    }
    k.pt.check_asce_limit(mm, new)?;
    do_brk_flags(k, mm, old, new)?;
    if mm.def_flags.contains(VmFlags::LOCKED) {
        mm_populate(k, mm, old, new);
    }
    Ok(())
}

/// Maps `start..end`, which is free: as more of the VMA before it, where that is the heap and alike, else as a VMA of its own.
/// With what comes behind it never merges.
fn do_brk_flags<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Result<(), Errno> {
    if mm.vmas.len() as u64 > k.config().max_map_count {
        return Err(Errno::ENOMEM);
    }
    let flags = DATA_DEFAULT | VmFlags::ACCOUNT | mm.def_flags;
    charge(k, end.since(start) >> A::PAGE_SHIFT)?;
    let vma = Vma::anonymous(start, end, flags, k.pt.arch.vm_get_page_prot(flags), A::PAGE_SHIFT);
    let heap = mm.vmas.before(start).filter(|prev| prev.end > mm.brk.start).map(|prev| prev.start);
    let at = expand_or_insert(k, mm, vma, heap);
    if k.pt.arch.has_soft_dirty() {
        mm.vmas.at_mut(at).flags |= VmFlags::SOFTDIRTY;
    }
    Ok(())
}
