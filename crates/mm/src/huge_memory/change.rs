//! Protection of huge leaves (`mm/huge_memory.c`, `change_huge_pmd`, 7.3).

use crate::cause;
use crate::mprotect::change::CpFlags;
use crate::mprotect::entries::ChangeWalk;
use crate::mprotect::numa::folio_can_map_prot_numa;
use crate::mprotect::softleaf::{changed_softleaf, uffd_changed};
use crate::mprotect::writable::{
    SetWrite, can_change_private_pte_writable, can_change_shared_pte_writable, maybe_change_pte_writable,
};
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Cause, Event, Level, Pte, Ptep, TableMemory, VirtAddr, VmFlags};

/// Changes a huge page whole.
pub(crate) fn change_huge_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    addr: VirtAddr,
    pmdp: Ptep,
    pmd: Pte,
) {
    let ChangeWalk { vma, newprot, cp_flags, .. } = *walk;
    if !pt.arch.pmd_present(pmd) {
        let (new, why) = changed_softleaf(pt, walk, pt.arch.pmd_pte(pmd));
        let new = pt.arch.pte_pmd(new);
        if new != pmd {
            pt.because(why, |pt| pt.set_pmd_at(addr, pmdp, new));
        }
        return;
    }
    if cp_flags.contains(CpFlags::PROT_NUMA) && prot_numa_skip_pmd(pt, vma, pmdp) {
        return pt.hw.keeps(pmdp, 1, &cause::numa_skip);
    }
    pt.hw.event(Event::HugeChange);
    pt.hw.begin_cause(&cause::mprotect_huge);
    let old = pt.pmdp_invalidate_ad(addr, pmdp);
    let mut entry = uffd_changed(pt, pt.arch.pmd_pte(pt.arch.pmd_modify(old, newprot)), cp_flags);
    entry = pt.arch.pte_pmd(entry);
    let mut set_write = SetWrite::NotAsked;
    if cp_flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pmd_write(entry) {
        set_write = can_change_pmd_writable(pt, vma, entry).into();
        entry = set_write.mkwrite_pmd(pt, entry);
    }
    pt.because_some(set_write.cause(), |pt| pt.set_pmd_at(addr, pmdp, entry));
    if pt.arch.huge_pmd_needs_flush(old, entry) {
        pt.hw.event(Event::FlushRequest);
        walk.tlb.flush_range(addr, A::entry_size(Level::Pmd), Level::Pmd);
    }
    pt.hw.end_cause();
}

/// Whether NUMA hinting passes over a huge leaf, which Linux reads again for that.
fn prot_numa_skip_pmd<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, pmdp: Ptep) -> bool {
    let pmd = pt.hw.load(pmdp);
    if pt.arch.pmd_protnone(pmd) {
        return true;
    }
    let Some(folio) = pt.vm_normal_folio_pmd(pmd) else { return true };
    pt.rules.numa_skips_huge_leaves && !folio_can_map_prot_numa(pt, vma, folio)
}

/// The same as `can_change_pte_writable`, for a huge leaf.
pub(crate) fn can_change_pmd_writable<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    pmd: Pte,
) -> Result<(), &'static Cause> {
    pt.hw.event(Event::WriteCheck);
    let pte = pt.arch.pmd_pte(pmd);
    if vma.flags.contains(VmFlags::SHARED) {
        return can_change_shared_pte_writable(pt, vma, pte);
    }
    maybe_change_pte_writable(pt, vma, pte)?;
    let folio = pt.vm_normal_folio_pmd(pmd).ok_or(&cause::write_not_anon)?;
    can_change_private_pte_writable(pt, folio, folio.head)
}
