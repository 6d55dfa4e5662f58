//! `madvise` (`mm/madvise.c`, 7.3).

pub(crate) mod cold;
pub(crate) mod guard;
pub(crate) mod range;
pub(crate) mod remove;

use crate::cause;
use crate::errno::FaultError;
use crate::gup::{Foll, populate_range};
use crate::kernel::Kernel;
use crate::khugepaged::madvise_collapse;
use crate::madvise::cold::{Cold, madvise_cold, madvise_free};
use crate::madvise::guard::{madvise_guard_install, madvise_guard_remove};
use crate::madvise::range::{Range, madvise_end, walk_vmas};
use crate::madvise::remove::madvise_remove;
use crate::memory::swap_in::read_swap_cache;
use crate::memory::zap::{Zap, zap_page_range};
use crate::mm_types::Mm;
use crate::mseal::check_madvise;
use crate::pkeys::arch_vma_access_permitted;
use crate::shmem::shmem_swapin_range;
use crate::vm_area::Vma;
use crate::vma::vma_modify_flags;
use ptelab_pgtable::{Access, Arch, MmuGather, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Advice, Errno};

/// Gives advice on a range, in bytes (`do_madvise`).
///
/// # Errors
/// As Linux has them. A hole in the range does not stop the rest: `ENOMEM` comes at the end.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn madvise<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    advice: Advice,
) -> Result<(), Errno> {
    // What takes pages out of use is not a matter of one address space (`madvise_inject_error`).
    let elsewhere = matches!(advice, Advice::HWPOISON | Advice::SOFT_OFFLINE);
    let guards = matches!(advice, Advice::GUARD_INSTALL | Advice::GUARD_REMOVE);
    if elsewhere || !advice.is_known() || guards && !k.pt.rules.guard_regions {
        return Err(Errno::EINVAL);
    }
    let len = madvise_end::<A>(start, len)?.since(start);
    if len == 0 {
        return Ok(());
    }
    // Whether it wraps was asked with the tag.
    let start = A::untagged_addr(start);
    let end = start.add(len);
    match advice {
        Advice::POPULATE_READ => madvise_populate(k, mm, (start, end), Access::Read),
        Advice::POPULATE_WRITE => madvise_populate(k, mm, (start, end), Access::Write),
        _ => walk_vmas(k, mm, (start, end), |k, mm, vma, part| madvise_vma(k, mm, vma, part, advice)),
    }
}

fn madvise_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    range: Range,
    advice: Advice,
) -> Result<(), Errno> {
    check_madvise(mm, vma, advice)?;
    match advice {
        Advice::WILLNEED => {
            madvise_willneed(k, mm, vma, range);
            Ok(())
        }
        Advice::DONTNEED => madvise_dontneed(k, mm, vma, range, VmFlags::LOCKED),
        Advice::DONTNEED_LOCKED => madvise_dontneed(k, mm, vma, range, VmFlags::empty()),
        Advice::REMOVE => madvise_remove(k, vma, range),
        Advice::FREE => madvise_free(k, mm, vma, range),
        Advice::COLD => madvise_cold(k, mm, vma, range, Cold::Deactivate),
        Advice::PAGEOUT => madvise_cold(k, mm, vma, range, Cold::Pageout),
        Advice::COLLAPSE => madvise_collapse(k, mm, vma, range),
        Advice::GUARD_INSTALL => madvise_guard_install(k, mm, vma, range),
        Advice::GUARD_REMOVE => madvise_guard_remove(&mut k.pt, mm, vma, range),
        _ if advice.sets_flags() => {
            let flags = advised_flags(vma, advice)?;
            madvise_update_vma(k, mm, vma, range, flags)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What files have is in memory already.
fn madvise_willneed<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, vma: &Vma, range: Range) {
    match vma.object {
        None => read_swap_cache(k, mm, vma, range),
        Some(object) if k.objects.is_shmem(object) => shmem_swapin_range(k, vma, object, range),
        Some(_) => return,
    }
    k.pt.pages.lru_add_drain();
}

/// The flags of a VMA after advice that is only about flags.
fn advised_flags(vma: &Vma, advice: Advice) -> Result<VmFlags, Errno> {
    let old = vma.flags;
    let sequence = VmFlags::RAND_READ | VmFlags::SEQ_READ;
    let special = old.intersects(VmFlags::SPECIAL);
    let unmergeable = VmFlags::SHARED | VmFlags::MAYSHARE | VmFlags::DROPPABLE;
    Ok(match advice {
        Advice::NORMAL => old - sequence,
        Advice::RANDOM => (old - sequence) | VmFlags::RAND_READ,
        Advice::SEQUENTIAL => (old - sequence) | VmFlags::SEQ_READ,
        Advice::DONTFORK => old | VmFlags::DONTCOPY,
        Advice::DOFORK if !special => old - VmFlags::DONTCOPY,
        Advice::WIPEONFORK if vma.is_anonymous() => old | VmFlags::WIPEONFORK,
        Advice::KEEPONFORK if !old.contains(VmFlags::DROPPABLE) => old - VmFlags::WIPEONFORK,
        Advice::DONTDUMP => old | VmFlags::DONTDUMP,
        Advice::DODUMP if !special && !old.contains(VmFlags::DROPPABLE) => old - VmFlags::DONTDUMP,
        Advice::MERGEABLE if !special && !old.intersects(unmergeable) => old | VmFlags::MERGEABLE,
        Advice::MERGEABLE => old,
        Advice::UNMERGEABLE => old - VmFlags::MERGEABLE,
        Advice::HUGEPAGE => (old - VmFlags::NOHUGEPAGE) | VmFlags::HUGEPAGE,
        Advice::NOHUGEPAGE => (old - VmFlags::HUGEPAGE) | VmFlags::NOHUGEPAGE,
        _ => return Err(Errno::EINVAL),
    })
}

fn madvise_update_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): Range,
    flags: VmFlags,
) -> Result<(), Errno> {
    if flags == vma.flags {
        return Ok(());
    }
    // Too many VMAs is the one way in which this fails; madvise calls it EAGAIN.
    vma_modify_flags(k, mm, start, end, flags).map_err(|_| Errno::EAGAIN)?;
    Ok(())
}

fn madvise_dontneed<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    range: Range,
    refused: VmFlags,
) -> Result<(), Errno> {
    if vma.flags.intersects(refused | VmFlags::PFNMAP | VmFlags::HUGETLB) {
        return Err(Errno::EINVAL);
    }
    let mut tlb = MmuGather::default();
    k.because(&cause::dontneed, |k| {
        zap_page_range(k, mm, &mut tlb, vma, range, Zap::Dontneed);
        k.pt.tlb_finish(&mut tlb);
    });
    Ok(())
}

/// Faults a range in (`madvise_populate`).
fn madvise_populate<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    (start, end): Range,
    access: Access,
) -> Result<(), Errno> {
    let mut at = start;
    while at < end {
        let vma = mm.vmas.find(at).ok_or(Errno::ENOMEM)?.clone();
        let needs = if access == Access::Write { VmFlags::WRITE } else { VmFlags::READ };
        let special = vma.flags.intersects(VmFlags::IO | VmFlags::PFNMAP);
        if special || !vma.flags.contains(needs) || !arch_vma_access_permitted(mm, &vma, access) {
            return Err(Errno::EINVAL);
        }
        let part_end = vma.end.min(end);
        let populated = populate_range(k, mm, at, part_end, Foll { access, force: false });
        k.pt.pages.lru_add_drain();
        populated.map_err(|error| match error {
            FaultError::Hwpoison => Errno::EHWPOISON,
            FaultError::Signal(_) | FaultError::Migrating | FaultError::InDevice(_) => Errno::EFAULT,
            FaultError::OutOfMemory => Errno::ENOMEM,
        })?;
        at = part_end;
    }
    Ok(())
}
