//! Faults on pages that a device has (`mm/memory.c`, `restore_exclusive_pte`, `do_swap_page`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::fault::Fault;
use crate::migrate::{
    Destination, begin_migration, end_migration, migration_target, remove_migration_ptes, try_to_migrate,
};
use crate::mm_types::Mm;
use crate::mprotect::writable::can_change_pte_writable;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, Event, FaultKind, Pfn, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags, swp_type,
};

/// Maps a page again that was lent to a device (`restore_exclusive_pte`).
pub(crate) fn restore_exclusive_pte<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    p: Ptep,
    leaf: SoftLeaf,
    addr: VirtAddr,
) {
    let pfn = Pfn::new(leaf.offset);
    let folio = pt.hw.page_folio(pfn);
    let mut pte = pt.arch.pte_mkold(pt.arch.pfn_pte(pfn, vma.page_prot));
    if leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
        pte = pt.arch.pte_mksoft_dirty(pte);
    }
    if leaf.flags.contains(SoftFlags::UFFD) {
        pte = pt.arch.pte_mkuffd_wp(pte);
    }
    let writable = vma.flags.contains(VmFlags::WRITE);
    if writable && can_change_pte_writable(pt, vma, pte).is_ok() {
        if pt.pages.is_dirty(folio) {
            pte = pt.arch.pte_mkdirty(pte);
        }
        pte = pt.arch.pte_mkwrite(pte);
    }
    pt.because(&cause::device_restore, |pt| pt.set_pte_at(addr, p, pte));
}

/// A fault on a page that a device has. One that others map too comes back for all of them: that is the caller's to do.
pub(crate) fn do_device_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    p: Ptep,
    leaf: SoftLeaf,
    fault: Fault,
) -> Result<(), FaultError> {
    k.pt.hw.event(Event::Fault(FaultKind::Soft));
    if leaf.ty == swp_type::DEVICE_EXCLUSIVE {
        restore_exclusive_pte(&mut k.pt, vma, p, leaf, fault.addr);
        return Ok(());
    }
    let folio = k.pt.hw.page_folio(Pfn::new(leaf.offset));
    if k.pt.pages.folio_mapcount(folio) > 1 {
        return Err(FaultError::InDevice(folio.head));
    }
    begin_migration(&mut k.pt, folio);
    try_to_migrate(&mut k.pt, mm, folio);
    let target = migration_target(k, folio, Destination::Memory);
    let (new, to) = target.map_or((folio, Destination::Device), |new| (new, Destination::Memory));
    remove_migration_ptes(&mut k.pt, mm, folio, new, to);
    end_migration(&mut k.pt, folio, new);
    target.map(|_| ()).ok_or(FaultError::OutOfMemory)
}
