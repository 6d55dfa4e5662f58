//! The page tables of a machine: the port, the memory that tables lie in, and the frames they are charged to.
//!
//! Tables stand on [`Pages`] and know nothing of VMAs' trees, calls or faults. What a port does to tables is called here by
//! Linux's names; what a port says of words is asked of [`arch`](PageTables::arch).

pub(crate) mod entry;
pub(crate) mod folio;
pub(crate) mod gather;
pub(crate) mod pagewalk;
pub(crate) mod split;
pub(crate) mod walk;

use crate::changes::Rules;
use crate::mm_types::Mm;
use crate::pages::Pages;
use ptelab_pgtable::{Arch, Cause, Cydp, FolioSpan, Level, MmuGather, Pte, Ptep, TableMemory, VirtAddr};

/// The port and the machine it works on.
#[derive(Clone, Debug)]
pub struct PageTables<A, H> {
    /// The architecture port.
    pub arch: A,
    /// The machine's primitives.
    pub hw: H,
    /// Frames and folios.
    pub pages: Pages,
    /// What the kernel's release decides.
    pub(crate) rules: Rules,
    /// Whether tables that were emptied may be freed (`CONFIG_PT_RECLAIM`).
    pub(crate) frees_tables: bool,
    /// The other address spaces, while advice is given that may split a folio that they map too.
    pub others: Vec<Mm>,
}

/// A port's operations on tables, on this machine's.
macro_rules! port_ops {
    ($($op:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
        impl<A: Arch, H: TableMemory> PageTables<A, H> {
            $(#[inline]
            pub(crate) fn $op(&mut self, $($arg: $ty),*) $(-> $out)? {
                self.arch.$op(&mut self.hw, $($arg),*)
            })*
        }
    };
}

port_ops! {
    ptep_get(p: Ptep) -> Pte;
    set_pte_at(addr: VirtAddr, p: Ptep, pte: Pte);
    set_ptes(addr: VirtAddr, p: Ptep, pte: Pte, nr: usize);
    pte_clear(addr: VirtAddr, p: Ptep);
    clear_ptes(addr: VirtAddr, p: Ptep, nr: usize);
    ptep_get_and_clear(addr: VirtAddr, p: Ptep) -> Pte;
    get_and_clear_ptes(addr: VirtAddr, p: Ptep, nr: usize) -> Pte;
    ptep_clear_flush(addr: VirtAddr, p: Ptep) -> Pte;
    wrprotect_ptes(addr: VirtAddr, p: Ptep, nr: usize);
    clear_young_dirty_ptes(addr: VirtAddr, p: Ptep, nr: usize, flags: Cydp);
    ptep_test_and_clear_young(addr: VirtAddr, p: Ptep) -> bool;
    ptep_set_access_flags(addr: VirtAddr, p: Ptep, entry: Pte, dirty: bool) -> bool;
    ptep_modify_prot_start(addr: VirtAddr, p: Ptep) -> Pte;
    ptep_modify_prot_commit(addr: VirtAddr, p: Ptep, old: Pte, new: Pte);
    modify_prot_start_ptes(addr: VirtAddr, p: Ptep, nr: usize) -> Pte;
    modify_prot_commit_ptes(addr: VirtAddr, p: Ptep, old: Pte, new: Pte, nr: usize);
    set_pmd_at(addr: VirtAddr, pmdp: Ptep, pmd: Pte);
    pmdp_get_and_clear(addr: VirtAddr, pmdp: Ptep) -> Pte;
    pmdp_collapse_flush(addr: VirtAddr, pmdp: Ptep) -> Pte;
    pmdp_invalidate(addr: VirtAddr, pmdp: Ptep) -> Pte;
    pmdp_invalidate_ad(addr: VirtAddr, pmdp: Ptep) -> Pte;
    pmdp_test_and_clear_young(addr: VirtAddr, pmdp: Ptep);
    pmdp_set_wrprotect(addr: VirtAddr, pmdp: Ptep);
    pmdp_set_access_flags(addr: VirtAddr, pmdp: Ptep, entry: Pte, dirty: bool) -> bool;
    flush_tlb_range(start: VirtAddr, end: VirtAddr, level: Level);
    flush_pmd_tlb_range(addr: VirtAddr);
    flush_tlb_mm();
    tlb_flush(tlb: &MmuGather);
}

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// The tables of a machine that just booted.
    pub(crate) fn new(arch: A, rules: Rules, memory: u64) -> Self {
        let mut hw = H::with_tables_of(1 << A::INDEX_BITS.into_iter().max().expect("there are levels"));
        let pages = Pages::new::<A, H>(&mut hw, memory >> A::PAGE_SHIFT);
        Self { arch, hw, pages, rules, frees_tables: true, others: Vec::new() }
    }

    /// Whether advice may split a folio that [`others`](Self::others) map.
    pub const fn guesses_mapped_shared(&self) -> bool {
        self.rules.mapped_shared_is_guessed
    }

    /// Whether others map a folio too, as the release tells (`folio_maybe_mapped_shared`).
    pub(crate) fn maybe_mapped_shared(&self, folio: FolioSpan) -> bool {
        if self.rules.mapped_shared_is_guessed {
            self.pages.likely_mapped_shared(folio)
        } else {
            self.pages.maybe_mapped_shared(folio)
        }
    }

    /// Does something for a cause, which holds for the entries that are written on the way, and what is flushed.
    #[inline]
    pub(crate) fn because<T>(&mut self, cause: &'static Cause, does: impl FnOnce(&mut Self) -> T) -> T {
        self.hw.begin_cause(cause);
        let done = does(self);
        self.hw.end_cause();
        done
    }

    /// The same, where there is a cause.
    #[inline]
    pub(crate) fn because_some(&mut self, cause: Option<&'static Cause>, does: impl FnOnce(&mut Self)) {
        if let Some(cause) = cause {
            self.hw.begin_cause(cause);
        }
        does(self);
        if cause.is_some() {
            self.hw.end_cause();
        }
    }
}

/// What unit tests of the layers below calls work on.
#[cfg(test)]
pub(crate) mod tests {
    use super::PageTables;
    use crate::changes::Rules;
    use crate::mm_types::Mm;
    use arch_generic::Generic;
    use ptelab_pgtable::{EntryFormat, KernelRules, PlainHw, VirtAddr};

    pub(crate) type Plain = PageTables<Generic, PlainHw>;

    /// Tables of a machine with 1 GiB, of the newest kernel, and an empty address space.
    pub(crate) fn machine() -> (Plain, Mm) {
        let newest = KernelRules::asked().next_back().expect("kernels are known");
        let mut pt = Plain::new(Generic, Rules::of(newest), 1 << 30);
        let root = pt.arch.root();
        let pgd = pt.new_table(root);
        (pt, Mm::new(1, pgd, root, Generic::TASK_SIZE))
    }

    pub(crate) const fn at(addr: u64) -> VirtAddr {
        VirtAddr::new(addr)
    }
}
