//! Faults on pages of objects, that is of files and shared memory, where nothing is mapped (`mm/memory.c`, `do_fault`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::filemap::object_page_or_new;
use crate::kernel::Kernel;
use crate::memory::fault::{Fault, marked, new_anon_entry};
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::folio_add_new_anon_rmap;
use crate::tables::PageTables;
use crate::vm_area::{ObjectId, Vma};
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};
use ptelab_uapi::Signal;

/// Pages around a read fault that are mapped along with it (`fault_around_bytes`).
const FAULT_AROUND_BYTES: u64 = 64 << 10;

/// A read maps the object's page, a write to private memory a copy of it, a write to shared memory the page, dirty.
pub(crate) fn do_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    object: ObjectId,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    if fault.access == Access::Read {
        k.because(&cause::fault_object, |k| do_read_fault(k, mm, vma, object, table, fault))
    } else if vma.flags.contains(VmFlags::SHARED) {
        k.because(&cause::fault_object, |k| do_shared_fault(k, mm, vma, object, table, fault))
    } else {
        k.because(&cause::fault_cow, |k| do_cow_fault(k, mm, vma, object, table, fault))
    }
}

fn do_read_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    object: ObjectId,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    k.pt.hw.event(Event::Fault(FaultKind::Shared));
    // Where userfaultfd protects, every page has a fault of its own (`uffd_disable_fault_around`).
    if !vma.uffd_wp() {
        k.because(&cause::fault_around, |k| {
            do_fault_around(k, mm, vma, object, table, fault.addr);
        });
        let p = table.add(A::index(fault.addr, Level::Pte));
        if !k.pt.arch.pte_none(k.pt.hw.peek(p)) {
            return Ok(());
        }
    }
    let pfn = fault_page(k, vma, object, fault.addr)?;
    let entry = marked(&k.pt, fault, object_read_entry(&k.pt, vma, pfn));
    map_object_page(&mut k.pt, mm, table, fault.addr, pfn, entry);
    Ok(())
}

fn do_shared_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    object: ObjectId,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    k.pt.hw.event(Event::Fault(FaultKind::Shared));
    let pfn = fault_page(k, vma, object, fault.addr)?;
    k.pt.pages.set_dirty(FolioSpan { head: pfn, order: 0 }, true);
    let entry = marked(&k.pt, fault, new_anon_entry(&k.pt, vma, pfn));
    map_object_page(&mut k.pt, mm, table, fault.addr, pfn, entry);
    Ok(())
}

fn do_cow_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    object: ObjectId,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    let anon_vma = k.rmap.anon_vma_prepare::<A>(mm, vma);
    let from = fault_page(k, vma, object, fault.addr)?;
    let copy = k.pt.alloc_folio(0).ok_or(FaultError::OutOfMemory)?;
    k.pt.hw.event(Event::Fault(FaultKind::Copy));
    k.pt.hw.event(Event::PagesCopied(1));
    k.pt.pages.copy(from, copy.head);
    folio_add_new_anon_rmap(&mut k.pt, vma, anon_vma, copy, fault.addr);
    k.pt.pages.set_exclusive(copy.head, 1, true);
    let entry = marked(&k.pt, fault, new_anon_entry(&k.pt, vma, copy.head));
    map_object_page(&mut k.pt, mm, table, fault.addr, copy.head, entry);
    Ok(())
}

/// The object's page for an address (`filemap_fault`, `__do_fault`). One that migrates is locked, and a fault on it waits; one that failed
/// ends in `SIGBUS`.
fn fault_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    vma: &Vma,
    object: ObjectId,
    addr: VirtAddr,
) -> Result<Pfn, FaultError> {
    let pgoff = vma.pgoff_of(addr, A::PAGE_SHIFT);
    if !k.objects.has(object, pgoff) {
        return Err(FaultError::Signal(Signal::BUS));
    }
    let pfn = object_page_or_new(k, object, pgoff)?;
    if k.pt.pages.is_hwpoison(pfn) {
        return Err(FaultError::Hwpoison);
    }
    if k.pt.pages.migrations.contains_key(&pfn) { Err(FaultError::Migrating) } else { Ok(pfn) }
}

/// The entry of an object's page that is mapped for reading: where it is writable at once, and the page is dirty already, it
/// is dirty from the start (`set_pte_range`).
fn object_read_entry<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, pfn: Pfn) -> Pte {
    let entry = pt.arch.pfn_pte(pfn, vma.page_prot);
    let dirties = pt.rules.read_fault_maps_dirty || A::MK_PTE_DIRTIES;
    let dirty = dirties && pt.pages.is_dirty(FolioSpan { head: pfn, order: 0 });
    if dirty && pt.arch.pte_write(entry) { pt.arch.pte_mkdirty(entry) } else { entry }
}

fn map_object_page<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    table: Ptep,
    addr: VirtAddr,
    pfn: Pfn,
    entry: Pte,
) {
    let span = FolioSpan { head: pfn, order: 0 };
    pt.pages.map(span, pfn, MapLevel::Ptes(1), mm.id);
    let p = table.add(A::index(addr, Level::Pte));
    pt.set_pte_at(addr, p, entry);
}

/// Maps the pages around a read fault that are there already, do not migrate and have not failed.
fn do_fault_around<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    object: ObjectId,
    table: Ptep,
    addr: VirtAddr,
) {
    let window = FAULT_AROUND_BYTES.max(A::PAGE_SIZE);
    let mut at = addr.align_down(window).max(vma.start);
    // The window is as long where the VMA begins inside it, but never leaves the table.
    let end = A::entry_end(addr, vma.end, Level::Pmd).min(at.add(window));
    while at < end {
        let p = table.add(A::index(at, Level::Pte));
        let pgoff = vma.pgoff_of(at, A::PAGE_SHIFT);
        if k.objects.has(object, pgoff)
            && let Some(pfn) = k.objects.page(object, pgoff)
            && !k.pt.pages.migrations.contains_key(&pfn)
            && !k.pt.pages.is_hwpoison(pfn)
            && k.pt.arch.pte_none(k.pt.hw.peek(p))
        {
            let mut entry = object_read_entry(&k.pt, vma, pfn);
            if at != addr && k.pt.arch.wants_old_prefaulted_pte() {
                entry = k.pt.arch.pte_mkold(entry);
            }
            map_object_page(&mut k.pt, mm, table, at, pfn, entry);
        }
        at = at.add(A::PAGE_SIZE);
    }
}
