//! First touches of private memory (`mm/memory.c`, `do_anonymous_page`, 7.3).

use crate::cause;
use crate::errno::FaultError;
use crate::huge_mm::{allowed_orders, suitable_order};
use crate::kernel::Kernel;
use crate::memory::fault::{Fault, marked, new_anon_entry};
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::rmap::add_new_anon_folio;
use crate::settings::MIN_THP_ORDER;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, Event, FaultKind, FolioSpan, Level, Pte, Ptep, TableMemory, VirtAddr};

pub(crate) fn do_anonymous_page<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    table: Ptep,
    fault: Fault,
) -> Result<(), FaultError> {
    if fault.access == Access::Read {
        let p = table.add(A::index(fault.addr, Level::Pte));
        let entry = marked(&k.pt, fault, k.pt.zero_entry(vma, fault.addr));
        k.because(&cause::fault_zero, |k| {
            k.pt.hw.event(Event::Fault(FaultKind::Zero));
            k.pt.set_pte_at(fault.addr, p, entry);
        });
        return Ok(());
    }
    let anon_vma = k.rmap.anon_vma_prepare::<A>(mm, vma);
    let empty = |k: &mut Kernel<A, H>, order| range_none(&k.pt, table, fault.addr, order);
    let folio = alloc_fitting(k, mm, vma, fault.addr, empty).ok_or(FaultError::OutOfMemory)?;
    let nr = folio.nr_pages();
    let addr = fault.addr.align_down(nr as u64 * A::PAGE_SIZE);
    add_new_anon_folio(&mut k.pt, vma, anon_vma, folio, addr);
    k.pt.pages.map(folio, folio.head, MapLevel::Ptes(nr), mm.id);
    k.pt.pages.set_exclusive(folio.head, nr, true);
    let entry = marked(&k.pt, fault, new_anon_entry(&k.pt, vma, folio.head));
    let p = table.add(A::index(addr, Level::Pte));
    k.because(&cause::fault_anon, |k| {
        k.pt.hw.event(Event::Fault(FaultKind::Anon));
        k.pt.set_ptes(addr, p, entry, nr);
    });
    Ok(())
}

/// A folio for a fault on private anonymous memory: of the largest order that is allowed and `fits`; smaller where memory has no such
/// block (`alloc_anon_folio`, `alloc_swap_folio`).
pub(crate) fn alloc_fitting<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    addr: VirtAddr,
    fits: impl Fn(&mut Kernel<A, H>, u32) -> bool,
) -> Option<FolioSpan> {
    // A userfaultfd is told of every page.
    let allowed = if vma.uffd.is_some() { 0 } else { allowed_orders(k, mm, vma) };
    let mut fitted = false;
    for order in (MIN_THP_ORDER..A::PMD_ORDER).rev() {
        if allowed & 1 << order == 0 || !suitable_order::<A>(vma, addr, order) {
            continue;
        }
        // What fits an order fits those below it.
        fitted = fitted || fits(k, order);
        if !fitted {
            continue;
        }
        if let Some(folio) = k.pt.alloc_folio(order) {
            return Some(folio);
        }
    }
    k.pt.alloc_folio(0)
}

/// Whether the entries of the aligned block of this order around `addr` are all empty (`pte_range_none`).
fn range_none<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    table: Ptep,
    addr: VirtAddr,
    order: u32,
) -> bool {
    let n = 1 << order;
    let first = A::index(addr, Level::Pte) & !(n - 1);
    pt.hw.peek_table(table.add(first), n).iter().all(|&word| pt.arch.pte_none(Pte(word)))
}
