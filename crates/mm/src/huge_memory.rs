//! Faults on huge pages (`mm/huge_memory.c`, 7.3).

pub(crate) mod change;
pub(crate) mod split;

use crate::cause;
use crate::errno::FaultError;
use crate::huge_mm::{allowed_orders, suitable_order};
use crate::kernel::Kernel;
use crate::memory::fault::Fault;
use crate::memory::numa::do_huge_pmd_numa_page;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::{add_new_anon_folio, folio_move_anon_rmap};
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};
use ptelab_uapi::Signal;

/// Maps a huge page at an empty PMD, if the VMA may have one there and memory has one. Says whether it did; otherwise the
/// fault goes on with single entries (`do_huge_pmd_anonymous_page`).
pub(crate) fn do_huge_pmd_anonymous_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    pmdp: Ptep,
    fault: Fault,
) -> Result<bool, FaultError> {
    let allowed = vma.is_anonymous()
        && allowed_orders(k, mm, vma) & 1 << A::PMD_ORDER != 0
        && suitable_order::<A>(vma, fault.addr, A::PMD_ORDER);
    if !allowed {
        return Ok(false);
    }
    let anon_vma = k.rmap.anon_vma_prepare::<A>(mm, vma);
    let base = fault.addr.align_down(A::entry_size(Level::Pmd));
    k.pt.deposit_table(mm)?;
    if fault.access == Access::Read && !k.config().is_small() {
        let entry = huge_zero_entry(&k.pt, vma);
        k.because(&cause::fault_huge_zero, |k| {
            k.pt.hw.event(Event::Fault(FaultKind::Zero));
            k.pt.set_pmd_at(base, pmdp, entry);
        });
        return Ok(true);
    }
    let Some(folio) = alloc_huge(&mut k.pt, mm, vma, anon_vma, base) else {
        k.pt.forfeit_table(mm);
        return Ok(false);
    };
    let entry = new_huge_entry(&k.pt, vma, folio.head);
    k.because(&cause::fault_huge, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::Anon));
        k.pt.set_pmd_at(base, pmdp, entry);
    });
    Ok(true)
}

/// A zeroed huge folio, counted as mapped by a huge leaf of `mm` at `base`.
fn alloc_huge<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    vma: &Vma,
    anon_vma: u32,
    base: VirtAddr,
) -> Option<FolioSpan> {
    let folio = pt.alloc_folio(A::PMD_ORDER)?;
    let head = folio.head;
    add_new_anon_folio(pt, vma, anon_vma, folio, base);
    pt.pages.map(folio, head, MapLevel::Pmd, mm.id);
    pt.pages.set_exclusive(head, 1, true);
    Some(folio)
}

/// The huge leaf of a folio that is new and private: dirty, and writable where the VMA is.
pub(crate) fn new_huge_entry<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, head: Pfn) -> Pte {
    let entry = pt.arch.pfn_pmd(head, vma.page_prot);
    huge_mkwrite_dirty(pt, vma, entry)
}

fn huge_mkwrite_dirty<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, entry: Pte) -> Pte {
    let entry = pt.arch.pmd_mkdirty(entry);
    if vma.flags.contains(VmFlags::WRITE) { pt.arch.pmd_mkwrite(entry) } else { entry }
}

fn huge_zero_entry<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma) -> Pte {
    let entry = pt.arch.pfn_pmd(pt.pages.huge_zero().head, vma.page_prot);
    if pt.rules.huge_zero_special { pt.arch.pmd_mkspecial(entry) } else { entry }
}

/// A fault on a huge leaf. Says whether that resolved it; otherwise it was split and the fault goes on.
pub(crate) fn huge_pmd_fault<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    pmdp: Ptep,
    pmd: Pte,
    fault: Fault,
) -> Result<bool, FaultError> {
    let base = fault.addr.align_down(A::entry_size(Level::Pmd));
    if k.pt.arch.pmd_protnone(pmd) {
        k.because(&cause::fault_huge_numa, |k| {
            do_huge_pmd_numa_page(k, mm, vma, pmdp, pmd, base);
        });
        return Ok(true);
    }
    if fault.access == Access::Write && !k.pt.arch.pmd_write(pmd) {
        if !vma.uffd_wp() || !k.pt.arch.pmd_uffd_wp(pmd) {
            return Ok(do_huge_pmd_wp_page(k, mm, vma, pmdp, pmd, base));
        }
        if !vma.uffd_wp_async() {
            return Err(FaultError::Signal(Signal::BUS));
        }
        k.because(&cause::uffd_async, |k| k.pt.split_huge_pmd(mm, vma, pmdp, base));
        return Ok(false);
    }
    let write = fault.access == Access::Write;
    let entry = k.pt.arch.pmd_mkyoung(pmd);
    let entry = if write { k.pt.arch.pmd_mkdirty(entry) } else { entry };
    k.because(&cause::fault_huge_access_flags, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::AccessFlags));
        k.pt.pmdp_set_access_flags(base, pmdp, entry, write);
    });
    Ok(true)
}

/// A write to a huge leaf that is mapped read-only (`do_huge_pmd_wp_page`).
fn do_huge_pmd_wp_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    pmdp: Ptep,
    pmd: Pte,
    base: VirtAddr,
) -> bool {
    let Some(folio) = k.pt.vm_normal_folio_pmd(pmd) else {
        return do_huge_zero_wp_pmd(k, mm, vma, pmdp, base);
    };
    let exclusive = k.pt.pages.is_exclusive(folio.head);
    if !exclusive && k.pt.pages.folio_ref_count(folio) > 1 {
        k.because(&cause::fault_huge_shared, |k| k.pt.split_huge_pmd(mm, vma, pmdp, base));
        return false;
    }
    if !exclusive {
        folio_move_anon_rmap(&mut k.pt, vma, folio);
        k.pt.pages.set_exclusive(folio.head, 1, true);
    }
    let entry = huge_mkwrite_dirty(&k.pt, vma, k.pt.arch.pmd_mkyoung(pmd));
    k.because(&cause::fault_huge_reuse, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::Reuse));
        k.pt.pmdp_set_access_flags(base, pmdp, entry, true);
    });
    true
}

/// A write to the huge zero page: a huge folio takes its place, or it is split, as always in releases before that.
fn do_huge_zero_wp_pmd<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    pmdp: Ptep,
    base: VirtAddr,
) -> bool {
    let folio = if k.pt.rules.huge_zero_write_replaces {
        let anon_vma = k.rmap.anon_vma_prepare::<A>(mm, vma);
        alloc_huge(&mut k.pt, mm, vma, anon_vma, base)
    } else {
        None
    };
    let Some(folio) = folio else {
        k.because(&cause::fault_huge_shared, |k| k.pt.split_huge_pmd(mm, vma, pmdp, base));
        return false;
    };
    let entry = new_huge_entry(&k.pt, vma, folio.head);
    k.because(&cause::fault_huge_zero_write, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::Copy));
        k.pt.pmdp_get_and_clear(base, pmdp);
        k.pt.flush_pmd_tlb_range(base);
        k.pt.set_pmd_at(base, pmdp, entry);
    });
    true
}
