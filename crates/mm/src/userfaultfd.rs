//! userfaultfd: write protection by range, and poison (`fs/userfaultfd.c`, `mm/userfaultfd.c`, 7.3).
//!
//! Every userfaultfd here has `UFFD_FEATURE_SIGBUS`: an access that meets write protection ends in `SIGBUS`, and
//! [`uffd_wp`] is what lets the next one through. A process has one userfaultfd for each set of features that it
//! asks for. What only another mode than write protection does (missing pages, minor faults) is not there.

use crate::cause;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::mprotect::change::CpFlags;
use crate::mprotect::change_protection;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::util::MMAP_MIN_ADDR;
use crate::vm_area::{Userfaultfd, Vma};
use crate::vma::{vma_modify, vma_set_page_prot, vma_wants_manual_pte_write_upgrade};
use ptelab_pgtable::{Arch, Level, MmuGather, SoftLeaf, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Errno, Switch, UffdFeatures};

/// Opens a userfaultfd with `features`, unless the process has one, and registers a range for write protection
/// (`UFFDIO_API`, `UFFDIO_REGISTER`).
///
/// # Errors
/// `EINVAL` for unknown features, without [`UffdFeatures::WP`] or where the architecture has no bit for it, for a range that is not whole pages or where nothing is
/// mapped, and for files (but with `WP_ASYNC`); `EPERM` where nothing may be written; `EBUSY` where another userfaultfd is.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn uffd_register<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    features: UffdFeatures,
) -> Result<(), Errno> {
    let has_wp = features.contains(UffdFeatures::WP) && k.pt.arch.pgtable_supports_uffd_wp();
    if !UffdFeatures::KNOWN.contains(features) || !has_wp {
        return Err(Errno::EINVAL);
    }
    let end = uffd_range_end::<A, H>(k, mm, start, len)?;
    let uffd = Userfaultfd::open(features);
    if !mm.vmas.intersects(start, end) {
        return Err(Errno::EINVAL);
    }
    for vma in mm.vmas.range(start, end) {
        if !vma_can_userfault(k, vma, features) {
            return Err(Errno::EINVAL);
        }
        if !vma.flags.contains(VmFlags::MAYWRITE) {
            return Err(Errno::EPERM);
        }
        if vma.uffd.is_some_and(|other| other != uffd) {
            return Err(Errno::EBUSY);
        }
    }
    for vma in uffd_parts(mm, start, end) {
        if vma.uffd != Some(uffd) {
            set_uffd(k, mm, vma.start.max(start), vma.end.min(end), Some(uffd))?;
        }
    }
    Ok(())
}

/// Ends the registration of a range, and its protection (`UFFDIO_UNREGISTER`).
///
/// # Errors
/// `EINVAL` for a range that is not whole pages, where nothing is mapped, for files, and for what several userfaultfds have.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn uffd_unregister<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> Result<(), Errno> {
    let end = uffd_range_end::<A, H>(k, mm, start, len)?;
    let parts = uffd_parts(mm, start, end);
    let features = |vma: &Vma| vma.uffd.map_or(UffdFeatures::WP, |uffd| uffd.features);
    if parts.is_empty() || !parts.iter().all(|vma| vma_can_userfault(k, vma, features(vma))) {
        return Err(Errno::EINVAL);
    }
    let mut contexts = parts.iter().filter_map(|vma| vma.uffd);
    let of_one = contexts.next().is_none_or(|first| contexts.all(|other| other == first));
    if !of_one && k.pt.rules.uffd_unregisters_own {
        return Err(Errno::EINVAL);
    }
    for vma in parts {
        if vma.uffd.is_some() {
            let (from, to) = (vma.start.max(start), vma.end.min(end));
            uffd_wp_range(k, mm, &vma, (from, to), Switch::Off)?;
            set_uffd(k, mm, from, to, None)?;
        }
    }
    Ok(())
}

/// Protects a registered range against writes, or lets them through again (`UFFDIO_WRITEPROTECT`).
///
/// # Errors
/// `EINVAL` for a range that is not whole pages, `ENOENT` where nothing is registered: what lies before that is done.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn uffd_wp<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    how: Switch,
) -> Result<(), Errno> {
    let end = uffd_range_end::<A, H>(k, mm, start, len)?;
    let parts = uffd_parts(mm, start, end);
    if parts.is_empty() {
        return Err(Errno::ENOENT);
    }
    for vma in parts {
        if !vma.uffd_wp() {
            return Err(Errno::ENOENT);
        }
        uffd_wp_range(k, mm, &vma, (vma.start.max(start), vma.end.min(end)), how)?;
    }
    Ok(())
}

/// Makes accesses to pages that are not there end in `SIGBUS` (`UFFDIO_POISON`).
///
/// # Errors
/// `EINVAL` for a range that is not whole pages, `ENOENT` where it is not in one registered VMA, `EEXIST` where its first
/// page has an entry already, `EAGAIN` where a later one has: those before it are poisoned.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn uffd_poison<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> Result<(), Errno> {
    let end = uffd_range_end::<A, H>(k, mm, start, len)?;
    let vma = mm.vmas.find(start).ok_or(Errno::ENOENT)?.clone();
    // Also where it is not registered: that is looked at later (`find_vma_and_prepare_anon`).
    if !vma.flags.contains(VmFlags::SHARED) {
        k.rmap.anon_vma_prepare::<A>(mm, &vma);
    }
    if end > vma.end || vma.uffd.is_none() {
        return Err(Errno::ENOENT);
    }
    if !is_anon_or_shmem(k, &vma) {
        return Err(Errno::EINVAL);
    }
    let mut addr = start;
    while addr < end {
        if let Err(errno) = poison_page(&mut k.pt, mm, addr) {
            return Err(if addr == start { errno } else { Errno::EAGAIN });
        }
        addr = addr.add(A::PAGE_SIZE);
    }
    Ok(())
}

fn poison_page<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
) -> Result<(), Errno> {
    let pmdp = pt.pmd_alloc(mm, addr)?;
    if let PmdState::Huge(_) = pt.pmd_state(pmdp) {
        return Err(Errno::EEXIST);
    }
    let p = pt.pte_alloc(mm, pmdp)?.add(A::index(addr, Level::Pte));
    if !pt.arch.pte_none(pt.hw.peek(p)) {
        return Err(Errno::EEXIST);
    }
    let poisoned = pt.soft_word(SoftLeaf::POISONED);
    pt.because(&cause::uffd_poison, |pt| {
        pt.set_pte_at(addr, p, poisoned);
    });
    Ok(())
}

/// The end of a range of whole pages in user space (`validate_range`).
fn uffd_range_end<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    start: VirtAddr,
    len: u64,
) -> Result<VirtAddr, Errno> {
    let whole = start.is_aligned(A::PAGE_SIZE) && len.is_multiple_of(A::PAGE_SIZE) && len > 0;
    let end = start.checked_add(len).filter(|end| end.get() <= mm.task_size);
    let is_low = k.pt.rules.uffd_refuses_low_addresses && start.get() < MMAP_MIN_ADDR;
    end.filter(|_| whole && !is_low).ok_or(Errno::EINVAL)
}

/// The VMAs of a range, as they are before any of them changes.
fn uffd_parts(mm: &Mm, start: VirtAddr, end: VirtAddr) -> Vec<Vma> {
    mm.vmas.range(start, end).cloned().collect()
}

fn vma_can_userfault<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma, features: UffdFeatures) -> bool {
    let droppable = vma.flags.contains(VmFlags::DROPPABLE);
    !(droppable && k.pt.rules.uffd_refuses_droppable)
        && (features.contains(UffdFeatures::WP_ASYNC) || is_anon_or_shmem(k, vma))
}

/// Whether a VMA maps no file: anonymous memory or a segment, private or shared.
pub(crate) fn is_anon_or_shmem<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma) -> bool {
    vma.object.is_none_or(|object| k.objects.is_shmem(object))
}

/// Registers a range of one VMA, or ends its registration. First writes to shared memory must fault from then on, so its
/// protection is another one (`userfaultfd_set_vm_flags`).
fn set_uffd<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    uffd: Option<Userfaultfd>,
) -> Result<(), Errno> {
    let at = vma_modify(k, mm, (start, end), |vma| vma.set_uffd(uffd))?;
    if mm.vmas.at(at).flags.contains(VmFlags::SHARED) {
        vma_set_page_prot(k, mm, at);
    }
    Ok(())
}

/// Takes the VMA that starts at `start` out of its userfaultfd's hands; its entries stay (`userfaultfd_reset_ctx`).
pub(crate) fn userfaultfd_reset<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, start: VirtAddr) {
    let vma = mm.vmas.at_mut(start);
    vma.set_uffd(None);
    if vma.flags.contains(VmFlags::SHARED) {
        vma_set_page_prot(k, mm, start);
    }
}

/// Protects a part of a VMA or lifts that (`uffd_wp_range`).
pub(crate) fn uffd_wp_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): (VirtAddr, VirtAddr),
    how: Switch,
) -> Result<(), Errno> {
    let cp_flags = match how {
        Switch::On => CpFlags::UFFD_WP,
        Switch::Off if vma_wants_manual_pte_write_upgrade(k, vma) => {
            CpFlags::UFFD_WP_RESOLVE | CpFlags::TRY_CHANGE_WRITABLE
        }
        Switch::Off => CpFlags::UFFD_WP_RESOLVE,
    };
    if how == Switch::On && vma.uffd_wp_use_markers() {
        populate_tables(&mut k.pt, mm, start, end)?;
    }
    let mut tlb = MmuGather::default();
    let cause = match how {
        Switch::On => &cause::uffd_wp,
        Switch::Off => &cause::uffd_wp_resolve,
    };
    k.because(cause, |k| {
        change_protection(&mut k.pt, mm, &mut tlb, vma, (start, end), cp_flags);
        k.pt.tlb_finish(&mut tlb);
    });
    Ok(())
}

/// Makes the tables that markers will stand in (`change_pmd_prepare`).
fn populate_tables<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Result<(), Errno> {
    let mut addr = start;
    while addr < end {
        let pmdp = pt.pmd_alloc(mm, addr)?;
        if pt.pmd_state(pmdp) == PmdState::None {
            pt.pte_alloc(mm, pmdp)?;
        }
        addr = A::entry_end(addr, end, Level::Pmd);
    }
    Ok(())
}
