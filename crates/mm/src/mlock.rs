//! `mlock` and its family (`mm/mlock.c`, 7.3). Locking is flags, and faulting in; reclaim passes over locked pages. There is no
//! `RLIMIT_MEMLOCK`: callers count as privileged.

use crate::errno::FaultError;
use crate::gup::{mm_populate, populate_vma_page_range};
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::vm_area::{LOCKED_MASK, Vma};
use crate::vma::vma_modify_flags;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Errno, MclFlags, MlockFlags};

/// When locked memory is faulted in (`MLOCK_ONFAULT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum LockWhen {
    /// At once.
    #[default]
    Now,
    /// When it is accessed.
    OnFault,
}

/// Locks a range, in bytes, and faults it in (`mlock`).
///
/// # Errors
/// `ENOMEM` for a hole, or memory that cannot be accessed: what lies before it is locked; `EAGAIN` where memory is short;
/// `EINVAL` for a range that wraps.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn mlock<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> Result<(), Errno> {
    do_mlock(k, mm, start, len, LockWhen::Now)
}

/// The same, with the choice of when it is faulted in (`mlock2`).
///
/// # Errors
/// As [`mlock`](fn@mlock), and `EINVAL` for other flags.
pub fn mlock2<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    flags: MlockFlags,
) -> Result<(), Errno> {
    if !MlockFlags::ONFAULT.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let when = if flags.is_empty() { LockWhen::Now } else { LockWhen::OnFault };
    do_mlock(k, mm, start, len, when)
}

/// Unlocks a range, in bytes (`munlock`).
///
/// # Errors
/// `ENOMEM` for a hole, `EINVAL` for a range that wraps.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn munlock<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> Result<(), Errno> {
    let (start, end) = lock_range::<A>(start, len)?;
    apply_vma_lock_flags(k, mm, start, end, VmFlags::empty())
}

/// Locks what is mapped, what will be, or both (`mlockall`).
///
/// # Errors
/// `EINVAL` for flags that are unknown or say nothing.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn mlockall<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    flags: MclFlags,
) -> Result<(), Errno> {
    let known = MclFlags::CURRENT | MclFlags::FUTURE | MclFlags::ONFAULT;
    if flags.is_empty() || !known.contains(flags) || flags == MclFlags::ONFAULT {
        return Err(Errno::EINVAL);
    }
    apply_mlockall_flags(k, mm, flags);
    if flags.contains(MclFlags::CURRENT) {
        mm_populate(k, mm, VirtAddr::new(0), VirtAddr::new(mm.task_size));
    }
    Ok(())
}

/// Unlocks everything, and what will be mapped (`munlockall`).
pub fn munlockall<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm) {
    apply_mlockall_flags(k, mm, MclFlags::empty());
}

fn do_mlock<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    when: LockWhen,
) -> Result<(), Errno> {
    let (start, end) = lock_range::<A>(start, len)?;
    apply_vma_lock_flags(k, mm, start, end, locked(when))?;
    populate_locked(k, mm, start, end)
}

/// The whole pages that a range touches.
fn lock_range<A: Arch>(start: VirtAddr, len: u64) -> Result<(VirtAddr, VirtAddr), Errno> {
    let start = A::untagged_addr(start);
    let within = start.get() % A::PAGE_SIZE;
    let len = len.wrapping_add(within).wrapping_add(A::PAGE_SIZE - 1) & !(A::PAGE_SIZE - 1);
    let start = start.align_down(A::PAGE_SIZE);
    Ok((start, start.checked_add(len).ok_or(Errno::EINVAL)?))
}

fn apply_vma_lock_flags<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    flags: VmFlags,
) -> Result<(), Errno> {
    let mut at = start;
    while at < end {
        let vma = mm.vmas.find(at).ok_or(Errno::ENOMEM)?.clone();
        let part_end = vma.end.min(end);
        mlock_fixup(k, mm, &vma, (at, part_end), (vma.flags - LOCKED_MASK) | flags)?;
        at = part_end;
    }
    Ok(())
}

fn apply_mlockall_flags<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, flags: MclFlags) {
    let when = if flags.contains(MclFlags::ONFAULT) { LockWhen::OnFault } else { LockWhen::Now };
    mm.def_flags -= LOCKED_MASK;
    if flags.contains(MclFlags::FUTURE) {
        mm.def_flags |= locked(when);
        if !flags.contains(MclFlags::CURRENT) {
            return;
        }
    }
    let add = if flags.contains(MclFlags::CURRENT) { locked(when) } else { VmFlags::empty() };
    let vmas: Vec<Vma> = mm.vmas.iter().cloned().collect();
    for vma in vmas {
        // A VMA that cannot be changed stays as it is. Those before it may have taken it in, in the meantime.
        let _ = mlock_fixup(k, mm, &vma, (vma.start, vma.end), (vma.flags - LOCKED_MASK) | add);
    }
}

fn mlock_fixup<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): (VirtAddr, VirtAddr),
    flags: VmFlags,
) -> Result<(), Errno> {
    let exempt = VmFlags::SPECIAL | VmFlags::HUGETLB | VmFlags::DROPPABLE;
    if flags == vma.flags || vma.flags.intersects(exempt) {
        return Ok(());
    }
    vma_modify_flags(k, mm, start, end, flags)?;
    if (vma.flags ^ flags).contains(VmFlags::LOCKED) {
        k.pt.pages.lru_add_drain();
    }
    Ok(())
}

/// Faults a locked range in, VMA by VMA, as far as it can be accessed (`__mm_populate`, `__mlock_posix_error_return`).
fn populate_locked<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Result<(), Errno> {
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    for vma in &vmas {
        populate_vma_page_range(k, mm, vma, (start, end)).map_err(|error| match error {
            FaultError::Signal(_)
            | FaultError::Hwpoison
            | FaultError::Migrating
            | FaultError::InDevice(_) => Errno::ENOMEM,
            FaultError::OutOfMemory => Errno::EAGAIN,
        })?;
    }
    Ok(())
}

const fn locked(when: LockWhen) -> VmFlags {
    match when {
        LockWhen::Now => VmFlags::LOCKED,
        LockWhen::OnFault => LOCKED_MASK,
    }
}
