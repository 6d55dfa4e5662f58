//! Taking mappings away (`mm/memory.c`, `unmap_page_range`, 7.3).

use crate::pages::MapLevel;
use crate::walk::PmdState;
use crate::{Kernel, Mm, Vma, cause};
use ptelab_pgtable::{Arch, Fpb, Level, MmuGather, Pfn, Pte, Ptep, TableMemory, VirtAddr};

/// What becomes of entries that are not pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zap {
    /// The range is unmapped for good.
    Unmap,
    /// The contents go (`MADV_DONTNEED`): markers stay; emptied tables may be freed.
    Dontneed,
    /// The contents go, for markers to take their place.
    Replace,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Takes away what `start..end` of a VMA maps.
    pub(crate) fn zap_page_range(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        vma: &Vma,
        (start, end): (VirtAddr, VirtAddr),
        how: Zap,
    ) {
        let mut addr = start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, end) {
            addr = next;
            let whole = next.since(from) == A::entry_size(Level::Pmd);
            if let PmdState::Huge(_) | PmdState::Soft(_) = self.pmd_state(pmdp) {
                if whole {
                    self.zap_huge_pmd(mm, tlb, pmdp, from);
                    continue;
                }
                self.split_huge_pmd(mm, vma, pmdp, from);
            }
            if let PmdState::Table(table) = self.pmd_state(pmdp) {
                self.zap_pte_range(mm, tlb, vma, table, (from, next), how);
                if whole && how == Zap::Dontneed && self.reclaims_tables() {
                    self.try_to_free_pte(mm, tlb, from, pmdp, table);
                }
            }
        }
        self.tlb_end_vma(tlb);
    }

    /// Whether this kernel frees tables that `MADV_DONTNEED` emptied (`CONFIG_PT_RECLAIM`).
    const fn reclaims_tables(&self) -> bool {
        if self.rules.pt_reclaim_wherever_safe {
            A::MMU_GATHER_RCU_TABLE_FREE
        } else {
            A::ARCH_SUPPORTS_PT_RECLAIM
        }
    }

    fn try_to_free_pte(&mut self, mm: &mut Mm, tlb: &mut MmuGather, addr: VirtAddr, pmdp: Ptep, table: Ptep) {
        if self.hw.peek_table(table).iter().all(|&word| self.arch.pte_none(Pte(word))) {
            self.hw.because(&cause::pt_reclaim, |hw| hw.store(pmdp, Pte::NONE));
            self.free_table(mm, table);
            tlb.free_table(addr, A::PAGE_SIZE, Level::Pmd);
        }
    }

    /// Takes a huge leaf away (`zap_huge_pmd`).
    pub(crate) fn zap_huge_pmd(&mut self, mm: &mut Mm, tlb: &mut MmuGather, pmdp: Ptep, addr: VirtAddr) {
        let old = self.arch.pmdp_get_and_clear(&mut self.hw, addr, pmdp);
        tlb.flush_range(addr, A::entry_size(Level::Pmd), Level::Pmd);
        self.forfeit_table(mm);
        if let Some(leaf) = self.soft_view(old) {
            self.migration_entries(Pfn::new(leaf.offset), |entries| entries - 1);
        } else if let Some(folio) = self.vm_normal_folio_pmd(old) {
            self.pages.unmap(folio, folio.head, MapLevel::Pmd, mm.id);
        }
    }

    /// Takes away the entries of `addr..end`, which lies under one table.
    pub(crate) fn zap_pte_range(
        &mut self,
        mm: &Mm,
        tlb: &mut MmuGather,
        vma: &Vma,
        table: Ptep,
        (mut addr, end): (VirtAddr, VirtAddr),
        how: Zap,
    ) {
        let mut p = table.add(Self::index(addr, Level::Pte));
        while addr < end {
            let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
            let pte = self.arch.ptep_get(&mut self.hw, p);
            let nr = if self.arch.pte_none(pte) {
                1
            } else if self.arch.pte_present(pte) {
                let nr = self.zap_present(mm, tlb, addr, p, pte, max);
                if how != Zap::Unmap {
                    self.uffd_mark_zapped(vma, addr, p, self.arch.pte_uffd_wp(pte), nr);
                }
                nr
            } else {
                self.zap_nonpresent(mm, vma, (addr, p), pte, max, how)
            };
            p = p.add(nr);
            addr = addr.add(nr as u64 * A::PAGE_SIZE);
        }
    }

    fn zap_present(
        &mut self,
        mm: &Mm,
        tlb: &mut MmuGather,
        addr: VirtAddr,
        p: Ptep,
        pte: Pte,
        max: usize,
    ) -> usize {
        let folio = self.vm_normal_folio(pte);
        let nr = self.folio_pte_batch(folio, p, pte, max, Fpb::empty());
        tlb.flush_range(addr, nr as u64 * A::PAGE_SIZE, Level::Pte);
        let Some(folio) = folio else {
            self.arch.ptep_get_and_clear(&mut self.hw, addr, p);
            return nr;
        };
        if self.pages.is_anon(folio) {
            self.arch.clear_ptes(&mut self.hw, addr, p, nr);
        } else {
            let old = self.arch.get_and_clear_ptes(&mut self.hw, addr, p, nr);
            if self.arch.pte_dirty(old) {
                self.pages.set_dirty(folio, true);
            }
        }
        self.pages.unmap(folio, self.arch.pte_pfn(pte), MapLevel::Ptes(nr), mm.id);
        nr
    }
}
