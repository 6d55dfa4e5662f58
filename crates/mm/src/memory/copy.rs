//! Fork: copying page tables (`mm/memory.c`, `copy_page_range`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::memory::device::restore_exclusive_pte;
use crate::mm_types::Mm;
use crate::pages::MapLevel;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use crate::vma::vma_soft_dirty_enabled;
use ptelab_pgtable::{
    Arch, FolioSpan, Fpb, Level, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags, marker,
    swp_type,
};
use ptelab_uapi::Errno;

/// What is copied: the parent, its VMA, and whether write protection by userfaultfd goes along.
pub(crate) struct CopySrc<'a> {
    pub(crate) src_mm: &'a Mm,
    pub(crate) vma: &'a Vma,
    /// The child keeps userfaultfd's write protection.
    pub(crate) keeps_uffd: bool,
}

/// What fork does with a software entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    /// The child has what it gets.
    Done,
    /// The entry maps a page again: it is shared as such.
    Present,
}

pub(crate) fn copy_page_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    child: &mut Mm,
    copy: &CopySrc<'_>,
) -> Result<(), Errno> {
    let mut addr = copy.vma.start;
    while let Some((src, from, next)) = k.pt.next_pmd(copy.src_mm, addr, copy.vma.end) {
        addr = next;
        let dst = k.pt.pmd_alloc(child, from)?;
        match k.pt.pmd_state(src) {
            PmdState::None => {}
            PmdState::Huge(pmd) | PmdState::Soft(pmd) => {
                k.because(&cause::fork_huge, |k| {
                    copy_huge_pmd(&mut k.pt, child, copy, (src, dst), pmd, from)
                })?;
            }
            PmdState::Table(table) => {
                let dst = k.pt.pte_alloc(child, dst)?;
                copy_pte_range(k, child, copy, (table, dst), (from, next));
            }
        }
    }
    Ok(())
}

/// Shares a huge page with the child (`copy_huge_pmd`).
fn copy_huge_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    child: &mut Mm,
    copy: &CopySrc<'_>,
    (src, dst): (Ptep, Ptep),
    pmd: Pte,
    addr: VirtAddr,
) -> Result<(), Errno> {
    if !copy.vma.is_anonymous() {
        return Ok(());
    }
    pt.deposit_table(child)?;
    if !pt.arch.pmd_present(pmd) {
        copy_softleaf_pmd(pt, copy, (src, dst), pmd, addr);
        return Ok(());
    }
    if let Some(folio) = pt.vm_normal_folio_pmd(pmd) {
        pt.pages.set_exclusive(folio.head, 1, false);
        pt.pages.map(folio, folio.head, MapLevel::Pmd, child.id);
    }
    pt.pmdp_set_wrprotect(addr, src);
    let pmd = pt.arch.pmd_mkold(pt.arch.pmd_wrprotect(pmd));
    let pmd = if copy.keeps_uffd { pmd } else { pt.arch.pmd_clear_uffd_wp(pmd) };
    pt.set_pmd_at(addr, dst, pmd);
    Ok(())
}

/// Shares the pages of `addr..end`, which lies under one table on either side.
fn copy_pte_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    child: &Mm,
    copy: &CopySrc<'_>,
    (src, dst): (Ptep, Ptep),
    (mut addr, end): (VirtAddr, VirtAddr),
) {
    let mut i = A::index(addr, Level::Pte);
    while addr < end {
        let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
        let pte = k.pt.ptep_get(src.add(i));
        let nr = if k.pt.arch.pte_none(pte) {
            1
        } else if k.pt.arch.pte_present(pte) {
            let cow = copy.vma.flags.is_cow();
            let cause = if cow { &cause::fork_private } else { &cause::fork_shared };
            k.because(cause, |k| {
                copy_present_ptes(&mut k.pt, child, copy, (src.add(i), dst.add(i)), pte, addr, max)
            })
        } else {
            let forked = k.because(&cause::fork_softleaf, |k| {
                copy_nonpresent_pte(k, child, copy, (src.add(i), dst.add(i)), pte, addr)
            });
            match forked {
                Forked::Done => 1,
                Forked::Present => continue,
            }
        };
        i += nr;
        addr = addr.add(nr as u64 * A::PAGE_SIZE);
    }
}

/// Shares one batch of pages; returns its length.
fn copy_present_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    child: &Mm,
    copy: &CopySrc<'_>,
    (src, dst): (Ptep, Ptep),
    mut pte: Pte,
    addr: VirtAddr,
    max: usize,
) -> usize {
    let vma = copy.vma;
    let mut nr = 1;
    if let Some(folio) = pt.vm_normal_folio(pte) {
        nr = pt.folio_pte_batch(folio, src, pte, max, fork_respects(pt, vma));
        if any_writable_behind(pt, src, pte, nr) {
            pte = pt.arch.pte_mkwrite(pte);
        }
        folio_try_dup_anon_rmap_ptes(pt, child, folio, pte, nr);
    }
    if vma.flags.is_cow() && pt.arch.pte_write(pte) {
        pt.wrprotect_ptes(addr, src, nr);
        pte = pt.arch.pte_wrprotect(pte);
    }
    if vma.flags.contains(VmFlags::SHARED) {
        pte = pt.arch.pte_mkclean(pte);
    }
    pte = pt.arch.pte_mkold(pte);
    if !copy.keeps_uffd {
        pte = pt.arch.pte_clear_uffd_wp(pte);
    }
    pt.set_ptes(addr, dst, pte, nr);
    nr
}

/// Whether a batch has a writable entry behind the first one, or behind the block that the first one speaks for. Where those alone are
/// writable and clean, the batch stays clean, though `pte_mkwrite` may dirty it.
fn any_writable_behind<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    src: Ptep,
    pte: Pte,
    nr: usize,
) -> bool {
    let mut i = pt.arch.pte_batch_hint(src, pte);
    while i < nr {
        let next = pt.hw.peek(src.add(i));
        if pt.arch.pte_write(next) {
            return true;
        }
        i += pt.arch.pte_batch_hint(src.add(i), next);
    }
    false
}

fn fork_respects<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma) -> Fpb {
    let mut respect = Fpb::empty();
    if !vma.flags.contains(VmFlags::SHARED) {
        respect |= Fpb::RESPECT_DIRTY;
    }
    if vma_soft_dirty_enabled(pt, vma) {
        respect |= Fpb::RESPECT_SOFT_DIRTY;
    }
    respect
}

/// The child maps these pages too, so they are no longer exclusive.
fn folio_try_dup_anon_rmap_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    child: &Mm,
    folio: FolioSpan,
    pte: Pte,
    nr: usize,
) {
    let pfn = pt.arch.pte_pfn(pte);
    if pt.pages.is_anon(folio) {
        pt.pages.set_exclusive(pfn, nr, false);
    }
    pt.pages.map(folio, pfn, MapLevel::Ptes(nr), child.id);
}

/// Gives a child what a software entry stands for; what was exclusive is shared (`copy_nonpresent_pte`).
fn copy_nonpresent_pte<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    child: &Mm,
    copy: &CopySrc<'_>,
    (src, dst): (Ptep, Ptep),
    pte: Pte,
    addr: VirtAddr,
) -> Forked {
    let vma = copy.vma;
    let Some(mut leaf) = k.pt.soft_view(pte) else { return Forked::Done };
    match leaf.ty {
        swp_type::MARKER => {
            let uffd_wp = copy.keeps_uffd && leaf.is_marker(marker::UFFD_WP);
            if uffd_wp || leaf.is_marker(marker::GUARD) || leaf.is_marker(marker::POISONED) {
                // What the marker stands for, and nothing that was noted of the parent's entry (`copy_pte_marker`).
                leaf.flags = SoftFlags::empty();
                let word = k.pt.soft_word(leaf);
                k.pt.set_pte_at(addr, dst, word);
            }
            return Forked::Done;
        }
        swp_type::DEVICE_EXCLUSIVE => {
            restore_exclusive_pte(&mut k.pt, vma, src, leaf, addr);
            return Forked::Present;
        }
        swp_type::DEVICE_READ | swp_type::DEVICE_WRITE => {
            let page = Pfn::new(leaf.offset);
            let folio = k.pt.hw.page_folio(page);
            k.pt.pages.set_exclusive(page, 1, false);
            k.pt.pages.map(folio, page, MapLevel::Ptes(1), child.id);
            if leaf.ty == swp_type::DEVICE_WRITE {
                leaf = SoftLeaf { ty: swp_type::DEVICE_READ, flags: leaf.flags & SoftFlags::UFFD, ..leaf };
            }
        }
        _ if leaf.is_migration() => {
            k.pt.migration_entries(Pfn::new(leaf.offset), |entries| entries + 1);
            if vma.flags.is_cow() && leaf.ty != swp_type::MIGRATION_READ {
                let kept = leaf.flags & (SoftFlags::SOFT_DIRTY | SoftFlags::UFFD);
                leaf = shared_migration(leaf, kept);
            }
        }
        _ if leaf.is_swap() => {
            k.swap.dup(leaf);
            leaf.flags -= SoftFlags::EXCLUSIVE;
        }
        _ => {}
    }
    let word = k.pt.soft_word(leaf);
    if word != pte {
        k.pt.set_pte_at(addr, src, word);
    }
    let word = forked_softleaf(&k.pt, copy, word);
    k.pt.set_pte_at(addr, dst, word);
    Forked::Done
}

/// The migration entry of a page that is shared from now on. Accessed and dirty stand in the offset, which is kept.
fn shared_migration(leaf: SoftLeaf, kept: SoftFlags) -> SoftLeaf {
    let recorded = leaf.flags & (SoftFlags::YOUNG | SoftFlags::DIRTY);
    SoftLeaf { ty: swp_type::MIGRATION_READ, flags: kept | recorded, ..leaf }
}

/// Gives a child the entry of a huge page that migrates (`copy_huge_non_present_pmd`).
fn copy_softleaf_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    copy: &CopySrc<'_>,
    (src, dst): (Ptep, Ptep),
    pmd: Pte,
    addr: VirtAddr,
) {
    let Some(leaf) = pt.soft_view_pmd(pmd) else { return };
    pt.migration_entries(Pfn::new(leaf.offset), |entries| entries + 1);
    let kept = leaf.flags & (SoftFlags::SOFT_DIRTY | SoftFlags::UFFD);
    let word = pt.soft_word(shared_migration(leaf, kept));
    let shared = pt.arch.pte_pmd(word);
    if shared != pmd {
        pt.set_pmd_at(addr, src, shared);
    }
    let forked = pt.arch.pte_pmd(forked_softleaf(pt, copy, word));
    pt.set_pmd_at(addr, dst, forked);
}

/// A child's entry is write-protected only where its userfaultfd is its parent's.
fn forked_softleaf<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, copy: &CopySrc<'_>, pte: Pte) -> Pte {
    if copy.keeps_uffd { pte } else { pt.with_soft_flag(pte, SoftFlags::UFFD, false) }
}
