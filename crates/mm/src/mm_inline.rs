//! What userfaultfd's write protection makes of entries that change or go (`include/linux/mm_inline.h`, `mm/mprotect.c`, 7.3).

use crate::cause;
use crate::mprotect::change::CpFlags;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, marker};

/// A present entry, protected or not as the walk asks.
#[inline]
pub(crate) fn uffd_changed<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, pte: Pte, flags: CpFlags) -> Pte {
    if flags.contains(CpFlags::UFFD_WP) {
        pt.arch.pte_mkuffd_wp(pte)
    } else if flags.contains(CpFlags::UFFD_WP_RESOLVE) {
        pt.arch.pte_clear_uffd_wp(pte)
    } else {
        pte
    }
}

/// What protecting or resolving makes of an entry that maps no page: empty ones get a marker where markers are used,
/// other markers stay as they are, and swapped pages carry a flag.
pub(crate) fn uffd_changed_nonpresent<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    flags: CpFlags,
    pte: Pte,
) -> Pte {
    let protects = flags.contains(CpFlags::UFFD_WP);
    if !protects && !flags.contains(CpFlags::UFFD_WP_RESOLVE) {
        pte
    } else if pt.arch.pte_none(pte) {
        if protects && vma.uffd_wp_use_markers() { pt.soft_word(SoftLeaf::UFFD_WP) } else { pte }
    } else if pt.is_marker(pte, 0) {
        if !protects && pt.is_marker(pte, marker::UFFD_WP) { Pte::NONE } else { pte }
    } else {
        pt.with_soft_flag(pte, SoftFlags::UFFD, protects)
    }
}

/// Leaves markers where entries of shared memory were taken away that were protected, as the first of them says
/// (`zap_install_uffd_wp_if_needed`).
pub(crate) fn uffd_mark_zapped<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    addr: VirtAddr,
    p: Ptep,
    first_is: bool,
    nr: usize,
) {
    if vma.is_anonymous() || !vma.uffd_wp() || !first_is {
        return;
    }
    let protected = pt.soft_word(SoftLeaf::UFFD_WP);
    pt.because(&cause::uffd_mark_zapped, |pt| {
        for i in 0..nr {
            let addr = addr.add(i as u64 * A::PAGE_SIZE);
            pt.set_pte_at(addr, p.add(i), protected);
        }
    });
}
