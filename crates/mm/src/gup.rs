//! Faulting memory in for a call (`mm/gup.c`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::{allows, fault_in_vma};
use crate::mm_types::Mm;
use crate::pkeys::arch_vma_access_permitted;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, Level, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Signal;

/// What the kernel wants of pages that it looks up for user code (`FOLL_*`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foll {
    /// To read or to write (`FOLL_WRITE`).
    pub(crate) access: Access,
    /// Whether memory that may be executed or written, but not read, is good enough to read (`FOLL_FORCE`).
    pub(crate) force: bool,
}

/// Faults pages in as the kernel does for user code, and touches those that are there already: nothing is written, but what is looked
/// up to be written counts as modified (`__get_user_pages`, with `FOLL_TOUCH`).
pub(crate) fn populate_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    foll: Foll,
) -> Result<(), FaultError> {
    let mut at = start;
    while at < end {
        let vma = vma_to_follow(mm, at, foll)?;
        if populated(&k.pt, mm, at, foll.access) {
            k.because(&cause::populate, |k| touch(&mut k.pt, mm, at, foll.access));
            at = at.add(A::PAGE_SIZE);
        } else {
            let vma = vma.clone();
            k.because(&cause::populate, |k| fault_in_vma(k, mm, &vma, at, foll.access))?;
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
    let may = |vma: &Vma| allows(&k.pt, vma.flags, access) && arch_vma_access_permitted(mm, vma, access);
    if mm.vmas.find(at).is_some_and(may) && populated(&k.pt, mm, at, access) {
        // Tables are walked as hardware does it (`gup_fast`).
        return Ok(());
    }
    populate_range(k, mm, at, at.add(A::PAGE_SIZE), Foll { access, force: false })
}

/// The VMA of an address, if the kernel may look pages up there (`check_vma_flags`).
fn vma_to_follow(mm: &Mm, addr: VirtAddr, foll: Foll) -> Result<&Vma, FaultError> {
    let allowed = |vma: &&Vma| {
        let allowed = match (foll.access, foll.force) {
            (Access::Write, _) => VmFlags::WRITE,
            (Access::Read, false) => VmFlags::READ,
            (Access::Read, true) => VmFlags::READ | VmFlags::MAYREAD,
        };
        vma.flags.intersects(allowed) && arch_vma_access_permitted(mm, vma, foll.access)
    };
    mm.vmas.find(addr).filter(allowed).ok_or(FaultError::Signal(Signal::SEGV))
}

/// Whether an access of the kernel for user code finds its page; hints for NUMA balancing do not keep it from that
/// (`follow_page_mask`).
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
        && (access == Access::Read || pt.arch.pte_write(pte) && !pt.arch.pte_protnone(pte))
}

/// A page that is looked up counts as used: its folio is dirty if it is to be written to, and a huge leaf becomes young, and dirty
/// (`follow_page_pte`, `touch_pmd`).
fn touch<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, addr: VirtAddr, access: Access) {
    let write = access == Access::Write;
    let Ok(pmdp) = pt.pmd_offset(mm, addr) else { return };
    match pt.pmd_state(pmdp) {
        PmdState::Huge(pmd) => {
            let young = pt.arch.pmd_mkyoung(pmd);
            let entry = if write { pt.arch.pmd_mkdirty(young) } else { young };
            if entry != pmd {
                let base = addr.align_down(A::entry_size(Level::Pmd));
                pt.pmdp_set_access_flags(base, pmdp, entry, write);
            }
        }
        PmdState::Table(table) if write => {
            let pte = pt.hw.peek(table.add(A::index(addr, Level::Pte)));
            if let Some(folio) = pt.vm_normal_folio(pte).filter(|_| !pt.arch.pte_dirty(pte)) {
                pt.pages.set_dirty(folio, true);
            }
        }
        _ => {}
    }
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
    if !vma.flags.intersects(VmFlags::ACCESS) {
        return Err(FaultError::Signal(Signal::SEGV));
    }
    let private_write = vma.flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
    let access = if private_write { Access::Write } else { Access::Read };
    let foll = Foll { access, force: !private_write };
    let populated = populate_range(k, mm, vma.start.max(start), vma.end.min(end), foll);
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
