//! Entries that map no page, and userfaultfd's protection (`mm/mprotect.c`, `change_softleaf_pte`, 7.3).

use crate::cause;
use crate::mprotect::change::CpFlags;
use crate::mprotect::entries::ChangeWalk;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Cause, Pfn, Pte, SoftFlags, SoftLeaf, TableMemory, marker, swp_type};

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

/// What a software entry becomes, and why: a writable one becomes readable, so that its page comes back read-only and the first
/// write asks again; userfaultfd's protection is a flag of it. Of a huge page, this is `change_non_present_huge_pmd`.
pub(crate) fn changed_softleaf<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    walk: &ChangeWalk<'_>,
    pte: Pte,
) -> (Pte, &'static Cause) {
    let (changed, why) = match pt.soft_view(pte).and_then(|leaf| readable_softleaf(pt, leaf)) {
        Some(leaf) => (pt.soft_word(leaf), &cause::mprotect_softleaf),
        None => (pte, &cause::uffd_wp_softleaf),
    };
    (uffd_changed_nonpresent(pt, walk.vma, walk.cp_flags, changed), why)
}

/// What a writable migration or device entry becomes.
fn readable_softleaf<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, leaf: SoftLeaf) -> Option<SoftLeaf> {
    let read = |ty, kept| Some(SoftLeaf { ty, flags: leaf.flags & kept, ..leaf });
    match leaf.ty {
        swp_type::MIGRATION_WRITE => {
            let anon = pt.pages.is_anon(pt.hw.peek_folio(Pfn::new(leaf.offset)));
            let ty = if anon { swp_type::MIGRATION_READ_EXCLUSIVE } else { swp_type::MIGRATION_READ };
            read(ty, SoftFlags::SOFT_DIRTY | SoftFlags::YOUNG | SoftFlags::DIRTY)
        }
        swp_type::DEVICE_WRITE => read(swp_type::DEVICE_READ, SoftFlags::UFFD),
        _ => None,
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
        if !protects && pt.is_marker(pte, marker::UFFD_WP) { A::EMPTY[0] } else { pte }
    } else {
        pt.with_soft_flag(pte, SoftFlags::UFFD, protects)
    }
}
