//! What /proc shows: pagemap, smaps, clear_refs (`fs/proc/task_mmu.c`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::maps::{Backing, backing};
use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use crate::vma::vma_set_page_prot;
use ptelab_pgtable::{Arch, Level, Pte, Ptep, SoftFlags, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

/// What smaps says of a VMA.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VmaFacts {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Flags.
    pub flags: VmFlags,
    /// Resident, in bytes.
    pub rss: u64,
    /// Of that mapped by huge leaves, in bytes.
    pub anon_huge: u64,
    /// In swap, in bytes.
    pub swap: u64,
    /// What it is of.
    pub backing: Backing,
    /// Where it begins in its file, or in shared memory, in pages; 0 for private memory of no file.
    pub pgoff: u64,
}

impl VmaFacts {
    /// Permissions as /proc/PID/maps prints them: `rw-p`.
    pub fn perms(&self) -> String {
        self.flags.perms()
    }
}

/// What smaps says of every VMA that intersects a range.
pub fn smaps<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Vec<VmaFacts> {
    mm.vmas.range(start, end).map(|vma| smaps_of(k, mm, vma)).collect()
}

fn smaps_of<A: Arch, H: TableMemory>(k: &Kernel<A, H>, mm: &Mm, vma: &Vma) -> VmaFacts {
    let (mut pages, mut huge, mut swap) = (0, 0, 0);
    let mut addr = vma.start;
    while let Some((pmdp, from, next)) = k.pt.next_pmd(mm, addr, vma.end) {
        addr = next;
        match k.pt.pmd_state(pmdp) {
            PmdState::None => {}
            PmdState::Huge(pmd) => huge += u64::from(!k.pt.pages.is_zero_page(k.pt.arch.pmd_pfn(pmd))),
            PmdState::Soft(_) => huge += 1,
            PmdState::Table(table) => {
                let first = A::index(from, Level::Pte);
                let n = (next.since(from) >> A::PAGE_SHIFT) as usize;
                let (resident, swapped) = resident(&k.pt, k.pt.hw.peek_table(table.add(first), n));
                pages += resident;
                swap += swapped;
            }
        }
    }
    let anon_huge = huge * A::entry_size(Level::Pmd);
    let rss = (pages << A::PAGE_SHIFT) + anon_huge;
    let backing = backing(k, mm, vma);
    let pgoff = if backing.has_file() { vma.pgoff } else { 0 };
    let swap = swap << A::PAGE_SHIFT;
    VmaFacts { start: vma.start, end: vma.end, flags: vma.flags, rss, anon_huge, swap, backing, pgoff }
}

/// How many of these page entries stand for a page that counts as resident, and how many for one in swap
/// (`smaps_pte_entry`).
fn resident<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, words: &[u64]) -> (u64, u64) {
    let mut found = (0, 0);
    for &word in words {
        let pte = Pte(word);
        if pt.arch.pte_present(pte) {
            found.0 += u64::from(!maps_zero_page(pt, pte));
        } else if !pt.arch.pte_none(pte)
            && let Some(leaf) = pt.soft_view(pte)
        {
            found.0 += u64::from(leaf.pfn().is_some());
            found.1 += u64::from(leaf.is_swap());
        }
    }
    found
}

#[inline]
fn maps_zero_page<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, pte: Pte) -> bool {
    pt.pages.is_zero_page(pt.arch.pte_pfn(pte))
}

/// Writes `what` to /proc/PID/clear_refs: 1 to 3 make pages old (all, private, shared), 4 starts soft-dirty tracking
/// anew, 5 resets the peak of the resident size.
///
/// # Errors
/// `EINVAL` for any other number.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn clear_refs<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    what: u64,
) -> Result<(), Errno> {
    match what {
        1..=3 => k.because(&cause::clear_young, |k| clear_young(&mut k.pt, mm, what)),
        4 => k.because(&cause::clear_soft_dirty, |k| clear_soft_dirty(k, mm)),
        5 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn clear_young<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, mm: &Mm, what: u64) {
    let wanted = |vma: &&Vma| what == 1 || (what == 2) == vma.is_anonymous();
    let vmas: Vec<Vma> = mm.vmas.iter().filter(wanted).cloned().collect();
    for vma in vmas {
        pt.for_leaves(mm, &vma, |pt, addr, p, level| {
            let old = pt.hw.peek(p);
            if level == Level::Pte && pt.present_page(old).is_some() {
                pt.ptep_test_and_clear_young(addr, p);
            } else if level == Level::Pmd && pt.arch.pmd_present(old) {
                pt.pmdp_test_and_clear_young(addr, p);
            }
        });
    }
}

fn clear_soft_dirty<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm) {
    if k.pt.arch.has_soft_dirty() {
        for vma in mm.vmas.iter_mut() {
            vma.flags -= VmFlags::SOFTDIRTY;
        }
        let starts: Vec<VirtAddr> = mm.vmas.iter().map(|vma| vma.start).collect();
        for start in starts {
            vma_set_page_prot(k, mm, start);
        }
        let vmas: Vec<Vma> = mm.vmas.iter().cloned().collect();
        for vma in vmas {
            k.pt.for_leaves(mm, &vma, |pt, addr, p, level| {
                if level == Level::Pte {
                    clear_soft_dirty_pte(pt, addr, p);
                } else {
                    clear_soft_dirty_pmd(pt, addr, p);
                }
            });
        }
    }
    k.pt.flush_tlb_mm();
}

fn clear_soft_dirty_pte<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, addr: VirtAddr, p: Ptep) {
    let pte = pt.hw.load(p);
    if !pt.arch.pte_present(pte) {
        let clean = pt.with_soft_flag(pte, SoftFlags::SOFT_DIRTY, false);
        return pt.set_pte_at(addr, p, clean);
    }
    let old = pt.ptep_modify_prot_start(addr, p);
    let new = pt.arch.pte_clear_soft_dirty(pt.arch.pte_wrprotect(old));
    pt.ptep_modify_prot_commit(addr, p, old, new);
}

fn clear_soft_dirty_pmd<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, addr: VirtAddr, p: Ptep) {
    let pmd = pt.hw.peek(p);
    let new = if pt.arch.pmd_present(pmd) {
        let old = pt.pmdp_invalidate(addr, p);
        pt.arch.pmd_clear_soft_dirty(pt.arch.pmd_wrprotect(old))
    } else {
        pt.with_soft_flag_pmd(pmd, SoftFlags::SOFT_DIRTY, false)
    };
    pt.set_pmd_at(addr, p, new);
}
