//! Pages that devices have: in memory of their own, or lent to one alone (`mm/migrate_device.c`, `mm/memory.c`, `mm/rmap.c`,
//! 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::migrate::isolate_folios;
use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, FolioSpan, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type};
use ptelab_uapi::Errno;

/// The private pages of a range that can go to a device, where large folios were split; what is not mapped stays so
/// (`migrate_vma_setup`).
///
/// # Errors
/// `EINVAL` for a range that is not aligned, `ENOENT` where it maps no such page.
pub fn device_folios<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    start: VirtAddr,
    len: u64,
) -> Result<Vec<FolioSpan>, Errno> {
    let mut folios = isolate_folios(pt, mm, start, len)?;
    folios.retain(|&folio| folio.order == 0 && pt.pages.is_anon(folio));
    if folios.is_empty() { Err(Errno::ENOENT) } else { Ok(folios) }
}

/// Lends a page to a device alone: the process has it back with its next access (`make_device_exclusive`).
///
/// The page was faulted in for writing.
///
/// # Errors
/// `EFAULT` where nothing is mapped, `EOPNOTSUPP` for memory that is not private.
pub fn make_device_exclusive<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
) -> Result<(), Errno> {
    let addr = addr.align_down(A::PAGE_SIZE);
    let vma = mm.vmas.find(addr).ok_or(Errno::EFAULT)?.clone();
    k.because(&cause::device_exclusive, |k| lend_to_device(&mut k.pt, mm, &vma, addr))
}

fn lend_to_device<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    addr: VirtAddr,
) -> Result<(), Errno> {
    if let PmdState::Huge(_) = pt.pmd_at(mm, addr) {
        pt.split_huge_pmd_address(mm, vma, addr);
    }
    let p = pt.pte_offset(mm, addr).ok_or(Errno::EFAULT)?;
    let folio = pt.vm_normal_folio(pt.hw.peek(p)).ok_or(Errno::EFAULT)?;
    if !pt.pages.is_anon(folio) {
        return Err(Errno::EOPNOTSUPP);
    }
    let old = pt.ptep_clear_flush(addr, p);
    if pt.arch.pte_dirty(old) {
        pt.pages.set_dirty(folio, true);
    }
    let mut flags = SoftFlags::empty();
    flags.set(SoftFlags::SOFT_DIRTY, pt.arch.pte_soft_dirty(old));
    let leaf = SoftLeaf::of_page(swp_type::DEVICE_EXCLUSIVE, pt.arch.pte_pfn(old), flags);
    let word = pt.soft_word(leaf);
    pt.set_pte_at(addr, p, word);
    Ok(())
}
