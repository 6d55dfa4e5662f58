//! `msync` (`mm/msync.c`, 7.3). Nothing is written back here, so it is its checks: no entry becomes clean by it.

use crate::mm_types::Mm;
use ptelab_pgtable::{Arch, VirtAddr, VmFlags};
use ptelab_uapi::{Errno, MsFlags};

/// Writes a range of mapped files back.
///
/// # Errors
/// `EINVAL` for an unaligned address or senseless flags, `ENOMEM` for a hole (the rest is done first), `EBUSY` for
/// `MS_INVALIDATE` of locked memory.
pub fn msync<A: Arch>(mm: &Mm, start: VirtAddr, len: u64, flags: MsFlags) -> Result<(), Errno> {
    let start = A::untagged_addr(start);
    let known = MsFlags::ASYNC | MsFlags::INVALIDATE | MsFlags::SYNC;
    let both = MsFlags::ASYNC | MsFlags::SYNC;
    if !known.contains(flags) || !start.is_aligned(A::PAGE_SIZE) || flags.contains(both) {
        return Err(Errno::EINVAL);
    }
    let len = len.wrapping_add(A::PAGE_SIZE - 1) & !(A::PAGE_SIZE - 1);
    let end = start.checked_add(len).ok_or(Errno::ENOMEM)?;
    let mut hole = false;
    let mut at = start;
    while at < end {
        let vma = mm.vmas.find_or_next(at).filter(|vma| vma.start < end).ok_or(Errno::ENOMEM)?;
        if vma.start > at {
            if flags == MsFlags::ASYNC {
                return Err(Errno::ENOMEM);
            }
            hole = true;
        }
        if flags.contains(MsFlags::INVALIDATE) && vma.flags.contains(VmFlags::LOCKED) {
            return Err(Errno::EBUSY);
        }
        at = vma.end;
    }
    if hole { Err(Errno::ENOMEM) } else { Ok(()) }
}
