//! The state of a range as plain data: VMAs, and entries grouped by likeness.

use crate::shape::Shape;
use ptelab_mm as mm;
use ptelab_mm::{Kernel, LeafEntry, Mm, Pagemap, VmaFacts};
use ptelab_pgtable::{Arch, FolioSpan, Level, PteView, SoftLeaf, TableMemory, VirtAddr};
use std::collections::BTreeMap;

/// VMAs and entries of a range of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Name of the port.
    pub arch: &'static str,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Bytes in a page.
    pub page_size: u64,
    /// VMAs that intersect the range, whole.
    pub vmas: Vec<VmaFacts>,
    /// The entries.
    pub runs: Runs,
}

/// The pages behind a run of entries. Folios are numbered by first appearance in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// Number of the first page's folio.
    pub folio: u32,
    /// Pages in it, and in every folio of the run.
    pub folio_pages: u32,
    /// Where in its folio the first page lies.
    pub offset: u32,
    /// Every entry maps the same page; otherwise each maps the page after the one before, through folio after folio.
    pub repeats: bool,
    /// /proc/kpagecount of each page.
    pub mapcount: u32,
    /// `PageAnonExclusive` of each page, where it is known.
    pub exclusive: Option<bool>,
}

/// One entry, as far as it can be told from another without numbers of frames and folios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// First address that it maps.
    pub addr: VirtAddr,
    /// Level of its table.
    pub level: Level,
    /// The raw word without its frame number.
    pub bits: u64,
    /// Pages in its folio; 0 where it maps none.
    pub folio_pages: u32,
    /// Where in its folio the first page lies.
    pub offset: u32,
    /// `PageAnonExclusive`.
    pub exclusive: bool,
}

/// Entries that are alike but for the page they map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First address that the first maps.
    pub addr: VirtAddr,
    /// Level of the tables they stand in. A run of nothing counts as page entries.
    pub level: Level,
    /// How many entries; of a run of nothing, how many pages.
    pub n: u64,
    /// The raw word without its frame number.
    pub bits: u64,
    /// The bits of such a word that hold a frame number; none in a snapshot from a file.
    pub pfn_mask: u64,
    /// pagemap bits, where they are known.
    pub pagemap: Option<Pagemap>,
    /// What they map, where they map pages.
    pub page: Option<PageRun>,
    /// The first word in the neutral view; its frame number means nothing. `None` in a snapshot from a file.
    pub view: Option<PteView>,
}

/// Runs in address order, merged as far as they are alike, so that equal states have equal runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// How pages and tables are laid out.
    pub shape: Shape,
    all: Vec<Run>,
}

impl<'a> IntoIterator for &'a Runs {
    type Item = &'a Run;
    type IntoIter = std::slice::Iter<'a, Run>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

/// A range in which two snapshots differ, and what either has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// The left run there, cut to the range.
    pub left: Option<Run>,
    /// The right run there.
    pub right: Option<Run>,
}

impl PageRun {
    /// The page that the entry `i` places on maps, for entries of `step` pages.
    const fn nth(&self, i: u64, step: u64) -> Self {
        if self.repeats {
            return *self;
        }
        let at = self.offset as u64 + i * step;
        let pages = self.folio_pages as u64;
        Self { folio: self.folio.wrapping_add((at / pages) as u32), offset: (at % pages) as u32, ..*self }
    }

    const fn same_place(&self, other: &Self) -> bool {
        self.folio == other.folio && self.offset == other.offset
    }

    fn alike(&self, other: &Self) -> bool {
        self.folio_pages == other.folio_pages
            && self.mapcount == other.mapcount
            && self.exclusive == other.exclusive
    }
}

impl Run {
    /// Whether nothing is mapped.
    pub const fn is_none(&self) -> bool {
        self.bits == 0 && self.page.is_none()
    }

    fn alike(&self, other: &Self) -> bool {
        self.level == other.level
            && self.bits == other.bits
            && (self.is_none() || self.pagemap == other.pagemap)
            && match (&self.page, &other.page) {
                (None, None) => true,
                (Some(a), Some(b)) => a.alike(b),
                _ => false,
            }
    }
}

impl Runs {
    /// No runs yet.
    pub const fn new(shape: Shape) -> Self {
        Self { shape, all: Vec::new() }
    }

    /// The runs.
    pub fn iter(&self) -> std::slice::Iter<'_, Run> {
        self.all.iter()
    }

    /// The address after a run.
    pub const fn end_of(&self, run: &Run) -> VirtAddr {
        run.addr.add(run.n * self.shape.entry_size(run.level))
    }

    /// No runs yet, for pages and tables as of these.
    #[must_use]
    pub const fn emptied(&self) -> Self {
        Self::new(self.shape)
    }

    /// Appends a run, which begins where the last ends or further on, up to `end` at most. Entries join the last run where they continue
    /// it.
    pub fn push(&mut self, mut run: Run, end: VirtAddr) {
        if run.is_none() {
            let size = self.shape.entry_size(run.level);
            let past = run.addr.align_down(size).add(run.n * size).min(end);
            run.n = past.get().saturating_sub(run.addr.get()) >> self.shape.page_shift();
            run.level = Level::Pte;
        }
        let (step, size) = (self.shape.pages_per_entry(run.level), self.shape.entry_size(run.level));
        while run.n > 0 {
            let last = self.all.last_mut().filter(|last| last.addr.add(last.n * size) == run.addr);
            let taken = last.map_or(0, |last| join(last, &run, step));
            if taken == 0 {
                self.all.push(Run {
                    n: 1,
                    page: run.page.map(|page| PageRun { repeats: false, ..page }),
                    ..run
                });
            }
            let taken = taken.max(1);
            run.addr = run.addr.add(taken * size);
            run.page = run.page.map(|page| page.nth(taken, step));
            run.n -= taken;
        }
    }

    /// These runs without what a golden file does not know: what is exclusive, the pages behind software entries, and the bits
    /// that hold frame numbers, of software entries too; but where it has the slots of swap entries, not theirs.
    #[must_use]
    pub fn as_golden(&self, has_slots: bool) -> Self {
        let mut runs = self.emptied();
        let mut numbers = BTreeMap::new();
        for run in &self.all {
            let mapped = run.page.filter(|_| !matches!(run.view, Some(PteView::Soft(_))));
            let page = mapped.map(|page| PageRun {
                exclusive: None,
                folio: self.renumber(&mut numbers, run, &page),
                ..page
            });
            let pagemap = run.pagemap.filter(|_| page.is_some());
            let keeps_slot = has_slots && matches!(run.view, Some(PteView::Soft(leaf)) if leaf.is_swap());
            let bits = if keeps_slot { run.bits } else { run.bits & !run.pfn_mask };
            runs.push(Run { page, pagemap, bits, view: None, ..*run }, self.end_of(run));
        }
        runs
    }

    /// The number of a run's first folio where only folios count that are mapped by present entries; `numbers` are known.
    fn renumber(&self, numbers: &mut BTreeMap<u32, u32>, run: &Run, page: &PageRun) -> u32 {
        let last = page.nth(run.n - 1, self.shape.pages_per_entry(run.level)).folio;
        for folio in page.folio..=last {
            let next = numbers.len() as u32;
            numbers.entry(folio).or_insert(next);
        }
        numbers[&page.folio]
    }

    /// What the run at an index has from `at` on, and where that ends; nothing where the run begins further on.
    fn part(&self, index: usize, at: VirtAddr) -> (Option<Run>, Option<VirtAddr>) {
        match self.all.get(index) {
            None => (None, None),
            Some(run) if run.addr > at => (None, Some(run.addr)),
            Some(run) => (Some(self.tail(run, at)), Some(self.end_of(run))),
        }
    }

    /// The part of a run that begins at `addr`, inside it.
    fn tail(&self, run: &Run, addr: VirtAddr) -> Run {
        let step = self.shape.pages_per_entry(run.level);
        let skip = addr.since(run.addr) / self.shape.entry_size(run.level);
        let page = run.page.map(|page| page.nth(skip, step));
        Run { addr: addr.max(run.addr), n: run.n - skip, page, ..*run }
    }

    /// Where these runs and others differ in the eyes of `same`, which sees the heads of two runs at one address.
    pub fn differences(&self, other: &Self, same: impl Fn(&Run, &Run) -> bool) -> Vec<Difference> {
        let mut found: Vec<Difference> = Vec::new();
        let (mut i, mut j) = (0, 0);
        let firsts = self.all.first().into_iter().chain(other.all.first());
        let Some(mut at) = firsts.map(|run| run.addr).min() else { return found };
        while i < self.all.len() || j < other.all.len() {
            let (left, left_end) = self.part(i, at);
            let (right, right_end) = other.part(j, at);
            let end = left_end.into_iter().chain(right_end).min().unwrap_or(at);
            let equal = match (&left, &right) {
                (Some(left), Some(right)) => same(left, right) && self.continues_alike(left, right, at, end),
                (None, None) => true,
                _ => false,
            };
            if !equal {
                found.push(Difference { start: at, end, left, right });
            }
            i += usize::from(left.is_some() && left_end == Some(end));
            j += usize::from(right.is_some() && right_end == Some(end));
            at = end;
        }
        found
    }

    /// Whether two runs that begin alike stay so up to `end`: one may repeat a page where the other goes on.
    fn continues_alike(&self, left: &Run, right: &Run, at: VirtAddr, end: VirtAddr) -> bool {
        let one = self.shape.entry_size(left.level);
        match (&left.page, &right.page) {
            (Some(a), Some(b)) => a.repeats == b.repeats || end.since(at) <= one,
            _ => true,
        }
    }
}

/// How many entries of `run` continue `last`, which takes them in.
fn join(last: &mut Run, run: &Run, step: u64) -> u64 {
    if !last.alike(run) {
        return 0;
    }
    let (Some(a), Some(b)) = (&mut last.page, &run.page) else {
        last.n += run.n;
        return run.n;
    };
    let continues = !a.repeats && a.nth(last.n, step).same_place(b);
    if continues && !b.repeats {
        last.n += run.n;
        return run.n;
    }
    if continues {
        last.n += 1;
        return 1;
    }
    let repeats = (a.repeats || last.n == 1) && a.same_place(b);
    if !repeats {
        return 0;
    }
    a.repeats = true;
    let taken = if b.repeats { run.n } else { 1 };
    last.n += taken;
    taken
}

impl Snapshot {
    /// The state of `len` bytes from `start` on.
    pub(crate) fn take<A: Arch, H: TableMemory>(
        kernel: &Kernel<A, H>,
        mm: &Mm,
        start: VirtAddr,
        len: u64,
    ) -> Self {
        let (start, end) = limits::<A>(mm, start, len);
        let mut taker = Taker {
            start,
            end,
            runs: Runs::new(Shape::of::<A>()),
            folios: vec![0; kernel.pt.pages.frames()],
            numbered: 0,
            last: None,
            framing: Framing::default(),
        };
        kernel.pt.walk_entries(mm, start, end, |entry| taker.add(&kernel.pt.arch, &entry));
        Self {
            arch: A::NAME,
            kernel: kernel.version.name,
            start,
            end,
            page_size: A::PAGE_SIZE,
            vmas: mm::smaps(kernel, mm, start, end),
            runs: taker.runs,
        }
    }
}

/// A snapshot being taken.
struct Taker {
    start: VirtAddr,
    end: VirtAddr,
    runs: Runs,
    /// By head frame, the folio's number plus one; 0 where it has none yet. As large as memory, but only what is looked at is
    /// ever touched.
    folios: Vec<u32>,
    /// Folios that have a number.
    numbered: u32,
    /// The folio that was looked up last.
    last: Option<(FolioSpan, u32)>,
    framing: Framing,
}

impl Taker {
    fn add<A: Arch>(&mut self, arch: &A, entry: &LeafEntry) {
        let addr = entry.addr.max(self.start);
        if arch.is_none(entry.pte, entry.level) {
            let past = entry.addr.get().saturating_add(A::entry_size(entry.level));
            let n = (past - addr.get()) >> A::PAGE_SHIFT;
            let (bits, page, pagemap) = (0, None, Some(entry.pagemap));
            let view = Some(PteView::None);
            self.runs
                .push(Run { addr, level: Level::Pte, n, bits, pfn_mask: 0, pagemap, page, view }, self.end);
            return;
        }
        let (bits, view) = self.framing.without_frame(arch, entry);
        let page = entry.page.map(|page| PageRun {
            folio: self.number(page.folio),
            folio_pages: page.folio.nr_pages() as u32,
            offset: page.pfn.since(page.folio.head) as u32,
            repeats: false,
            mapcount: page.mapcount,
            exclusive: Some(page.exclusive),
        });
        let view = Some(view);
        let pagemap = Some(entry.pagemap);
        let pfn_mask = arch.pfn_mask(entry.pte, entry.level);
        self.runs.push(Run { addr, level: entry.level, n: 1, bits, pfn_mask, pagemap, page, view }, self.end);
    }

    fn number(&mut self, folio: FolioSpan) -> u32 {
        if let Some((last, number)) = self.last
            && last == folio
        {
            return number;
        }
        let known = &mut self.folios[folio.head.index()];
        if *known == 0 {
            self.numbered += 1;
            *known = self.numbered;
        }
        let number = *known - 1;
        self.last = Some((folio, number));
        number
    }
}

impl Cell {
    /// Tells of the entries of `len` bytes from `start` on.
    pub(crate) fn each<A: Arch, H: TableMemory>(
        kernel: &Kernel<A, H>,
        mm: &Mm,
        start: VirtAddr,
        len: u64,
        each: &mut dyn FnMut(Self),
    ) {
        let (start, end) = limits::<A>(mm, start, len);
        let mut framing = Framing::default();
        kernel.pt.walk_entries(mm, start, end, |entry| {
            let arch = &kernel.pt.arch;
            let empty = arch.is_none(entry.pte, entry.level);
            let bits = if empty { 0 } else { framing.without_frame(arch, &entry).0 };
            let page = entry.page;
            each(Self {
                addr: entry.addr,
                level: entry.level,
                bits,
                folio_pages: page.map_or(0, |page| page.folio.nr_pages() as u32),
                offset: page.map_or(0, |page| page.pfn.since(page.folio.head) as u32),
                exclusive: page.is_some_and(|page| page.exclusive),
            });
        });
    }
}

/// A range in whole pages, as far as there is user space.
fn limits<A: Arch>(mm: &Mm, start: VirtAddr, len: u64) -> (VirtAddr, VirtAddr) {
    let start = start.align_down(A::PAGE_SIZE);
    let top = VirtAddr::new(mm.task_size);
    let end = start.checked_add(len).and_then(|end| end.align_up(A::PAGE_SIZE)).unwrap_or(top).min(top);
    (start, end)
}

/// A software entry of a page without the page's frame; another as it is.
pub(crate) fn frameless(leaf: SoftLeaf) -> SoftLeaf {
    if leaf.pfn().is_some() { SoftLeaf { offset: 0, ..leaf } } else { leaf }
}

/// Takes frames out of words.
#[derive(Default)]
struct Framing {
    /// The word that was decoded last, without its frame.
    last_view: Option<(u64, Level, PteView)>,
}

impl Framing {
    /// A word and what it says, without the frame that stands in it: of a software entry that is no page's, all is its meaning.
    fn without_frame<A: Arch>(&mut self, arch: &A, entry: &LeafEntry) -> (u64, PteView) {
        let mask = if entry.page.is_some() { !arch.pfn_mask(entry.pte, entry.level) } else { u64::MAX };
        let bits = entry.pte.0 & mask;
        if let Some((last_bits, level, view)) = self.last_view
            && (last_bits, level) == (bits, entry.level)
            && matches!(view, PteView::Present(_))
        {
            return (bits, view);
        }
        let view = arch.decode(entry.pte, entry.level);
        if let PteView::Soft(leaf) = view {
            let leaf = frameless(leaf);
            let word = arch.encode(PteView::Soft(leaf), entry.level).unwrap_or(entry.pte);
            return (word.0, PteView::Soft(leaf));
        }
        self.last_view = Some((bits, entry.level, view));
        (bits, view)
    }
}
