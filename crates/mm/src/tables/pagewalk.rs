//! Walks that only look (`mm/pagewalk.c`, `fs/proc/task_mmu.c`, 7.3).

use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use bitflags::bitflags;
use ptelab_pgtable::{
    Arch, FolioSpan, Level, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags, marker,
};

bitflags! {
    /// Bits 63:52 of a page's word in /proc/PID/pagemap.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Pagemap: u16 {
        /// Soft-dirty, of the entry or of its VMA.
        const SOFT_DIRTY = 0x008;
        /// Mapped once.
        const EXCLUSIVE = 0x010;
        /// userfaultfd write protection.
        const UFFD_WP = 0x020;
        /// Guard region.
        const GUARD = 0x040;
        /// Of a file or shared memory.
        const FILE = 0x200;
        /// Not present, but not nothing.
        const SWAP = 0x400;
        /// Present.
        const PRESENT = 0x800;
    }
}

impl Pagemap {
    /// What a software entry carries, beside [`SWAP`](Self::SWAP).
    fn of_soft_leaf(leaf: SoftLeaf) -> Self {
        let mut bits = Self::empty();
        bits.set(Self::GUARD, leaf.is_marker(marker::GUARD));
        bits.set(Self::UFFD_WP, leaf.is_marker(marker::UFFD_WP) || leaf.flags.contains(SoftFlags::UFFD));
        bits.set(Self::SOFT_DIRTY, leaf.flags.contains(SoftFlags::SOFT_DIRTY));
        bits
    }
}

/// What is known of the page behind an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageFacts {
    /// The folio it belongs to.
    pub folio: FolioSpan,
    /// The first frame that the entry maps.
    pub pfn: Pfn,
    /// /proc/kpagecount of it.
    pub mapcount: u32,
    /// Its own to the process (`PageAnonExclusive`), for a huge leaf that of the head page.
    pub exclusive: bool,
}

/// One leaf entry, or one empty entry of any level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeafEntry {
    /// First address that it maps.
    pub addr: VirtAddr,
    /// Level of the table it stands in.
    pub level: Level,
    /// The raw word.
    pub pte: Pte,
    /// pagemap bits.
    pub pagemap: Pagemap,
    /// The page, where one is present.
    pub page: Option<PageFacts>,
}

impl LeafEntry {
    const fn new(addr: VirtAddr, level: Level, pte: Pte) -> Self {
        Self { addr, level, pte, pagemap: Pagemap::empty(), page: None }
    }

    const fn empty<A: Arch>(addr: VirtAddr, level: Level) -> Self {
        Self::new(addr, level, A::EMPTY[level as usize])
    }
}

impl<A: Arch, H: TableMemory> PageTables<A, H> {
    /// Shows every entry of a range in address order: leaves one by one, empty parts by the highest empty entry.
    pub fn walk_entries(&self, mm: &Mm, start: VirtAddr, end: VirtAddr, mut each: impl FnMut(LeafEntry)) {
        let mut addr = start;
        while addr < end {
            let next = A::entry_end(addr, end, Level::Pmd);
            match self.pmd_offset(mm, addr) {
                Err(size) => {
                    let level = Level::ALL.into_iter().find(|&level| A::entry_size(level) == size);
                    let level = level.unwrap_or(mm.root);
                    let base = addr.align_down(size);
                    each(LeafEntry::empty::<A>(base, level));
                    addr = VirtAddr::new(base.get().saturating_add(size));
                    continue;
                }
                Ok(pmdp) => self.walk_pmd(mm, pmdp, addr, next, &mut each),
            }
            addr = next;
        }
    }

    pub(crate) fn walk_pmd(
        &self,
        mm: &Mm,
        pmdp: Ptep,
        addr: VirtAddr,
        end: VirtAddr,
        each: &mut impl FnMut(LeafEntry),
    ) {
        let base = addr.align_down(A::entry_size(Level::Pmd));
        match self.pmd_state(pmdp) {
            PmdState::None => each(LeafEntry::empty::<A>(base, Level::Pmd)),
            PmdState::Huge(pmd) | PmdState::Soft(pmd) => {
                each(self.leaf(mm.vmas.find(base), base, Level::Pmd, pmd));
            }
            PmdState::Table(table) => {
                let first = A::index(addr, Level::Pte);
                let n = (end.since(addr) >> A::PAGE_SHIFT) as usize;
                let mut vmas = mm.vmas.range(addr, end).peekable();
                for (i, &word) in self.hw.peek_table(table.add(first), n).iter().enumerate() {
                    let at = addr.add((i as u64) << A::PAGE_SHIFT);
                    while vmas.next_if(|vma| vma.end <= at).is_some() {}
                    let vma = vmas.peek().copied().filter(|vma| vma.start <= at);
                    each(self.leaf(vma, at, Level::Pte, Pte(word)));
                }
            }
        }
    }

    /// The entry for one address.
    pub fn entry_at(&self, mm: &Mm, addr: VirtAddr) -> LeafEntry {
        let addr = addr.align_down(A::PAGE_SIZE);
        let mut found = None;
        self.walk_entries(mm, addr, addr.add(A::PAGE_SIZE), |entry| found = Some(entry));
        found.unwrap_or_else(|| LeafEntry::empty::<A>(addr, Level::Pte))
    }

    pub(crate) fn leaf(&self, vma: Option<&Vma>, addr: VirtAddr, level: Level, pte: Pte) -> LeafEntry {
        let mut entry = LeafEntry::new(addr, level, pte);
        if vma.is_some_and(|vma| vma.flags.contains(VmFlags::SOFTDIRTY)) {
            entry.pagemap |= Pagemap::SOFT_DIRTY;
        }
        if self.arch.is_none(pte, level) {
            return entry;
        }
        let present =
            if level == Level::Pte { self.arch.pte_present(pte) } else { self.arch.pmd_present(pte) };
        let pte = if level == Level::Pte { pte } else { self.arch.pmd_pte(pte) };
        if !present {
            if let Some(leaf) = self.soft_view(pte) {
                self.soft_facts(&mut entry, leaf);
            }
            return entry;
        }
        entry.pagemap |= Pagemap::PRESENT;
        if self.arch.pte_soft_dirty(pte) {
            entry.pagemap |= Pagemap::SOFT_DIRTY;
        }
        if self.arch.pte_uffd_wp(pte) {
            entry.pagemap |= Pagemap::UFFD_WP;
        }
        let page = self.page_facts(self.arch.pte_pfn(pte));
        let is_page = !self.pages.is_zero_page(page.pfn);
        if is_page && page.mapcount == 1 {
            entry.pagemap |= Pagemap::EXCLUSIVE;
        }
        // Where its special bit is not looked at, the huge zero page is taken for a page of a file.
        let is_known = self.rules.pagemap_knows_huge_zero && A::ARCH_SUPPORTS_PMD_PFNMAP;
        let huge_zero_shows = !is_known && level == Level::Pmd;
        if (is_page || huge_zero_shows) && !self.pages.is_anon(page.folio) {
            entry.pagemap |= Pagemap::FILE;
        }
        entry.page = Some(page);
        entry
    }

    /// What pagemap says of a software entry, and the page behind it.
    pub(crate) fn soft_facts(&self, entry: &mut LeafEntry, leaf: SoftLeaf) {
        entry.pagemap |= Pagemap::SWAP | Pagemap::of_soft_leaf(leaf);
        if let Some(pfn) = leaf.pfn() {
            let page = self.page_facts(pfn);
            entry.pagemap.set(Pagemap::FILE, !self.pages.is_anon(page.folio));
            entry.page = Some(page);
        }
    }

    pub(crate) fn page_facts(&self, pfn: Pfn) -> PageFacts {
        let folio = self.hw.peek_folio(pfn);
        if self.pages.is_zero_page(pfn) {
            return PageFacts { folio, pfn, mapcount: 0, exclusive: false };
        }
        let exclusive = self.pages.is_exclusive(pfn);
        PageFacts { folio, pfn, mapcount: self.pages.page_mapcount(folio, pfn), exclusive }
    }

    /// Visits every leaf of a VMA that is not empty.
    pub(crate) fn for_leaves(
        &mut self,
        mm: &Mm,
        vma: &Vma,
        mut each: impl FnMut(&mut Self, VirtAddr, Ptep, Level),
    ) {
        let mut addr = vma.start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, vma.end) {
            addr = next;
            match self.pmd_state(pmdp) {
                PmdState::None => {}
                PmdState::Huge(_) | PmdState::Soft(_) => each(self, from, pmdp, Level::Pmd),
                PmdState::Table(table) => {
                    let first = A::index(from, Level::Pte);
                    for i in 0..(next.since(from) >> A::PAGE_SHIFT) as usize {
                        let p = table.add(first + i);
                        if !self.arch.pte_none(self.hw.peek(p)) {
                            each(self, from.add((i as u64) << A::PAGE_SHIFT), p, Level::Pte);
                        }
                    }
                }
            }
        }
    }
}
