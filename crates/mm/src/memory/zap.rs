//! Taking mappings away (`mm/memory.c`, `unmap_page_range`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::mm_inline::zap_install_uffd_wp_if_needed;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, FolioSpan, Fpb, Level, MmuGather, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr,
    marker, swp_type,
};

/// What becomes of entries that are not pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zap {
    /// The range is unmapped for good.
    Unmap,
    /// The contents go (`MADV_DONTNEED`): markers stay; emptied tables may be freed.
    Dontneed,
    /// The contents go, for markers to take their place.
    Replace,
    /// What is kept elsewhere goes: private copies, and what is no page, stay.
    Hole,
}

/// Guards outlive their contents, as write protection of shared memory does.
fn outlives_contents(vma: &Vma, leaf: SoftLeaf) -> bool {
    leaf.is_marker(marker::GUARD) || !vma.is_anonymous() && leaf.is_marker(marker::UFFD_WP)
}

/// Takes software entries away, neighbouring slots of swap together; returns how many entries it is done with
/// (`zap_nonpresent_ptes`).
fn zap_nonpresent_ptes<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    (addr, p): (VirtAddr, Ptep),
    pte: Pte,
    max: usize,
    how: Zap,
) -> usize {
    let Some(leaf) = k.pt.soft_view(pte).filter(|_| how != Zap::Hole) else { return 1 };
    let mut nr = 1;
    match leaf.ty {
        swp_type::MARKER if how != Zap::Unmap && outlives_contents(vma, leaf) => {
            k.pt.hw.keeps(p, 1, &cause::marker_stays);
            return 1;
        }
        swp_type::DEVICE_READ | swp_type::DEVICE_WRITE | swp_type::DEVICE_EXCLUSIVE => {
            let page = Pfn::new(leaf.offset);
            let folio = k.pt.hw.page_folio(page);
            k.pt.pages.unmap(folio, page, MapLevel::Ptes(1), mm.id);
            k.swap.free_swap_cache(&mut k.pt.pages, folio);
        }
        _ if leaf.is_migration() => {
            let folio = k.pt.hw.page_folio(Pfn::new(leaf.offset));
            k.pt.migration_entries(folio.head, |entries| entries - 1);
            if !k.pt.pages.migrations.contains_key(&folio.head) {
                k.swap.free_swap_cache(&mut k.pt.pages, folio);
            }
        }
        _ if leaf.is_swap() => {
            nr = k.pt.swap_pte_batch(p, leaf, max);
            k.swap.put_batch(&mut k.pt, leaf, nr);
        }
        _ => {}
    }
    k.pt.clear_nonpresent_ptes(addr, p, nr);
    if how != Zap::Unmap {
        zap_install_uffd_wp_if_needed(&mut k.pt, vma, addr, p, leaf.flags.contains(SoftFlags::UFFD), nr);
    }
    nr
}

/// Takes away what `start..end` of a VMA maps.
pub(crate) fn zap_page_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    vma: &Vma,
    (start, end): (VirtAddr, VirtAddr),
    how: Zap,
) {
    if k.pt.rules.zap_drains_batches {
        k.pt.pages.lru_add_drain();
    }
    let mut addr = start;
    while let Some((pmdp, from, next)) = k.pt.next_pmd(mm, addr, end) {
        addr = next;
        let whole = next.since(from) == A::entry_size(Level::Pmd);
        if let PmdState::Huge(_) | PmdState::Soft(_) = k.pt.pmd_state(pmdp) {
            if whole {
                zap_huge_pmd(&mut k.pt, mm, tlb, pmdp, from);
                continue;
            }
            k.pt.split_huge_pmd(mm, vma, pmdp, from);
        }
        if let PmdState::Table(table) = k.pt.pmd_state(pmdp) {
            zap_pte_range(k, mm, tlb, vma, table, (from, next), how);
            if whole && how == Zap::Dontneed && reclaims_tables(&k.pt) {
                try_to_free_pte(&mut k.pt, mm, tlb, from, pmdp, table);
            }
        }
    }
    k.pt.tlb_end_vma(tlb);
}

/// Whether this kernel frees tables that `MADV_DONTNEED` emptied (`CONFIG_PT_RECLAIM`).
const fn reclaims_tables<A: Arch, H: TableMemory>(pt: &PageTables<A, H>) -> bool {
    pt.frees_tables
        && pt.rules.pt_reclaim
        && if pt.rules.pt_reclaim_wherever_safe {
            A::MMU_GATHER_RCU_TABLE_FREE && !A::HAVE_ARCH_TLB_REMOVE_TABLE
        } else {
            A::ARCH_SUPPORTS_PT_RECLAIM
        }
}

fn try_to_free_pte<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    addr: VirtAddr,
    pmdp: Ptep,
    table: Ptep,
) {
    if pt.is_empty_table(table, Level::Pte) {
        pt.because(&cause::pt_reclaim, |pt| pt.table_clear(pmdp, Level::Pmd));
        pt.free_table(mm, table, Level::Pte);
        tlb.free_table(addr, A::PAGE_SIZE, Level::Pmd);
    }
}

/// Takes a huge leaf away (`zap_huge_pmd`).
pub(crate) fn zap_huge_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    pmdp: Ptep,
    addr: VirtAddr,
) {
    let old = pt.pmdp_get_and_clear(addr, pmdp);
    tlb.flush_range(addr, A::entry_size(Level::Pmd), Level::Pmd);
    pt.forfeit_table(mm);
    if let Some(leaf) = pt.soft_view_pmd(old) {
        pt.migration_entries(Pfn::new(leaf.offset), |entries| entries - 1);
    } else if let Some(folio) = pt.vm_normal_folio_pmd(old) {
        pt.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
    }
}

/// Takes away the entries of `addr..end`, which lies under one table.
pub(crate) fn zap_pte_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    tlb: &mut MmuGather,
    vma: &Vma,
    table: Ptep,
    (mut addr, end): (VirtAddr, VirtAddr),
    how: Zap,
) {
    let mut p = table.add(A::index(addr, Level::Pte));
    while addr < end {
        let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
        let pte = k.pt.ptep_get(p);
        let nr = if k.pt.arch.pte_none(pte) {
            1
        } else if k.pt.arch.pte_present(pte) {
            zap_present_ptes(k, mm, tlb, vma, (addr, p), pte, max, how)
        } else {
            zap_nonpresent_ptes(k, mm, vma, (addr, p), pte, max, how)
        };
        p = p.add(nr);
        addr = addr.add(nr as u64 * A::PAGE_SIZE);
    }
}

#[expect(clippy::too_many_arguments, reason = "one step of a walk")]
fn zap_present_ptes<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    tlb: &mut MmuGather,
    vma: &Vma,
    (addr, p): (VirtAddr, Ptep),
    pte: Pte,
    max: usize,
    how: Zap,
) -> usize {
    let pt = &mut k.pt;
    let folio = pt.vm_normal_folio(pte);
    if how == Zap::Hole && folio.is_some_and(|folio| pt.pages.is_anon(folio)) {
        return 1;
    }
    let nr = zap_present_batch(pt, mm, tlb, (addr, p), pte, folio, max);
    if let Some(folio) = folio {
        k.swap.free_swap_cache(&mut pt.pages, folio);
    }
    if how != Zap::Unmap {
        let uffd_wp = pt.arch.pte_uffd_wp(pte);
        zap_install_uffd_wp_if_needed(pt, vma, addr, p, uffd_wp, nr);
    }
    nr
}

/// Takes a page away, or as many of a folio as lie side by side.
fn zap_present_batch<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    tlb: &mut MmuGather,
    (addr, p): (VirtAddr, Ptep),
    pte: Pte,
    folio: Option<FolioSpan>,
    max: usize,
) -> usize {
    let nr = folio.map_or(1, |folio| pt.folio_pte_batch(folio, p, pte, max, Fpb::empty()));
    tlb.flush_range(addr, nr as u64 * A::PAGE_SIZE, Level::Pte);
    let Some(folio) = folio else {
        pt.ptep_get_and_clear(addr, p);
        return nr;
    };
    if pt.pages.is_anon(folio) {
        pt.clear_ptes(addr, p, nr);
    } else {
        let old = pt.get_and_clear_ptes(addr, p, nr);
        if pt.arch.pte_dirty(old) {
            pt.pages.set_dirty(folio, true);
        }
    }
    pt.pages.unmap(folio, pt.arch.pte_pfn(pte), MapLevel::Ptes(nr), mm.id);
    nr
}
