//! `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE` (`mm/madvise.c`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::madvise::range::Range;
use crate::memory::zap::{Zap, zap_page_range};
use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Level, MmuGather, SoftLeaf, TableMemory, VmFlags, marker};
use ptelab_uapi::Errno;

// MADV_GUARD_INSTALL, MADV_GUARD_REMOVE.

pub(crate) fn madvise_guard_install<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    range: Range,
) -> Result<(), Errno> {
    let refused = VmFlags::SPECIAL | VmFlags::HUGETLB | VmFlags::LOCKED;
    if vma.flags.intersects(refused) {
        return Err(Errno::EINVAL);
    }
    if k.pt.rules.guard_vma_flag {
        mm.vmas.at_mut(vma.start).flags |= VmFlags::MAYBE_GUARD;
    }
    // Before guards had a flag, only an anon_vma made fork copy them, so shared memory got one too.
    if vma.is_anonymous() || !k.pt.rules.guard_vma_flag {
        k.rmap.anon_vma_prepare::<A>(mm, vma);
    }
    k.because(&cause::guard_install, |k| install_guards(k, mm, vma, range))
}

fn install_guards<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    range: Range,
) -> Result<(), Errno> {
    let mut tlb = MmuGather::default();
    zap_page_range(k, mm, &mut tlb, vma, range, Zap::Replace);
    k.pt.tlb_finish(&mut tlb);
    let guard = k.pt.soft_word(SoftLeaf::GUARD);
    let (mut addr, end) = range;
    while addr < end {
        let pmdp = k.pt.pmd_alloc(mm, addr)?;
        let table = k.pt.pte_alloc(mm, pmdp)?;
        let p = table.add(A::index(addr, Level::Pte));
        let pte = k.pt.hw.peek(p);
        if k.pt.arch.pte_none(pte) {
            k.pt.set_pte_at(addr, p, guard);
        } else if !k.pt.is_marker(pte, marker::GUARD) {
            // Zapping leaves it there, so Linux starts over until a signal ends the process.
            return Err(Errno::ERESTARTNOINTR);
        }
        addr = addr.add(A::PAGE_SIZE);
    }
    Ok(())
}

pub(crate) fn madvise_guard_remove<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    (start, end): Range,
) -> Result<(), Errno> {
    if vma.flags.intersects(VmFlags::SPECIAL | VmFlags::HUGETLB) {
        return Err(Errno::EINVAL);
    }
    let mut addr = start;
    while let Some((pmdp, from, next)) = pt.next_pmd(mm, addr, end) {
        addr = next;
        let PmdState::Table(table) = pt.pmd_state(pmdp) else { continue };
        let first = A::index(from, Level::Pte);
        for i in 0..(next.since(from) >> A::PAGE_SHIFT) as usize {
            let p = table.add(first + i);
            let pte = pt.hw.load(p);
            if pt.is_marker(pte, marker::GUARD) {
                let addr = from.add((i as u64) << A::PAGE_SHIFT);
                pt.because(&cause::guard_remove, |pt| {
                    pt.pte_clear(addr, p);
                });
            }
        }
    }
    Ok(())
}
