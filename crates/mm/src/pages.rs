//! Frames, folios and their page structs: map counts, `AnonExclusive`, owners, contents.

use crate::bitmap::Bitmap;
use crate::buddy::Buddy;
use crate::content::{Contents, Saved};
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, PhysAddr, TableMemory, VirtAddr};
use ptelab_uapi::Errno;
use std::collections::{BTreeMap, BTreeSet};

/// Tables stand in frames of their own, above all memory.
pub const TABLES: PhysAddr = PhysAddr::new(1 << 44);

/// Node of the one CPU.
pub(crate) const CPU_NODE: u8 = 0;

/// One process's address space, as page structs name it (`mm_id_t`). 0 is nobody.
pub type MmId = u32;

/// The page struct of one frame. Of a folio's head, `owner` and `word` speak for the folio.
#[derive(Clone, Copy, Debug, Default)]
struct PageMeta {
    /// Page entries that map it. Huge leaves are counted in [`LargeFolio`].
    mapcount: u32,
    /// Head: the anon_vma or shared object it belongs to.
    owner: u32,
    /// Head: flags, node and index, see [`Head`].
    word: u64,
}

/// The packed word of a folio's head.
struct Head;

impl Head {
    const ANON: u64 = 1 << 63;
    const DIRTY: u64 = 1 << 62;
    const SWAPBACKED: u64 = 1 << 61;
    const CACHED: u64 = 1 << 60;
    const HELD: u64 = 1 << 59;
    const HWPOISON: u64 = 1 << 58;
    const BATCHED: u64 = 1 << 57;
    const NODE_SHIFT: u32 = 51;
    const NODE: u64 = 0x3f << Self::NODE_SHIFT;
    const INDEX: u64 = (1 << Self::NODE_SHIFT) - 1;
}

/// What only a large folio has.
#[derive(Clone, Copy, Debug, Default)]
struct LargeFolio {
    /// Page offset of its first page in its owner.
    index: u64,
    /// All mappings: a page entry counts one, a huge leaf counts one.
    mapcount: u32,
    /// Mappings by huge leaves.
    entire_mapcount: u32,
    /// The two address spaces whose mappings are counted apart (`CONFIG_MM_ID`).
    ids: [MmId; 2],
    id_mapcounts: [u32; 2],
    /// More than one address space may map it.
    shared: bool,
    /// Some of its pages lost their last mapping while others had one (`PG_partially_mapped`).
    partially_mapped: bool,
}

/// A folio on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    pub(crate) folio: FolioSpan,
    /// How many entries say so.
    pub(crate) entries: u64,
    /// The first of the pages that it goes with: those of a folio that had to be split.
    pub(crate) with: Pfn,
}

/// What maps: a page entry or a huge leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapLevel {
    /// So many page entries of consecutive pages.
    Ptes(usize),
    /// A huge leaf.
    Pmd,
}

/// All frames of a machine.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Node that new folios of the process go to whose call is made (`MPOL_BIND`), or the CPU's own.
    pub alloc_node: Option<u8>,
    /// Folios that `MADV_FREE` gave up, and that reclaim does not know of yet (`cpu_fbatches.lru_lazyfree`).
    pub(crate) lazyfree_batch: Vec<FolioSpan>,
    /// Folios that migrate, by head.
    pub(crate) migrations: BTreeMap<Pfn, Migration>,
    /// Pages that failed and are in use still.
    pub(crate) failed_in_use: BTreeSet<Pfn>,
    buddy: Buddy,
    /// The zero pages: the first of them, and how many.
    zero: (Pfn, u64),
    huge_zero: FolioSpan,
    /// Frames that may be used, for data and tables together.
    total: u64,
    used: u64,
    failed: u64,
    tables: u64,
    meta: Vec<PageMeta>,
    exclusive: Bitmap,
    large: Vec<LargeFolio>,
    large_free: Vec<u32>,
    contents: Contents,
    page_size: u64,
}

impl Pages {
    pub(crate) fn new<A: Arch, H: TableMemory>(hw: &mut H, total: u64) -> Self {
        let (page_size, order) = (A::PAGE_SIZE, A::PMD_ORDER);
        let huge_zero = FolioSpan { head: Pfn::new(1 << order), order };
        let first = huge_zero.end().get();
        let mut pages = Self {
            alloc_node: None,
            lazyfree_batch: Vec::new(),
            migrations: BTreeMap::new(),
            failed_in_use: BTreeSet::new(),
            buddy: Buddy::new(first, total, A::MAX_PAGE_ORDER),
            zero: (Pfn::new(A::ZERO_PAGES), A::zero_pages(total)),
            huge_zero,
            total,
            used: 0,
            failed: 0,
            tables: 0,
            meta: Vec::new(),
            exclusive: Bitmap::default(),
            large: Vec::new(),
            large_free: Vec::new(),
            contents: Contents::new(page_size),
            page_size,
        };
        pages.grow(first);
        for head in (A::ZERO_PAGES..2 * A::ZERO_PAGES).map(Pfn::new) {
            hw.set_folio(FolioSpan { head, order: 0 });
        }
        hw.set_folio(huge_zero);
        pages
    }

    fn grow(&mut self, frames: u64) {
        let frames = frames as usize;
        if self.meta.len() < frames {
            self.meta.resize(frames, PageMeta::default());
            self.exclusive.grow(frames);
            self.contents.grow(frames);
        }
    }

    /// Frames that have a page struct: no entry maps one above.
    pub const fn frames(&self) -> usize {
        self.meta.len()
    }

    /// Whether a frame is the zero page, or one of the huge zero page: these and none above stand below all memory.
    pub const fn is_zero_page(&self, pfn: Pfn) -> bool {
        pfn.get() < self.huge_zero.end().get()
    }

    /// The frame that an entry of the zero page maps at `addr` (`zero_pfn`, `include/linux/pgtable.h`): there are as many as the port
    /// has, below all memory, and none is frame 0.
    pub(crate) const fn zero_pfn(&self, addr: VirtAddr) -> Pfn {
        let (first, n) = self.zero;
        first.add((addr.get() / self.page_size) & (n - 1))
    }

    /// The folio that huge zero entries map. It is never given back.
    pub const fn huge_zero(&self) -> FolioSpan {
        self.huge_zero
    }

    /// Frames in use, for data.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Tables in use.
    pub const fn tables(&self) -> u64 {
        self.tables
    }

    /// Frames of the machine.
    pub const fn total(&self) -> u64 {
        self.total
    }

    const fn room_for(&self, frames: u64) -> bool {
        self.used + self.tables + frames <= self.total
    }

    /// Takes a frame for a table.
    pub(crate) const fn charge_table(&mut self) -> Result<(), Errno> {
        if !self.room_for(1) {
            return Err(Errno::ENOMEM);
        }
        self.tables += 1;
        Ok(())
    }

    /// Gives a table's frame back.
    pub(crate) const fn uncharge_table(&mut self) {
        self.tables -= 1;
    }

    /// A folio of `1 << order` frames on `node`, unmapped; its contents are whatever was there. `None` where no such
    /// block is left.
    pub(crate) fn alloc<H: TableMemory>(&mut self, hw: &mut H, order: u32, node: u8) -> Option<Pfn> {
        if !self.room_for(1 << order) {
            return None;
        }
        let head = Pfn::new(self.buddy.alloc(order)?);
        self.used += 1 << order;
        self.grow(self.buddy.frontier());
        hw.set_folio(FolioSpan { head, order });
        hw.event(Event::FolioAlloc(order as u8));
        let mut word = (u64::from(node) << Head::NODE_SHIFT) | Head::SWAPBACKED;
        if order > 0 {
            word |= self.alloc_large();
        }
        self.meta[head.index()] = PageMeta { mapcount: 0, owner: 0, word };
        Some(head)
    }

    fn alloc_large(&mut self) -> u64 {
        let slot = self.large_free.pop().unwrap_or_else(|| {
            self.large.push(LargeFolio::default());
            self.large.len() as u32 - 1
        });
        self.large[slot as usize] = LargeFolio::default();
        slot.into()
    }

    /// Gives an unmapped folio back.
    pub(crate) fn free(&mut self, span: FolioSpan) {
        debug_assert_eq!(self.folio_mapcount(span), 0, "freed folio is mapped");
        if span.order > 0 {
            self.large_free.push(self.large_slot(span) as u32);
        }
        if !self.failed_in_use.is_empty() {
            self.failed_in_use.retain(|page| *page < span.head || *page >= span.end());
        }
        self.exclusive.fill(span.head.index()..span.end().index(), false);
        self.contents.fill_pages(span.head, span.nr_pages(), 0);
        self.meta[span.head.index()] = PageMeta::default();
        self.used -= span.nr_pages() as u64;
        self.buddy.free(span.head.get(), span.order);
    }

    // Identity.

    fn large_slot(&self, span: FolioSpan) -> usize {
        (self.meta[span.head.index()].word & Head::INDEX) as usize
    }

    fn large(&self, span: FolioSpan) -> &LargeFolio {
        &self.large[self.large_slot(span)]
    }

    fn large_mut(&mut self, span: FolioSpan) -> &mut LargeFolio {
        let slot = self.large_slot(span);
        &mut self.large[slot]
    }

    /// Whether a folio's head has a flag.
    #[inline]
    fn is(&self, head: Pfn, flag: u64) -> bool {
        self.meta[head.index()].word & flag != 0
    }

    #[inline]
    fn set(&mut self, head: Pfn, flag: u64, on: bool) {
        let word = &mut self.meta[head.index()].word;
        *word = if on { *word | flag } else { *word & !flag };
    }

    /// Makes a folio anonymous memory of `anon_vma`, at page offset `index` of it.
    pub(crate) fn set_anon(&mut self, span: FolioSpan, anon_vma: u32, index: u64) {
        self.set_owner(span, anon_vma, index, Head::ANON);
    }

    /// Makes a page one of a shared object's, which keeps it until it is dropped.
    pub(crate) fn set_cached(&mut self, span: FolioSpan, object: u32, index: u64) {
        self.set_owner(span, object, index, Head::CACHED);
    }

    fn set_owner(&mut self, span: FolioSpan, owner: u32, index: u64, kind: u64) {
        let meta = &mut self.meta[span.head.index()];
        meta.owner = owner;
        meta.word |= kind;
        if span.order == 0 {
            meta.word = meta.word & !Head::INDEX | index & Head::INDEX;
        } else {
            self.large_mut(span).index = index;
        }
    }

    /// The anon_vma or shared object of a folio, and the page offset of its first page there.
    pub fn owner(&self, span: FolioSpan) -> (u32, u64) {
        let meta = self.meta[span.head.index()];
        let index = if span.order == 0 { meta.word & Head::INDEX } else { self.large(span).index };
        (meta.owner, index)
    }

    /// Whether this is anonymous memory.
    #[inline]
    pub fn is_anon(&self, span: FolioSpan) -> bool {
        self.is(span.head, Head::ANON)
    }

    /// The shared object that keeps this page, dropped: it lives on only while mapped.
    pub(crate) fn uncache(&mut self, span: FolioSpan) {
        self.set(span.head, Head::CACHED, false);
    }

    /// Puts a folio into the swap cache, which keeps it as an object does.
    pub(crate) fn set_swapcache(&mut self, span: FolioSpan) {
        self.set(span.head, Head::CACHED, true);
    }

    /// Takes a reference that keeps a folio while nobody maps it.
    pub(crate) fn hold(&mut self, span: FolioSpan) {
        self.set(span.head, Head::HELD, true);
    }

    /// Counts the reference of a batch that a folio waits in, or no longer.
    pub(crate) fn set_batched(&mut self, span: FolioSpan, batched: bool) {
        self.set(span.head, Head::BATCHED, batched);
    }

    /// Whether a batch holds a reference to a folio.
    pub fn is_batched(&self, span: FolioSpan) -> bool {
        self.is(span.head, Head::BATCHED)
    }

    /// The object that keeps it, where one does.
    pub(crate) fn object(&self, span: FolioSpan) -> Option<u32> {
        let PageMeta { word, owner, .. } = self.meta[span.head.index()];
        (word & (Head::CACHED | Head::ANON) == Head::CACHED).then_some(owner)
    }

    /// A page failed (`PG_hwpoison`): it is held for ever, and nobody may have it.
    pub(crate) fn set_hwpoison(&mut self, page: FolioSpan) {
        self.set(page.head, Head::HWPOISON, true);
        self.hold(page);
        self.failed += u64::from(!self.is_zero_page(page.head));
    }

    /// Pages that failed, and are never free again; the zero page is not among them.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether a page failed: one that is a folio of its own, or is in use still.
    pub fn is_hwpoison(&self, page: Pfn) -> bool {
        self.is(page, Head::HWPOISON) || self.is_failed_in_use(page)
    }

    /// Whether a page failed and is in use still.
    pub(crate) fn is_failed_in_use(&self, page: Pfn) -> bool {
        self.failed_in_use.contains(&page)
    }

    /// Gives that reference up, and frees the folio if it was the last.
    pub(crate) fn release_hold(&mut self, span: FolioSpan) {
        self.set(span.head, Head::HELD, false);
        self.free_unused(span);
    }

    /// Frees a folio that nobody has a reference to.
    pub(crate) fn free_unused(&mut self, span: FolioSpan) {
        if self.folio_ref_count(span) == 0 {
            self.free(span);
        }
    }

    /// NUMA node of the folio.
    pub fn node(&self, span: FolioSpan) -> u8 {
        ((self.meta[span.head.index()].word & Head::NODE) >> Head::NODE_SHIFT) as u8
    }

    /// Whether the folio's contents count as modified.
    pub fn is_dirty(&self, span: FolioSpan) -> bool {
        self.is(span.head, Head::DIRTY)
    }

    pub(crate) fn set_dirty(&mut self, span: FolioSpan, dirty: bool) {
        self.set(span.head, Head::DIRTY, dirty);
    }

    /// Whether the swap cache or an object keeps it.
    pub(crate) fn is_cached(&self, span: FolioSpan) -> bool {
        self.is(span.head, Head::CACHED)
    }

    /// Whether `MADV_FREE` gave it up.
    pub fn is_lazyfree(&self, span: FolioSpan) -> bool {
        self.is_anon(span) && !self.is(span.head, Head::SWAPBACKED)
    }

    pub(crate) fn set_lazyfree(&mut self, span: FolioSpan) {
        self.set(span.head, Head::SWAPBACKED, false);
    }

    /// It is to be kept again: something was written to it after all.
    pub(crate) fn set_swapbacked(&mut self, span: FolioSpan) {
        self.set(span.head, Head::SWAPBACKED, true);
    }

    // Exclusivity.

    /// `PageAnonExclusive`.
    #[inline]
    pub fn is_exclusive(&self, pfn: Pfn) -> bool {
        self.exclusive.get(pfn.index())
    }

    /// How many pages from `pfn` on, at most `max`, have the same `PageAnonExclusive` as it.
    #[inline]
    pub fn page_anon_exclusive_sub_batch(&self, pfn: Pfn, max: usize) -> (bool, usize) {
        self.exclusive.run(pfn.index(), max)
    }

    pub(crate) fn set_exclusive(&mut self, pfn: Pfn, n: usize, on: bool) {
        self.exclusive.fill(pfn.index()..pfn.index() + n, on);
    }

    // Mapping.

    /// Counts new mappings of pages of a folio, from `pfn` on, by address space `mm`.
    pub(crate) fn map(&mut self, span: FolioSpan, pfn: Pfn, level: MapLevel, mm: MmId) {
        if let MapLevel::Ptes(n) = level {
            for meta in &mut self.meta[pfn.index()..pfn.index() + n] {
                meta.mapcount += 1;
            }
        }
        if span.order > 0 {
            self.large_mut(span).add(level, mm);
        }
    }

    /// Takes mappings away, and frees the folio with its last. Says whether it was freed.
    pub(crate) fn unmap(&mut self, span: FolioSpan, pfn: Pfn, level: MapLevel, mm: MmId) -> bool {
        if let MapLevel::Ptes(n) = level {
            for meta in &mut self.meta[pfn.index()..pfn.index() + n] {
                debug_assert!(meta.mapcount > 0, "unmapped page {pfn} was not mapped");
                meta.mapcount -= 1;
            }
        }
        if span.order > 0 {
            self.large_mut(span).sub(level, mm);
            self.note_partially_mapped(span, pfn, level);
        }
        let last = self.folio_ref_count(span) == 0;
        if last {
            self.free(span);
        }
        last
    }

    /// What an unmapping of pages from `pfn` on leaves of a large folio (`mm/rmap.c`, `__folio_remove_rmap`).
    fn note_partially_mapped(&mut self, span: FolioSpan, pfn: Pfn, level: MapLevel) {
        let large = self.large(span);
        if large.mapcount == 0 || large.entire_mapcount > 0 || large.partially_mapped || !self.is_anon(span) {
            return;
        }
        let gone = match level {
            MapLevel::Ptes(n) => pfn.index()..pfn.index() + n,
            MapLevel::Pmd => span.head.index()..span.end().index(),
        };
        if self.meta[gone].iter().any(|meta| meta.mapcount == 0) {
            self.large_mut(span).partially_mapped = true;
        }
    }

    /// Whether a folio waits to be split because only a part of it is mapped (`folio_test_partially_mapped`). Where it migrates, it
    /// is split first, and goes page by page (`migrate_pages_batch`).
    pub fn is_partially_mapped(&self, span: FolioSpan) -> bool {
        span.order > 0 && self.large(span).partially_mapped
    }

    /// A copy of such a folio waits as well.
    pub(crate) fn set_partially_mapped(&mut self, span: FolioSpan) {
        self.large_mut(span).partially_mapped = true;
    }

    /// Mappings of one page, as /proc/kpagecount has it: a huge leaf counts for every page of its folio.
    pub fn page_mapcount(&self, span: FolioSpan, pfn: Pfn) -> u32 {
        let huge = if span.order > 0 { self.large(span).entire_mapcount } else { 0 };
        self.meta[pfn.index()].mapcount + huge
    }

    /// Mappings of all pages of a folio; a huge leaf counts one.
    #[inline]
    pub fn folio_mapcount(&self, span: FolioSpan) -> u32 {
        if span.order == 0 { self.meta[span.head.index()].mapcount } else { self.large(span).mapcount }
    }

    /// Mappings by huge leaves.
    pub fn entire_mapcount(&self, span: FolioSpan) -> u32 {
        if span.order == 0 { 0 } else { self.large(span).entire_mapcount }
    }

    /// References: one for each mapping, one for each page that the object or swap cache keeps, one for each holder, one for the
    /// batch it waits in.
    #[inline]
    pub fn folio_ref_count(&self, span: FolioSpan) -> u32 {
        let word = self.meta[span.head.index()].word;
        let held = (word & (Head::HELD | Head::BATCHED)).count_ones();
        let kept = if word & Head::CACHED == 0 { 0 } else { span.nr_pages() as u32 };
        self.folio_mapcount(span) + held + kept
    }

    /// Whether more than one address space may map the folio (`folio_maybe_mapped_shared`).
    pub fn maybe_mapped_shared(&self, span: FolioSpan) -> bool {
        let mapcount = self.folio_mapcount(span);
        if span.order == 0 { mapcount > 1 } else { mapcount > 1 && self.large(span).shared }
    }

    /// The same as 6.12 has it, which guesses by the first page (`folio_likely_mapped_shared`).
    pub(crate) fn likely_mapped_shared(&self, span: FolioSpan) -> bool {
        let mapcount = self.folio_mapcount(span);
        let guess = || self.entire_mapcount(span) > 0 || self.meta[span.head.index()].mapcount > 1;
        mapcount > 1 && (mapcount as usize > span.nr_pages() || guess())
    }

    /// Whether a write to a page that is not exclusive may take the folio over instead of copying
    /// (`mm/memory.c:wp_can_reuse_anon_folio`, 7.3).
    pub fn wp_can_reuse_anon_folio(&self, span: FolioSpan) -> bool {
        if span.order == 0 {
            return self.folio_ref_count(span) == 1;
        }
        let large = self.large(span);
        large.mapcount > 1 && !large.shared && large.mapcount == self.folio_ref_count(span)
    }

    /// Makes one folio, which is held and not mapped, folios of a smaller order, each held; owner, contents and exclusivity stay
    /// with their pages.
    pub(crate) fn split<H: TableMemory>(&mut self, hw: &mut H, span: FolioSpan, order: u32) {
        debug_assert_eq!(self.folio_mapcount(span), 0, "a folio is split that is mapped");
        let (owner, index) = self.owner(span);
        let word = self.meta[span.head.index()].word & !Head::INDEX;
        self.large_free.push(self.large_slot(span) as u32);
        for part in span.parts(order) {
            let i = part.head.since(span.head);
            hw.set_folio(part);
            let own = if order == 0 { (index + i) & Head::INDEX } else { self.alloc_large() };
            self.meta[part.head.index()] = PageMeta { mapcount: 0, owner, word: word | own };
            if order > 0 {
                self.large_mut(part).index = index + i;
            }
        }
    }

    // Contents.

    pub(crate) fn fill(&mut self, first: Pfn, n: usize, byte: u8) {
        self.contents.fill_pages(first, n, byte);
    }

    #[inline]
    pub(crate) fn write(&mut self, pfn: Pfn, offset: usize, len: usize, byte: u8) {
        self.contents.write(pfn, offset, len, byte);
    }

    pub(crate) fn copy(&mut self, from: Pfn, to: Pfn) {
        if self.is_zero_page(from) {
            self.contents.fill_pages(to, 1, 0);
        } else {
            self.contents.copy(from, to);
        }
    }

    /// What a frame holds, to be put back with [`load`](Self::load).
    pub(crate) fn save(&self, pfn: Pfn) -> Saved {
        self.contents.save(pfn)
    }

    /// Fills a frame with what was saved.
    pub(crate) fn load(&mut self, pfn: Pfn, saved: &Saved) {
        self.contents.load(pfn, saved);
    }

    /// One byte of a frame.
    pub fn read(&self, pfn: Pfn, offset: usize) -> u8 {
        self.contents.read(pfn, offset)
    }

    /// Whether every byte of a frame is zero.
    pub(crate) fn is_zero_filled(&self, pfn: Pfn) -> bool {
        self.contents.is_zero(pfn)
    }

    /// Bytes in a page.
    pub const fn page_size(&self) -> u64 {
        self.page_size
    }
}

impl LargeFolio {
    /// The bookkeeping of mappers (`include/linux/rmap.h`, `folio_add_return_large_mapcount`): two address spaces are
    /// counted apart; a third makes the folio shared until one of the two owns all mappings again.
    fn add(&mut self, level: MapLevel, mm: MmId) {
        let n = self.count(level, true);
        self.mapcount += n;
        if let Some(slot) = self.ids.iter().position(|&id| id == mm) {
            self.id_mapcounts[slot] += n;
        } else if let Some(slot) = self.ids.iter().position(|&id| id == 0) {
            self.ids[slot] = mm;
            self.id_mapcounts[slot] = n;
            self.shared |= slot == 1 || self.mapcount != n;
        }
    }

    fn sub(&mut self, level: MapLevel, mm: MmId) {
        let n = self.count(level, false);
        self.mapcount -= n;
        if let Some(slot) = self.ids.iter().position(|&id| id == mm) {
            self.id_mapcounts[slot] = self.id_mapcounts[slot].saturating_sub(n);
            if self.id_mapcounts[slot] > 0 {
                return;
            }
            self.ids[slot] = 0;
        }
        if self.id_mapcounts.contains(&self.mapcount) {
            self.shared = false;
        }
    }

    const fn count(&mut self, level: MapLevel, adding: bool) -> u32 {
        match level {
            MapLevel::Ptes(n) => n as u32,
            MapLevel::Pmd => {
                self.entire_mapcount =
                    if adding { self.entire_mapcount + 1 } else { self.entire_mapcount - 1 };
                1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pages::MapLevel::{Pmd, Ptes};
    use crate::tables::tests::machine;

    #[test]
    fn two_address_spaces_are_told_apart() {
        let (mut pt, _) = machine();
        let folio = pt.alloc_folio(2).expect("there is memory");
        let pages = &mut pt.pages;
        pages.set_anon(folio, 0, 0);
        pages.map(folio, folio.head, Ptes(4), 1);
        assert!(!pages.maybe_mapped_shared(folio) && pages.wp_can_reuse_anon_folio(folio));
        pages.map(folio, folio.head, Ptes(2), 2);
        assert!(pages.maybe_mapped_shared(folio) && !pages.wp_can_reuse_anon_folio(folio));
        assert_eq!((pages.page_mapcount(folio, folio.head), pages.folio_mapcount(folio)), (2, 6));
        assert!(!pages.unmap(folio, folio.head, Ptes(2), 2));
        assert!(!pages.maybe_mapped_shared(folio), "the first has all of it again");
        assert!(!pages.is_partially_mapped(folio));
        assert!(!pages.unmap(folio, folio.head, Ptes(1), 1));
        assert!(pages.is_partially_mapped(folio), "a page lost its last mapping");
        assert!(pages.unmap(folio, folio.head.add(1), Ptes(3), 1), "the last mapping frees it");
        assert_eq!(pages.used(), 0);
    }

    #[test]
    fn a_huge_leaf_counts_once_and_for_every_page() {
        let (mut pt, _) = machine();
        let folio = pt.alloc_folio(9).expect("there is memory");
        pt.pages.map(folio, folio.head, Pmd, 1);
        assert_eq!((pt.pages.folio_mapcount(folio), pt.pages.entire_mapcount(folio)), (1, 1));
        assert_eq!(pt.pages.page_mapcount(folio, folio.head.add(300)), 1);
    }

    #[test]
    fn parts_of_a_split_folio_keep_their_pages() {
        let (mut pt, _) = machine();
        let folio = pt.alloc_folio(3).expect("there is memory");
        pt.pages.set_anon(folio, 7, 40);
        pt.pages.set_exclusive(folio.head.add(5), 1, true);
        pt.pages.write(folio.head.add(5), 0, 1, 9);
        pt.pages.hold(folio);
        pt.pages.split(&mut pt.hw, folio, 1);
        let parts: Vec<_> = folio.parts(1).collect();
        assert_eq!(pt.pages.owner(parts[2]), (7, 44));
        assert!(pt.pages.is_exclusive(folio.head.add(5)) && !pt.pages.is_exclusive(folio.head.add(4)));
        assert_eq!(pt.pages.read(folio.head.add(5), 0), 9);
        for part in parts {
            pt.pages.release_hold(part);
        }
        assert_eq!(pt.pages.used(), 0, "nobody mapped them");
    }
}
