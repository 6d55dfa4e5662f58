//! Writes to pages that are mapped read-only (`mm/memory.c`, `do_wp_page`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::fault::{Fault, new_anon_entry};
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::{folio_add_new_anon_rmap, folio_move_anon_rmap};
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Event, FaultKind, FolioSpan, Pfn, Pte, Ptep, TableMemory, VmFlags};
use ptelab_uapi::Signal;

/// A write to a page that is mapped read-only (`do_wp_page`).
pub(crate) fn do_wp_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    p: Ptep,
    mut pte: Pte,
    fault: Fault,
) -> Result<(), FaultError> {
    if vma.uffd_wp() && k.pt.arch.pte_uffd_wp(pte) {
        if !vma.uffd_wp_async() {
            return Err(FaultError::Signal(Signal::BUS));
        }
        pte = k.pt.arch.pte_clear_uffd_wp(pte);
        k.because(&cause::uffd_async, |k| {
            k.pt.set_pte_at(fault.addr, p, pte);
        });
    }
    let folio = k.pt.vm_normal_folio(pte);
    if vma.flags.contains(VmFlags::SHARED) {
        if let Some(folio) = folio {
            k.pt.pages.set_dirty(folio, true);
        }
        k.because(&cause::fault_shared_write, |k| wp_page_reuse(&mut k.pt, vma, p, pte, fault));
        return Ok(());
    }
    let pfn = k.pt.arch.pte_pfn(pte);
    if let Some(folio) = folio
        && k.pt.pages.is_anon(folio)
        && (k.pt.pages.is_exclusive(pfn) || wp_can_reuse_anon_folio(k, folio))
    {
        if !k.pt.pages.is_exclusive(pfn) {
            take_over(&mut k.pt, vma, folio, pfn);
        }
        k.because(&cause::fault_reuse, |k| wp_page_reuse(&mut k.pt, vma, p, pte, fault));
        return Ok(());
    }
    wp_page_copy(k, mm, vma, p, pte, fault)
}

fn wp_can_reuse_anon_folio<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, folio: FolioSpan) -> bool {
    if folio.order > 0 && !k.pt.rules.wp_reuses_large_folios {
        return false;
    }
    let pages = &mut k.pt.pages;
    if pages.is_cached(folio) {
        let alone = match (folio.order, pages.folio_mapcount(folio)) {
            (0, _) => pages.folio_ref_count(folio) == 2,
            (_, mapcount) => mapcount > 1 && !pages.maybe_mapped_shared(folio),
        };
        if alone {
            k.swap.folio_free_swap(pages, folio);
        }
    }
    pages.wp_can_reuse_anon_folio(folio)
}

/// Makes a page that turned out to be nobody else's exclusive. An order-0 folio moves to the VMA's own anon_vma
/// (`folio_move_anon_rmap`).
fn take_over<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, folio: FolioSpan, pfn: Pfn) {
    if folio.order == 0 {
        folio_move_anon_rmap(pt, vma, folio);
    }
    pt.pages.set_exclusive(pfn, 1, true);
}

fn wp_page_reuse<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    p: Ptep,
    pte: Pte,
    fault: Fault,
) {
    pt.hw.event(Event::Fault(FaultKind::Reuse));
    let entry = pt.arch.pte_mkdirty(pt.arch.pte_mkyoung(pte));
    let entry = if vma.flags.contains(VmFlags::WRITE) { pt.arch.pte_mkwrite(entry) } else { entry };
    pt.ptep_set_access_flags(fault.addr, p, entry, true);
}

fn wp_page_copy<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    p: Ptep,
    pte: Pte,
    fault: Fault,
) -> Result<(), FaultError> {
    let anon_vma = k.rmap.anon_vma_prepare::<A>(mm, vma);
    let span = k.pt.alloc_folio(0).ok_or(FaultError::OutOfMemory)?;
    let new = span.head;
    let old_pfn = k.pt.arch.pte_pfn(pte);
    let old_folio = (!k.pt.arch.pte_special(pte)).then(|| k.pt.hw.peek_folio(old_pfn));
    let copied = if old_folio.is_some() { Event::PagesCopied(1) } else { Event::PagesZeroed(1) };
    k.pt.hw.event(copied);
    k.pt.pages.copy(old_pfn, new);
    folio_add_new_anon_rmap(&mut k.pt, vma, anon_vma, span, fault.addr);
    k.pt.pages.map(span, new, MapLevel::Ptes(1), mm.id);
    k.pt.pages.set_exclusive(new, 1, true);
    let entry = new_anon_entry(&k.pt, vma, new);
    k.because(&cause::fault_copy, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::Copy));
        k.pt.ptep_clear_flush(fault.addr, p);
        k.pt.set_pte_at(fault.addr, p, entry);
    });
    if let Some(folio) = old_folio {
        k.pt.pages.unmap(folio, old_pfn, MapLevel::Ptes(1), mm.id);
        k.swap.free_swap_cache(&mut k.pt.pages, folio);
    }
    Ok(())
}
