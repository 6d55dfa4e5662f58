//! Protection of huge leaves (`mm/huge_memory.c`, `change_huge_pmd`, 7.3).

use crate::cause;
use crate::mm_inline::{uffd_changed, uffd_changed_nonpresent};
use crate::mprotect::change::{Change, CpFlags};
use crate::mprotect::entries::Walk;
use crate::mprotect::numa::folio_can_map_prot_numa;
use crate::mprotect::writable::{SetWrite, can_change_pmd_writable};
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, Cause, Event, Level, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, swp_type,
};

/// Changes a huge page whole.
pub(crate) fn change_huge_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    pmdp: Ptep,
    pmd: Pte,
) {
    let Change { vma, newprot, cp_flags } = walk.change;
    walk.pages += A::PTRS_PER_TABLE as u64;
    if !pt.arch.pmd_present(pmd) {
        let (new, why) = changed_softleaf(pt, &walk.change, pmd);
        if new != pmd {
            pt.because(why, |pt| pt.set_pmd_at(addr, pmdp, new));
        }
        return;
    }
    pt.hw.event(Event::HugeChange);
    if cp_flags.contains(CpFlags::PROT_NUMA) && prot_numa_skip_pmd(pt, vma, pmdp) {
        return pt.hw.keeps(pmdp, 1, &cause::numa_skip);
    }
    pt.hw.begin_cause(&cause::mprotect_huge);
    let old = pt.pmdp_invalidate_ad(addr, pmdp);
    let mut entry = uffd_changed(pt, pt.arch.pmd_modify(old, newprot), cp_flags);
    let mut set_write = SetWrite::NotAsked;
    if cp_flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pte_write(entry) {
        set_write = can_change_pmd_writable(pt, vma, entry).into();
        entry = set_write.apply(pt, entry);
    }
    set_write.because(pt, |pt| pt.set_pmd_at(addr, pmdp, entry));
    if pt.arch.huge_pmd_needs_flush(old, entry) {
        pt.hw.event(Event::FlushRequest);
        walk.tlb.flush_range(addr, A::entry_size(Level::Pmd), Level::Pmd);
    }
    pt.hw.end_cause();
}

/// Whether NUMA hinting passes over a huge leaf.
fn prot_numa_skip_pmd<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, pmdp: Ptep) -> bool {
    let pmd = pt.hw.load(pmdp);
    if pt.arch.pte_protnone(pmd) {
        return true;
    }
    let Some(folio) = pt.vm_normal_folio_pmd(pmd) else { return true };
    pt.rules.numa_skips_huge_leaves && !folio_can_map_prot_numa(pt, vma, folio)
}

/// What a software entry becomes where protections change, and why: what is writable is so no more, and gets its permission
/// back when its page comes back; userfaultfd's protection is a flag (`change_softleaf_pte`, `change_non_present_huge_pmd`).
pub(crate) fn changed_softleaf<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    change: &Change<'_>,
    pte: Pte,
) -> (Pte, &'static Cause) {
    let (changed, why) = match pt.soft_view(pte).and_then(|leaf| readable_softleaf(pt, leaf)) {
        Some(leaf) => (pt.soft_word(leaf), &cause::mprotect_softleaf),
        None => (pte, &cause::uffd_wp_softleaf),
    };
    (uffd_changed_nonpresent(pt, change.vma, change.cp_flags, changed), why)
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
