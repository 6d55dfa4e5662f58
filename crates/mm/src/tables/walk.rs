//! From addresses to entries: walks, and tables that come and go.

use crate::cause;
use crate::mm_types::Mm;
use crate::pages::TABLES;
use crate::tables::PageTables;
use ptelab_pgtable::{
    Arch, Level, MmuGather, PhysAddr, Pte, PteView, Ptep, TableMemory, TlbScope, Tlbi, VirtAddr,
};
use ptelab_uapi::Errno;

/// What stands in a PMD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PmdState {
    /// Nothing.
    None,
    /// A table of page entries.
    Table(Ptep),
    /// A huge page.
    Huge(Pte),
    /// A software entry for a huge page: it migrates.
    Soft(Pte),
}

/// A table of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Level of its entries.
    pub level: Level,
    /// First address that it maps.
    pub addr: VirtAddr,
    /// Its first entry.
    pub first: Ptep,
}

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// The entry that points to the table of PMDs for `addr`, which is there.
    pub(crate) fn pud_offset(&self, mm: &Mm, addr: VirtAddr) -> Ptep {
        let (mut table, mut level) = (mm.pgd, mm.root);
        while level > Level::Pud {
            table = self.table_of(self.hw.peek(table.add(A::index(addr, level))), level);
            level = level.below().expect("PUD is below");
        }
        table.add(A::index(addr, Level::Pud))
    }

    /// The tables of an address space, each before those under it.
    pub fn tables(&self, mm: &Mm) -> Vec<Table> {
        let mut found = vec![Table { level: mm.root, addr: VirtAddr::new(0), first: mm.pgd }];
        let mut next = 0;
        while let Some(&Table { level, addr, first }) = found.get(next) {
            next += 1;
            let Some(below) = level.below() else { continue };
            for (i, &word) in self.hw.peek_table(first, A::ptrs_per(level)).iter().enumerate() {
                if let PteView::Table(_) = self.arch.decode(Pte(word), level) {
                    let addr = addr.add(i as u64 * A::entry_size(level));
                    found.push(Table { level: below, addr, first: self.table_of(Pte(word), level) });
                }
            }
        }
        found
    }

    /// Where a table stands in physical memory.
    pub(crate) const fn table_addr(table: Ptep) -> PhysAddr {
        PhysAddr::new(TABLES.get() + table.0 * size_of::<Pte>() as u64)
    }

    /// The table that an entry of `level` points to. The entry is neither empty nor a leaf.
    #[inline]
    pub(crate) fn table_of(&self, entry: Pte, level: Level) -> Ptep {
        let addr = self.arch.table_addr(entry, level);
        Ptep((addr.get() - TABLES.get()) / size_of::<Pte>() as u64)
    }

    /// The PMD entry for `addr`, or how many bytes its missing table would map.
    #[inline]
    pub(crate) fn pmd_offset(&self, mm: &Mm, addr: VirtAddr) -> Result<Ptep, u64> {
        let (mut table, mut level) = (mm.pgd, mm.root);
        if A::TREE_GROWS && addr.get() >= A::tree_end(level) {
            return Err(A::tree_end(level));
        }
        while level > Level::Pmd {
            let entry = self.hw.peek(table.add(A::index(addr, level)));
            if self.arch.is_none(entry, level) {
                return Err(A::entry_size(level));
            }
            table = self.table_of(entry, level);
            level = level.below().expect("PMD is below");
        }
        Ok(table.add(A::index(addr, Level::Pmd)))
    }

    /// The PMD entry for `addr`, with the tables above it.
    pub(crate) fn pmd_alloc(&mut self, mm: &mut Mm, addr: VirtAddr) -> Result<Ptep, Errno> {
        let (mut table, mut level) = (mm.pgd, mm.root);
        while level > Level::Pmd {
            table = self.table_alloc(mm, table.add(A::index(addr, level)), level)?;
            level = level.below().expect("PMD is below");
        }
        Ok(table.add(A::index(addr, Level::Pmd)))
    }

    /// Makes the tree reach `end`, where trees grow: each new root has the old one under its first entry (`crst_table_upgrade`).
    pub(crate) fn check_asce_limit(&mut self, mm: &mut Mm, end: VirtAddr) -> Result<(), Errno> {
        while A::TREE_GROWS && end.get() > A::tree_end(mm.root) {
            let above = Level::ALL[mm.root as usize + 1];
            self.pages.charge_table()?;
            mm.tables += 1;
            let root = self.new_table(above);
            self.because(&cause::table_alloc, |pt| {
                pt.populate(root, above, mm.pgd);
                pt.hw.tlbi(Tlbi { scope: TlbScope::All, level: 0, last_level: false, local: true, ops: 1 });
            });
            (mm.pgd, mm.root) = (root, above);
        }
        Ok(())
    }

    /// The table under an entry of `level`, made if there is none.
    pub(crate) fn table_alloc(&mut self, mm: &mut Mm, p: Ptep, level: Level) -> Result<Ptep, Errno> {
        let entry = self.hw.peek(p);
        if !self.arch.is_none(entry, level) {
            return Ok(self.table_of(entry, level));
        }
        self.pages.charge_table()?;
        mm.tables += 1;
        let table = self.new_table(level.below().expect("it has tables under it"));
        self.because(&cause::table_alloc, |pt| pt.populate(p, level, table));
        Ok(table)
    }

    /// An empty table of `level`, in no tree, and charged to no process.
    pub(crate) fn new_table(&mut self, level: Level) -> Ptep {
        self.hw.alloc_table(A::ptrs_per(level), A::EMPTY[level as usize])
    }

    /// Whether a table of `level` holds nothing.
    pub(crate) fn is_empty_table(&self, table: Ptep, level: Level) -> bool {
        let entries = self.hw.peek_table(table, A::ptrs_per(level));
        entries.iter().all(|&word| self.arch.is_none(Pte(word), level))
    }

    /// Puts a table under an entry of `level`.
    pub(crate) fn populate(&mut self, p: Ptep, level: Level, table: Ptep) {
        let entry = self.arch.mk_table(Self::table_addr(table), level);
        self.hw.store(p, entry);
    }

    /// Empties an entry of `level` that a table was under.
    pub(crate) fn table_clear(&mut self, p: Ptep, level: Level) {
        self.hw.store(p, A::EMPTY[level as usize]);
    }

    /// The table of page entries under a PMD, made if there is none. The PMD is not huge.
    pub(crate) fn pte_alloc(&mut self, mm: &mut Mm, pmdp: Ptep) -> Result<Ptep, Errno> {
        self.table_alloc(mm, pmdp, Level::Pmd)
    }

    /// What a PMD holds.
    #[inline]
    pub(crate) fn pmd_state(&self, pmdp: Ptep) -> PmdState {
        let pmd = self.hw.peek(pmdp);
        if self.arch.pmd_none(pmd) {
            PmdState::None
        } else if !self.arch.pmd_present(pmd) {
            PmdState::Soft(pmd)
        } else if self.arch.pmd_leaf(pmd) {
            PmdState::Huge(pmd)
        } else {
            PmdState::Table(self.table_of(pmd, Level::Pmd))
        }
    }

    /// What the PMD for `addr` holds, if its table is there.
    #[inline]
    pub(crate) fn pmd_at(&self, mm: &Mm, addr: VirtAddr) -> PmdState {
        self.pmd_offset(mm, addr).map_or(PmdState::None, |pmdp| self.pmd_state(pmdp))
    }

    /// The first PMD entry that is not empty in `addr..end`, and the part of the range that it maps.
    #[inline]
    pub(crate) fn next_pmd(
        &self,
        mm: &Mm,
        addr: VirtAddr,
        end: VirtAddr,
    ) -> Option<(Ptep, VirtAddr, VirtAddr)> {
        self.next_pmd_after(mm, addr, end).1
    }

    /// The same, and how many empty entries, of PMDs and of the directories above, were passed on the way.
    #[inline]
    pub(crate) fn next_pmd_after(
        &self,
        mm: &Mm,
        mut addr: VirtAddr,
        end: VirtAddr,
    ) -> (u32, Option<(Ptep, VirtAddr, VirtAddr)>) {
        let mut passed = 0;
        while addr < end {
            let skip = match self.pmd_offset(mm, addr) {
                Ok(pmdp) if !self.arch.pmd_none(self.hw.peek(pmdp)) => {
                    return (passed, Some((pmdp, addr, A::entry_end(addr, end, Level::Pmd))));
                }
                Ok(_) => A::entry_size(Level::Pmd),
                Err(size) => size,
            };
            passed += 1;
            let Some(next) = addr.align_down(skip).get().checked_add(skip) else { break };
            addr = VirtAddr::new(next);
        }
        (passed, None)
    }

    /// The page entry for `addr`, if its table is there.
    pub(crate) fn pte_offset(&self, mm: &Mm, addr: VirtAddr) -> Option<Ptep> {
        match self.pmd_at(mm, addr) {
            PmdState::Table(table) => Some(table.add(A::index(addr, Level::Pte))),
            PmdState::None | PmdState::Huge(_) | PmdState::Soft(_) => None,
        }
    }

    /// The table of page entries for an address, if it has one.
    pub fn page_table(&self, mm: &Mm, addr: VirtAddr) -> Option<Ptep> {
        match self.pmd_state(self.pmd_offset(mm, addr).ok()?) {
            PmdState::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Frees tables that map nothing but `floor..ceiling`, after everything in `start..end` was unmapped (`free_pgtables`).
    pub(crate) fn free_pgtables(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        (start, end): (VirtAddr, VirtAddr),
        (floor, ceiling): (VirtAddr, VirtAddr),
    ) {
        // From the first table that may go (`free_pgd_range`).
        let table = A::entry_size(Level::Pmd);
        let base = start.align_down(table);
        let start = if base < floor { base.add(table) } else { base };
        self.free_range(mm, tlb, (mm.pgd, mm.root), (start, end), (floor, ceiling));
    }

    /// Frees the tables under those entries of `table` that `start..end` touches and that lie within `floor..ceiling`.
    pub(crate) fn free_range(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        (table, level): (Ptep, Level),
        (start, end): (VirtAddr, VirtAddr),
        (floor, ceiling): (VirtAddr, VirtAddr),
    ) {
        let Some(below) = level.below() else { return };
        let mut addr = start;
        while addr < end {
            let next = A::entry_end(addr, end, level);
            let p = table.add(A::index(addr, level));
            let entry = self.hw.peek(p);
            let leaf = level == Level::Pmd && (self.arch.pmd_leaf(entry) || !self.arch.pmd_present(entry));
            if !self.arch.is_none(entry, level) && !leaf {
                let child = self.table_of(entry, level);
                let base = addr.align_down(A::entry_size(level));
                let top = VirtAddr::new(base.get().saturating_add(A::entry_size(level)));
                let is_unused = base >= floor && top <= ceiling;
                // With a table goes what hangs in it elsewhere, as a tree that grew has it.
                let within = if is_unused { (base, top) } else { (addr, next) };
                self.free_range(mm, tlb, (child, below), within, (floor, ceiling));
                if is_unused {
                    self.because(&cause::free_pgtables, |pt| pt.table_clear(p, level));
                    self.free_table(mm, child, below);
                    tlb.free_table(addr, A::PAGE_SIZE, level);
                }
            }
            addr = next;
        }
    }

    /// Gives an empty table of `mm` back.
    pub(crate) fn free_table(&mut self, mm: &mut Mm, table: Ptep, level: Level) {
        debug_assert!(self.is_empty_table(table, level), "freed table holds entries");
        self.hw.free_table(table, A::ptrs_per(level));
        self.pages.uncharge_table();
        mm.tables -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::PmdState;
    use crate::tables::tests::{Plain, at, machine};
    use arch_generic::Generic;
    use ptelab_pgtable::{EntryFormat, Level, MmuGather};

    const PAGE: u64 = Generic::PAGE_SIZE;
    const PMD: u64 = PAGE * Generic::PTRS_PER_PTE as u64;

    #[test]
    fn tables_are_made_once_and_counted() {
        let (mut pt, mut mm) = machine();
        assert_eq!(pt.pmd_offset(&mm, at(PMD)).err(), Some(Generic::entry_size(Generic::TOP)));
        let pmdp = pt.pmd_alloc(&mut mm, at(PMD)).expect("there is memory");
        let table = pt.pte_alloc(&mut mm, pmdp).expect("there is memory");
        assert_eq!((mm.tables, pt.pages.tables()), (3, 3));
        assert_eq!(pt.pmd_alloc(&mut mm, at(PMD + PAGE)), Ok(pmdp));
        assert_eq!(pt.pte_alloc(&mut mm, pmdp), Ok(table));
        assert_eq!(mm.tables, 3);
        assert_eq!(pt.pte_offset(&mm, at(PMD + 5 * PAGE)), Some(table.add(5)));
        assert_eq!(pt.pte_offset(&mm, at(0)), None);
        let levels: Vec<Level> = pt.tables(&mm).iter().map(|table| table.level).collect();
        assert_eq!(levels, [Level::P4d, Level::Pud, Level::Pmd, Level::Pte]);
    }

    #[test]
    fn a_walk_passes_over_what_is_empty() {
        let (mut pt, mut mm) = machine();
        for addr in [3 * PMD, 7 * PMD] {
            let pmdp = pt.pmd_alloc(&mut mm, at(addr)).expect("there is memory");
            pt.pte_alloc(&mut mm, pmdp).expect("there is memory");
        }
        let (passed, found) = pt.next_pmd_after(&mm, at(PAGE), at(6 * PMD));
        let (_, from, next) = found.expect("a table stands there");
        assert_eq!((passed, from, next), (3, at(3 * PMD), at(4 * PMD)));
        assert!(pt.next_pmd(&mm, next, at(6 * PMD)).is_none());
        let (_, from, next) = pt.next_pmd(&mm, at(6 * PMD), at(7 * PMD + PAGE)).expect("the other table");
        assert_eq!((from, next), (at(7 * PMD), at(7 * PMD + PAGE)));
    }

    #[test]
    fn only_tables_of_nothing_else_are_freed() {
        let (mut pt, mut mm) = machine();
        for addr in [PMD, 2 * PMD] {
            let pmdp = pt.pmd_alloc(&mut mm, at(addr)).expect("there is memory");
            pt.pte_alloc(&mut mm, pmdp).expect("there is memory");
        }
        let mut tlb = MmuGather::default();
        let free = |pt: &mut Plain, mm: &mut _, tlb: &mut _, ceiling| {
            pt.free_pgtables(mm, tlb, (at(PMD + PAGE), at(2 * PMD)), (at(PMD), at(ceiling)));
        };
        free(&mut pt, &mut mm, &mut tlb, 2 * PMD - PAGE);
        assert_eq!((mm.tables, tlb.freed_tables()), (4, false), "something else is in that table");
        free(&mut pt, &mut mm, &mut tlb, 2 * PMD);
        assert_eq!((mm.tables, tlb.freed_tables()), (3, true));
        assert_eq!(pt.pmd_at(&mm, at(PMD)), PmdState::None);
        assert!(matches!(pt.pmd_at(&mm, at(2 * PMD)), PmdState::Table(_)));
    }
}
