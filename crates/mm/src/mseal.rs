//! `mseal`: mappings that stay, as they are (`mm/mseal.c`, 7.3).

use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::pkeys::arch_vma_access_permitted;
use crate::vm_area::Vma;
use crate::vma::vma_modify_flags;
use ptelab_pgtable::{Access, Arch, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Advice, Errno};

/// Seals a range, in bytes (`do_mseal`).
///
/// # Errors
/// `EINVAL` for flags, of which there are none, and for a range that is not one; `ENOMEM` where it has a hole, or there would be too
/// many VMAs.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn mseal<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    flags: u64,
) -> Result<(), Errno> {
    let start = A::untagged_addr(start);
    let rounded = len.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::EINVAL)?;
    let end = start.checked_add(rounded).ok_or(Errno::EINVAL)?;
    if flags != 0 || !start.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let mapped: u64 = mm.vmas.range(start, end).map(|vma| vma.end.min(end).since(vma.start.max(start))).sum();
    if mapped < rounded {
        return Err(Errno::ENOMEM);
    }
    let mut at = start;
    while at < end {
        let vma = mm.vmas.find(at).ok_or(Errno::ENOMEM)?;
        let (flags, part_end) = (vma.flags | VmFlags::SEALED, vma.end.min(end));
        if flags != vma.flags {
            vma_modify_flags(k, mm, at, part_end, flags)?;
        }
        at = part_end;
    }
    Ok(())
}

/// What is sealed is not changed.
pub(crate) fn check_unsealed<'a>(vmas: impl IntoIterator<Item = &'a Vma>) -> Result<(), Errno> {
    let sealed = vmas.into_iter().any(|vma| vma.flags.contains(VmFlags::SEALED));
    if sealed { Err(Errno::EPERM) } else { Ok(()) }
}

/// Advice that throws contents away is a way to change memory that cannot be written, so that it is refused where that is sealed
/// (`can_madvise_modify`).
pub(crate) fn check_madvise(mm: &Mm, vma: &Vma, advice: Advice) -> Result<(), Errno> {
    let discards = matches!(
        advice,
        Advice::FREE
            | Advice::DONTNEED
            | Advice::DONTNEED_LOCKED
            | Advice::REMOVE
            | Advice::DONTFORK
            | Advice::WIPEONFORK
            | Advice::GUARD_INSTALL
    );
    let writable = vma.flags.contains(VmFlags::WRITE) && arch_vma_access_permitted(mm, vma, Access::Write);
    let fixed = vma.is_anonymous() && !writable;
    if discards && fixed { check_unsealed([vma]) } else { Ok(()) }
}
