//! Page faults (`mm/memory.c`, `handle_mm_fault`, 7.3).

pub(crate) mod anon;
pub(crate) mod copy;
pub(crate) mod device;
pub(crate) mod do_fault;
pub(crate) mod fault;
pub(crate) mod numa;
pub(crate) mod swap_in;
pub(crate) mod wp;
pub(crate) mod zap;

use crate::cause;
use crate::errno::FaultError;
use crate::huge_memory::{do_huge_pmd_anonymous_page, huge_pmd_fault};
use crate::kernel::Kernel;
use crate::memory::anon::do_anonymous_page;
use crate::memory::do_fault::do_fault;
use crate::memory::fault::Fault;
use crate::memory::numa::do_numa_page;
use crate::memory::swap_in::do_swap_page;
use crate::memory::wp::do_wp_page;
use crate::mm_types::Mm;
use crate::pkeys::arch_vma_access_permitted;
use crate::stack::find_vma_or_expand;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, Event, FaultKind, Level, Ptep, TableMemory, VirtAddr, VmFlags, marker};
use ptelab_uapi::Signal;

/// Whether the flags of a VMA allow an access.
pub(crate) fn allows<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, flags: VmFlags, access: Access) -> bool {
    match access {
        Access::Write => flags.contains(VmFlags::WRITE),
        Access::Read => flags.intersects(pt.arch.vm_read_flags()),
    }
}

/// Resolves a fault of user code at `addr`, or says how it ends.
pub(crate) fn handle_mm_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    access: Access,
) -> Result<(), FaultError> {
    let segv = FaultError::Signal(Signal::SEGV);
    let vma = find_vma_or_expand(k, mm, addr).ok_or(segv)?;
    if !allows(&k.pt, vma.flags, access) || !arch_vma_access_permitted(mm, &vma, access) {
        return Err(segv);
    }
    fault_in_vma(k, mm, &vma, addr, access)
}

/// The same where nothing forbids it.
pub(crate) fn fault_in_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    addr: VirtAddr,
    access: Access,
) -> Result<(), FaultError> {
    let fault = Fault { addr: addr.align_down(A::PAGE_SIZE), access, uffd_wp: false };
    let pmdp = k.pt.pmd_alloc(mm, addr)?;
    match k.pt.pmd_state(pmdp) {
        PmdState::None if do_huge_pmd_anonymous_page(k, mm, vma, pmdp, fault)? => return Ok(()),
        PmdState::Huge(pmd) if huge_pmd_fault(k, mm, vma, pmdp, pmd, fault)? => return Ok(()),
        PmdState::Soft(_) => return Err(FaultError::Migrating),
        _ => {}
    }
    let table = k.pt.pte_alloc(mm, pmdp)?;
    handle_pte_fault(k, mm, vma, table, fault)
}

fn handle_pte_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    let p = table.add(A::index(fault.addr, Level::Pte));
    let pte = k.pt.ptep_get(p);
    if k.pt.arch.pte_none(pte) {
        return do_pte_missing(k, mm, vma, table, fault);
    }
    if !k.pt.arch.pte_present(pte) {
        if !k.pt.is_marker(pte, marker::UFFD_WP) {
            return do_swap_page(k, mm, vma, p, pte, fault);
        }
        if vma.uffd_wp() {
            return do_pte_missing(k, mm, vma, table, Fault { uffd_wp: true, ..fault });
        }
        // Left over from a registration that is gone.
        k.because(&cause::uffd_left_over, |k| {
            k.pt.pte_clear(fault.addr, p);
        });
        return Ok(());
    }
    if k.pt.arch.pte_protnone(pte) {
        do_numa_page(k, mm, vma, p, pte, fault);
        return Ok(());
    }
    if fault.access == Access::Write && !k.pt.arch.pte_write(pte) {
        return do_wp_page(k, mm, vma, p, pte, fault);
    }
    let write = fault.access == Access::Write;
    let entry = if write { k.pt.arch.pte_mkdirty(pte) } else { pte };
    let entry = k.pt.arch.pte_mkyoung(entry);
    k.because(&cause::fault_access_flags, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::AccessFlags));
        k.pt.ptep_set_access_flags(fault.addr, p, entry, write);
    });
    Ok(())
}

fn do_pte_missing<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    match vma.object {
        None => do_anonymous_page(k, mm, vma, table, fault),
        Some(object) => do_fault(k, mm, vma, object, table, fault),
    }
}
