//! What /proc shows: pagemap, smaps, clear_refs (`fs/proc/task_mmu.c`, 7.3).

use crate::walk::PmdState;
use crate::{Backing, Kernel, Mm, Vma, cause};
use bitflags::bitflags;
use ptelab_pgtable::{
    Arch, FolioSpan, Level, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags, marker,
};
use ptelab_uapi::Errno;

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

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Shows every entry of a range in address order: leaves one by one, empty parts by the highest empty entry.
    pub fn walk_entries(&self, mm: &Mm, start: VirtAddr, end: VirtAddr, mut each: impl FnMut(LeafEntry)) {
        let mut addr = start;
        while addr < end {
            let next = Self::entry_end(addr, end, Level::Pmd);
            match self.pmd_offset(mm, addr) {
                Err(size) => {
                    let level = [Level::Pud, Level::Pgd].into_iter().find(|&l| A::entry_size(l) == size);
                    let level = level.unwrap_or(Level::Pgd);
                    let base = addr.align_down(size);
                    each(LeafEntry::empty(base, level));
                    addr = VirtAddr::new(base.get().saturating_add(size));
                    continue;
                }
                Ok(pmdp) => self.walk_pmd(mm, pmdp, addr, next, &mut each),
            }
            addr = next;
        }
    }

    fn walk_pmd(&self, mm: &Mm, pmdp: Ptep, addr: VirtAddr, end: VirtAddr, each: &mut impl FnMut(LeafEntry)) {
        let base = addr.align_down(A::entry_size(Level::Pmd));
        match self.pmd_state(pmdp) {
            PmdState::None => each(LeafEntry::empty(base, Level::Pmd)),
            PmdState::Huge(pmd) | PmdState::Soft(pmd) => {
                each(self.leaf(mm.vmas.find(base), base, Level::Pmd, pmd));
            }
            PmdState::Table(table) => {
                let first = Self::index(addr, Level::Pte);
                let n = (end.since(addr) >> A::PAGE_SHIFT) as usize;
                let mut vmas = mm.vmas.range(addr, end).peekable();
                for (i, &word) in self.hw.peek_table(table)[first..first + n].iter().enumerate() {
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
        found.unwrap_or_else(|| LeafEntry::empty(addr, Level::Pte))
    }

    fn leaf(&self, vma: Option<&Vma>, addr: VirtAddr, level: Level, pte: Pte) -> LeafEntry {
        let mut entry = LeafEntry { pte, ..LeafEntry::empty(addr, level) };
        if vma.is_some_and(|vma| vma.flags.contains(VmFlags::SOFTDIRTY)) {
            entry.pagemap |= Pagemap::SOFT_DIRTY;
        }
        if self.arch.pte_none(pte) {
            return entry;
        }
        let present =
            if level == Level::Pte { self.arch.pte_present(pte) } else { self.arch.pmd_present(pte) };
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
        // Where its leaf is not special, the huge zero page is taken for a page of a file.
        let huge_zero_shows = !self.rules.huge_zero_special && level == Level::Pmd;
        if (is_page || huge_zero_shows) && !self.pages.is_anon(page.folio) {
            entry.pagemap |= Pagemap::FILE;
        }
        entry.page = Some(page);
        entry
    }

    /// What pagemap says of a software entry, and the page behind it.
    fn soft_facts(&self, entry: &mut LeafEntry, leaf: SoftLeaf) {
        entry.pagemap |= Pagemap::SWAP | Pagemap::of_soft_leaf(leaf);
        if let Some(pfn) = leaf.pfn() {
            let page = self.page_facts(pfn);
            entry.pagemap.set(Pagemap::FILE, !self.pages.is_anon(page.folio));
            entry.page = Some(page);
        }
    }

    fn page_facts(&self, pfn: Pfn) -> PageFacts {
        let folio = self.hw.peek_folio(pfn);
        if self.pages.is_zero_page(pfn) {
            return PageFacts { folio, pfn, mapcount: 0, exclusive: false };
        }
        let exclusive = self.pages.is_exclusive(pfn);
        PageFacts { folio, pfn, mapcount: self.pages.page_mapcount(folio, pfn), exclusive }
    }

    /// What smaps says of every VMA that intersects a range.
    pub fn smaps(&self, mm: &Mm, start: VirtAddr, end: VirtAddr) -> Vec<VmaFacts> {
        mm.vmas.range(start, end).map(|vma| self.smaps_of(mm, vma)).collect()
    }

    fn smaps_of(&self, mm: &Mm, vma: &Vma) -> VmaFacts {
        let (mut pages, mut huge, mut swap) = (0, 0, 0);
        let mut addr = vma.start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, vma.end) {
            addr = next;
            match self.pmd_state(pmdp) {
                PmdState::None => {}
                PmdState::Huge(pmd) => huge += u64::from(!self.maps_zero_page(pmd)),
                PmdState::Soft(_) => huge += 1,
                PmdState::Table(table) => {
                    let first = Self::index(from, Level::Pte);
                    let n = (next.since(from) >> A::PAGE_SHIFT) as usize;
                    let (resident, swapped) = self.resident(&self.hw.peek_table(table)[first..first + n]);
                    pages += resident;
                    swap += swapped;
                }
            }
        }
        let anon_huge = huge * A::entry_size(Level::Pmd);
        let rss = (pages << A::PAGE_SHIFT) + anon_huge;
        let backing = self.backing(mm, vma);
        let pgoff = if backing.has_file() { vma.pgoff } else { 0 };
        let swap = swap << A::PAGE_SHIFT;
        VmaFacts { start: vma.start, end: vma.end, flags: vma.flags, rss, anon_huge, swap, backing, pgoff }
    }

    /// How many of these page entries stand for a page that counts as resident, and how many for one in swap
    /// (`smaps_pte_entry`).
    fn resident(&self, words: &[u64]) -> (u64, u64) {
        let mut found = (0, 0);
        for &word in words {
            let pte = Pte(word);
            if self.arch.pte_present(pte) {
                found.0 += u64::from(!self.maps_zero_page(pte));
            } else if word != 0
                && let Some(leaf) = self.soft_view(pte)
            {
                found.0 += u64::from(leaf.pfn().is_some());
                found.1 += u64::from(leaf.is_swap());
            }
        }
        found
    }

    #[inline]
    fn maps_zero_page(&self, pte: Pte) -> bool {
        self.pages.is_zero_page(self.arch.pte_pfn(pte))
    }

    /// Writes `what` to /proc/PID/clear_refs: 1 to 3 make pages old (all, private, shared), 4 starts soft-dirty tracking
    /// anew, 5 resets the peak of the resident size.
    ///
    /// # Errors
    /// `EINVAL` for any other number.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn clear_refs(&mut self, mm: &mut Mm, what: u64) -> Result<(), Errno> {
        match what {
            1..=3 => self.because(&cause::clear_young, |kernel| kernel.clear_young(mm, what)),
            4 => self.because(&cause::clear_soft_dirty, |kernel| kernel.clear_soft_dirty(mm)),
            5 => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn clear_young(&mut self, mm: &Mm, what: u64) {
        let wanted = |vma: &&Vma| what == 1 || (what == 2) == vma.is_anonymous();
        let vmas: Vec<Vma> = mm.vmas.iter().filter(wanted).cloned().collect();
        for vma in vmas {
            self.for_leaves(mm, &vma, |kernel, addr, p, level| {
                let old = kernel.hw.peek(p);
                if level == Level::Pte && kernel.present_page(old).is_some() {
                    kernel.arch.ptep_test_and_clear_young(&mut kernel.hw, addr, p);
                } else if level == Level::Pmd && kernel.arch.pmd_present(old) {
                    let old = kernel.hw.load(p);
                    kernel.arch.set_pmd_at(&mut kernel.hw, addr, p, kernel.arch.pte_mkold(old));
                }
            });
        }
    }

    fn clear_soft_dirty(&mut self, mm: &mut Mm) {
        if self.arch.has_soft_dirty() {
            for vma in mm.vmas.iter_mut() {
                vma.flags -= VmFlags::SOFTDIRTY;
            }
            let starts: Vec<VirtAddr> = mm.vmas.iter().map(|vma| vma.start).collect();
            for start in starts {
                self.vma_set_page_prot(mm, start);
            }
            let vmas: Vec<Vma> = mm.vmas.iter().cloned().collect();
            for vma in vmas {
                self.for_leaves(mm, &vma, |kernel, addr, p, level| {
                    if level == Level::Pte {
                        kernel.clear_soft_dirty_pte(addr, p);
                    } else {
                        kernel.clear_soft_dirty_pmd(addr, p);
                    }
                });
            }
        }
        self.arch.flush_tlb_mm(&mut self.hw);
    }

    fn clear_soft_dirty_pte(&mut self, addr: VirtAddr, p: Ptep) {
        let pte = self.hw.load(p);
        if !self.arch.pte_present(pte) {
            let clean = self.with_soft_flag(pte, SoftFlags::SOFT_DIRTY, false);
            return self.arch.set_pte_at(&mut self.hw, addr, p, clean);
        }
        let old = self.arch.ptep_modify_prot_start(&mut self.hw, addr, p);
        let new = self.arch.pte_clear_soft_dirty(self.arch.pte_wrprotect(old));
        self.arch.ptep_modify_prot_commit(&mut self.hw, addr, p, old, new);
    }

    fn clear_soft_dirty_pmd(&mut self, addr: VirtAddr, p: Ptep) {
        let pmd = self.hw.peek(p);
        let new = if self.arch.pmd_present(pmd) {
            let old = self.arch.pmdp_invalidate(&mut self.hw, addr, p);
            self.arch.pte_clear_soft_dirty(self.arch.pte_wrprotect(old))
        } else {
            self.with_soft_flag(pmd, SoftFlags::SOFT_DIRTY, false)
        };
        self.arch.set_pmd_at(&mut self.hw, addr, p, new);
    }

    /// Does something to every leaf of a VMA that is not empty.
    fn for_leaves(&mut self, mm: &Mm, vma: &Vma, mut each: impl FnMut(&mut Self, VirtAddr, Ptep, Level)) {
        let mut addr = vma.start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, vma.end) {
            addr = next;
            match self.pmd_state(pmdp) {
                PmdState::None => {}
                PmdState::Huge(_) | PmdState::Soft(_) => each(self, from, pmdp, Level::Pmd),
                PmdState::Table(table) => {
                    let first = Self::index(from, Level::Pte);
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

impl LeafEntry {
    const fn empty(addr: VirtAddr, level: Level) -> Self {
        Self { addr, level, pte: Pte::NONE, pagemap: Pagemap::empty(), page: None }
    }
}
