//! Stacks: how they are set up, and how they grow (`fs/exec.c`, `mm/vma.c`, 7.3).

use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::util::{MMAP_MIN_ADDR, charge};
use crate::vm_area::{DATA_DEFAULT, STACK_GUARD_PAGES, Vma};
use ptelab_pgtable::{Arch, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

/// How large a stack may grow, in bytes (`RLIMIT_STACK`).
const RLIMIT_STACK: u64 = 8 << 20;

/// Maps the first stack of a program, `size` bytes that end at `top`; it grows on access, and /proc shows it as `[stack]`
/// (`setup_arg_pages`).
///
/// # Errors
/// `EINVAL` for a range that is not one or that is taken, `ENOMEM`.
pub fn setup_stack<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    top: VirtAddr,
    size: u64,
) -> Result<(), Errno> {
    let start = top.get().checked_sub(size).filter(|_| size > 0).ok_or(Errno::EINVAL)?;
    let start = VirtAddr::new(start);
    check_free::<A>(mm, start, top)?;
    k.pt.check_asce_limit(mm, top)?;
    charge(k, size >> A::PAGE_SHIFT)?;
    let mut flags = DATA_DEFAULT | VmFlags::GROWSDOWN | VmFlags::ACCOUNT | mm.def_flags;
    if k.pt.arch.has_soft_dirty() {
        flags |= VmFlags::SOFTDIRTY;
    }
    let vma = Vma::anonymous(start, top, flags, k.pt.arch.vm_get_page_prot(flags), A::PAGE_SHIFT);
    mm.vmas.insert(vma);
    mm.start_stack = VirtAddr::new(top.get() - A::PAGE_SIZE);
    Ok(())
}

/// Whether a range is one of whole pages of user addresses where nothing is mapped.
pub(crate) fn check_free<A: Arch>(mm: &Mm, start: VirtAddr, end: VirtAddr) -> Result<(), Errno> {
    let aligned = start.is_aligned(A::PAGE_SIZE) && end.is_aligned(A::PAGE_SIZE);
    if !aligned || start >= end || end.get() > mm.task_size {
        return Err(Errno::EINVAL);
    }
    if mm.vmas.intersects(start, end) { Err(Errno::EEXIST) } else { Ok(()) }
}

/// The VMA for an access of user code: a stack above the address grows down to it, if it may (`lock_mm_and_find_vma`).
pub(crate) fn find_vma_or_expand<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
) -> Option<Vma> {
    let vma = mm.vmas.find_or_next(addr)?;
    if vma.start <= addr {
        return Some(vma.clone());
    }
    if !vma.flags.contains(VmFlags::GROWSDOWN) {
        return None;
    }
    let vma = vma.clone();
    expand_downwards(k, mm, &vma, addr.align_down(A::PAGE_SIZE)).ok()
}

/// Makes a stack begin at `addr`. It gets its anon_vma first.
fn expand_downwards<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    addr: VirtAddr,
) -> Result<Vma, Errno> {
    if addr.get() < MMAP_MIN_ADDR {
        return Err(Errno::EPERM);
    }
    if let Some(prev) = mm.vmas.before(vma.start)
        && !prev.flags.contains(VmFlags::GROWSDOWN)
        && prev.flags.intersects(VmFlags::ACCESS)
        && addr.since(prev.end) < STACK_GUARD_PAGES << A::PAGE_SHIFT
    {
        return Err(Errno::ENOMEM);
    }
    k.rmap.anon_vma_prepare::<A>(mm, vma);
    let grow = vma.start.since(addr) >> A::PAGE_SHIFT;
    let pgoff = vma.pgoff.checked_sub(grow).ok_or(Errno::ENOMEM)?;
    if vma.end.since(addr) > RLIMIT_STACK {
        return Err(Errno::ENOMEM);
    }
    if vma.flags.contains(VmFlags::ACCOUNT) {
        charge(k, grow)?;
    }
    let mut grown = mm.vmas.remove(vma.start).ok_or(Errno::EFAULT)?;
    grown.start = addr;
    grown.pgoff = pgoff;
    k.rmap.insert(&mut grown);
    mm.vmas.insert(grown.clone());
    Ok(grown)
}
