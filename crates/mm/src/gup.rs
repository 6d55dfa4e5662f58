//! Faulting memory in for a call (`mm/gup.c`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::handle_mm_fault;
use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, Level, TableMemory, VirtAddr, VmFlags};

/// Faults pages in as the kernel does for user code: nothing is written, and what is there already stays as it is.
pub(crate) fn populate_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    access: Access,
) -> Result<(), FaultError> {
    let mut at = start;
    while at < end {
        if populated(&k.pt, mm, at, access) {
            at = at.add(A::PAGE_SIZE);
        } else {
            k.because(&cause::populate, |k| handle_mm_fault(k, mm, at, access))?;
        }
    }
    Ok(())
}

/// Faults one page in, unless it is there already.
///
/// # Errors
/// The signal that an access would get.
pub fn fault_in_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    access: Access,
) -> Result<(), FaultError> {
    let at = addr.align_down(A::PAGE_SIZE);
    populate_range(k, mm, at, at.add(A::PAGE_SIZE), access)
}

/// Whether an access of the kernel for user code finds its page (`follow_page_mask`).
fn populated<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    addr: VirtAddr,
    access: Access,
) -> bool {
    let pte = match pt.pmd_at(mm, addr) {
        PmdState::None | PmdState::Soft(_) => return false,
        PmdState::Huge(pmd) => pt.arch.pmd_pte(pmd),
        PmdState::Table(table) => pt.hw.peek(table.add(A::index(addr, Level::Pte))),
    };
    pt.arch.pte_present(pte)
        && !pt.arch.pte_protnone(pte)
        && (access == Access::Read || pt.arch.pte_write(pte))
}

/// Faults in what lies of a range in one VMA: for writing where that gives private pages. Memory of devices has nothing to
/// fault in, and memory that is locked on fault waits for it (`populate_vma_page_range`).
pub(crate) fn populate_vma_page_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): (VirtAddr, VirtAddr),
) -> Result<(), FaultError> {
    if vma.flags.intersects(VmFlags::IO | VmFlags::PFNMAP | VmFlags::LOCKONFAULT) {
        return Ok(());
    }
    let private_write = vma.flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
    let access = if private_write { Access::Write } else { Access::Read };
    let populated = populate_range(k, mm, vma.start.max(start), vma.end.min(end), access);
    k.pt.pages.lru_add_drain();
    populated
}

/// Faults in what was just mapped; where that fails, it goes on with the next VMA (`mm_populate`).
pub(crate) fn mm_populate<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
) {
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    for vma in vmas.iter().filter(|vma| vma.flags.intersects(VmFlags::ACCESS)) {
        // Failing is no error of the call: what was not faulted in is faulted in on access.
        let _ = populate_vma_page_range(k, mm, vma, (start, end));
    }
}
