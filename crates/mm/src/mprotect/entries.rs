//! mprotect's walk over one table, with a short cut for what repeats.
//!
//! Most tables go on as they begin: entry after entry, or batch after batch, the words are alike but for their frames, the
//! folios have one order, their pages are all exclusive or none is. What mprotect does to such a stretch repeats itself with
//! a *period*: the length of a batch, or of a contiguous block where that is longer. So [`Entries`] hands one period to
//! mprotect, which changes it step by step through the port, and observes what became of it; every further period gets the
//! same words for its own frames, and counts the same. Linux has nothing like it.
//!
//! What is looked at to know that a period is like the one seen is what the kernel itself would look at: every word, the
//! order of every folio that is looked up, `AnonExclusive` of every page. On machines that keep primitives in order,
//! every entry is handed to mprotect.

use crate::mprotect::change::CpFlags;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{
    Arch, Counters, Level, MmuGather, Pfn, PgProt, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};

/// One walk of `change_protection`: what changes, to what, and what has come of it so far.
pub(crate) struct ChangeWalk<'a> {
    pub(crate) tlb: &'a mut MmuGather,
    pub(crate) vma: &'a Vma,
    pub(crate) newprot: PgProt,
    pub(crate) cp_flags: CpFlags,
    seen: Seen,
}

impl<'a> ChangeWalk<'a> {
    pub(crate) fn new(tlb: &'a mut MmuGather, vma: &'a Vma, newprot: PgProt, cp_flags: CpFlags) -> Self {
        Self { tlb, vma, newprot, cp_flags, seen: Seen::default() }
    }
}

/// What a walk has seen so far.
#[derive(Clone, Default)]
struct Seen {
    period: Option<Box<Period>>,
    /// What was met last and not kept.
    met: Option<Pattern>,
    /// Before this entry no stretch begins: the one there was found too short.
    from: Ptep,
    observed: Option<Box<Observed>>,
}

impl Seen {
    /// Whether a stretch may begin at an entry, as far as is known.
    #[inline]
    fn may_begin<A: Arch, H: TableMemory>(&self, pt: &PageTables<A, H>, p: Ptep) -> bool {
        let known_short = p < self.from && self.from.0 - p.0 < A::PTRS_PER_PTE as u64;
        !pt.hw.keeps_order() && !known_short && p.offset_in(pt.arch.cont_ptes()) == 0
    }
}

/// What decides what becomes of a period of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pattern {
    /// The words, without their frames.
    bits: u64,
    /// Place of the first entry and of its frame in the period.
    phase: (u64, u64),
    /// Order of the folios, where it is looked at.
    order: Option<u32>,
    /// `AnonExclusive` of the pages and whether they are anonymous, where that is looked at.
    exclusive: Option<(bool, bool)>,
}

/// Entries that are alike, in whole periods.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    like: Pattern,
    /// First frame.
    pfn: Pfn,
    period: usize,
    /// Entries.
    n: usize,
}

/// One period, and what became of it.
#[derive(Clone)]
struct Period {
    like: Pattern,
    pfn: Pfn,
    /// The first word afterwards, and how the words go on.
    new: Pte,
    step: u64,
    flushed: bool,
    counted: Option<Counters>,
}

/// A period that is being changed, to be looked at when that is done.
#[derive(Clone)]
struct Observed {
    addr: VirtAddr,
    p: Ptep,
    stretch: Stretch,
    /// Counters, and the walk's gathered flushes, from before.
    counters: Option<Counters>,
    tlb: MmuGather,
}

/// The entries of `addr..end`, which lies under one table.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    p: Ptep,
    addr: VirtAddr,
    end: VirtAddr,
}

impl Entries {
    pub(crate) fn new<A: Arch>(table: Ptep, addr: VirtAddr, end: VirtAddr) -> Self {
        Self { p: table.add(A::index(addr, Level::Pte)), addr, end }
    }

    /// The next entry that mprotect must change itself, and how many a step may take; `None` at the end. What is like a period
    /// that was changed already is changed on the way.
    #[inline(always)]
    pub(crate) fn repeat_then_next<A: Arch, H: TableMemory>(
        &mut self,
        pt: &mut PageTables<A, H>,
        walk: &mut ChangeWalk<'_>,
    ) -> Option<(VirtAddr, Ptep, usize)> {
        let left = self.left::<A>();
        if walk.seen.observed.is_some() || left > 1 && walk.seen.may_begin(pt, self.p) {
            let (at, max) = self.repeat_from(pt, walk);
            *self = at;
            return max.map(|max| (self.addr, self.p, max));
        }
        (left > 0).then_some((self.addr, self.p, left))
    }

    /// Entries from here on.
    #[inline]
    fn left<A: Arch>(self) -> usize {
        (self.end.since(self.addr) >> A::PAGE_SHIFT) as usize
    }

    /// Passes over stretches of entries like those that were changed, observed them too. Returns where that ends, and how far a
    /// step may go there.
    #[inline(never)]
    fn repeat_from<A: Arch, H: TableMemory>(
        mut self,
        pt: &mut PageTables<A, H>,
        walk: &mut ChangeWalk<'_>,
    ) -> (Self, Option<usize>) {
        if let Some(observed) = &walk.seen.observed {
            let left = observed.stretch.period - (self.p.0 - observed.p.0) as usize;
            if left > 0 {
                return (self, Some(left));
            }
            finish_period(pt, walk);
        }
        while self.addr < self.end {
            match repeat(pt, walk, self.addr, self.p, self.left::<A>()) {
                Repeat::Done(nr) => self.step::<A>(nr),
                Repeat::Not(max) => return (self, Some(max)),
            }
        }
        (self, None)
    }

    /// `nr` entries from the last one handed out are done with.
    #[inline]
    pub(crate) fn step<A: Arch>(&mut self, nr: usize) {
        self.p = self.p.add(nr);
        self.addr = self.addr.add(nr as u64 * A::PAGE_SIZE);
    }
}

/// What was done to entries by what became of entries like them.
enum Repeat {
    /// So many entries were changed.
    Done(usize),
    /// mprotect goes on by itself, with at most so many entries.
    Not(usize),
}

/// Changes entries by what became of entries like them.
#[inline]
fn repeat<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    addr: VirtAddr,
    p: Ptep,
    max: usize,
) -> Repeat {
    if !walk.seen.may_begin(pt, p) {
        return Repeat::Not(max);
    }
    let Some(stretch) = stretch(pt, walk, addr, p, max) else { return Repeat::Not(max) };
    let known = walk.seen.period.as_ref().is_some_and(|period| period.like == stretch.like);
    // A look is worth it where the stretch goes on, or the same was met before.
    let again = known || walk.seen.met.replace(stretch.like) == Some(stretch.like);
    let enough = if again { stretch.period } else { 2 * stretch.period };
    if stretch.n < enough {
        walk.seen.from = p.add(stretch.n);
        return Repeat::Not(max);
    }
    if !known {
        let (counters, tlb) = (pt.hw.counters().copied(), std::mem::take(walk.tlb));
        walk.seen.observed = Some(Box::new(Observed { addr, p, stretch, counters, tlb }));
        return Repeat::Not(stretch.period);
    }
    repeat_period(pt, walk, addr, p, &stretch);
    Repeat::Done(stretch.n)
}

/// A period was changed: keeps what became of it, unless its entries did not come out alike.
#[cold]
#[inline(never)]
fn finish_period<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, walk: &mut ChangeWalk<'_>) {
    let Some(observed) = walk.seen.observed.take() else { return };
    let Observed { addr, p, stretch, counters, tlb } = *observed;
    let flushed = std::mem::replace(walk.tlb, tlb).range();
    if let Some((start, end)) = flushed {
        walk.tlb.flush_range(start, end.since(start), Level::Pte);
    }
    let new = pt.hw.peek(p);
    let step = pt.arch.pfn_step(new);
    let uniform = pt.hw.peek_run(p, new, step, stretch.period) == stretch.period;
    let len = stretch.period as u64 * A::PAGE_SIZE;
    let whole = flushed.is_none_or(|range| range == (addr, addr.add(len)));
    let counted = pt.hw.counters().copied().zip(counters).map(|(after, before)| after - before);
    let period =
        || Period { like: stretch.like, pfn: stretch.pfn, new, step, flushed: flushed.is_some(), counted };
    walk.seen.period = (uniform && whole).then(|| Box::new(period()));
    if walk.seen.period.is_none() {
        walk.seen.from = p.add(stretch.n);
    }
}

/// The stretch of likes at `p`, if its entries are of a kind that may be repeated.
#[inline]
fn stretch<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    walk: &ChangeWalk<'_>,
    addr: VirtAddr,
    p: Ptep,
    max: usize,
) -> Option<Stretch> {
    let pte = pt.hw.peek(p);
    let numa = walk.cp_flags.contains(CpFlags::PROT_NUMA);
    if numa || !pt.arch.pte_present(pte) || pt.arch.pte_special(pte) {
        return None;
    }
    let pfn = pt.arch.pte_pfn(pte);
    let by_entry = !pt.rules.mprotect_batches;
    if by_entry && pt.arch.pte_batch_hint(p, pte) > 1 {
        // Each entry by itself takes the block apart or puts it together. It would come out the same, but what this
        // costs is what people want to see, in time as in counts.
        return None;
    }
    let block = pt.arch.cont_ptes();
    let order = (!by_entry || block > 1).then(|| pt.hw.peek_folio(pfn).order);
    let batch = if by_entry { 1 } else { 1 << order.unwrap_or(0) };
    if !pfn.index().is_multiple_of(batch) {
        return None;
    }
    let period = batch.max(block);
    let mut n = pt.hw.peek_run(p, pte, pt.arch.pfn_step(pte), max);
    if n >= period
        && let Some(order) = order
    {
        // Of a folio, a batch looks at its first page; of a block, an attempt to fold looks at one.
        let stride = if by_entry { block } else { batch };
        n = n.min(stride * pt.hw.peek_orders(pfn, stride, order, n / stride));
    }
    let mut exclusive = None;
    if n >= period && reads_exclusive(walk) {
        let (all, len) = pt.pages.page_anon_exclusive_sub_batch(pfn, n);
        let (anon, len) = if all { (true, len) } else { anon_run(pt, pfn, batch, len) };
        (exclusive, n) = (Some((all, anon)), len);
    }
    let mask = period as u64 - 1;
    let phase = ((addr.get() >> A::PAGE_SHIFT) & mask, pfn.get() & mask);
    let like = Pattern { bits: pte.0 & !pt.arch.pfn_mask(pte, Level::Pte), phase, order, exclusive };
    Some(Stretch { like, pfn, period, n: n - n % period })
}

fn reads_exclusive(walk: &ChangeWalk<'_>) -> bool {
    walk.cp_flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !walk.vma.flags.contains(VmFlags::SHARED)
}

/// Whether the folio of a page is anonymous, and how many pages on, at most `max`, are as it, a look every `stride`.
fn anon_run<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    pfn: Pfn,
    stride: usize,
    max: usize,
) -> (bool, usize) {
    let anon = |i: usize| pt.pages.is_anon(pt.hw.peek_folio(pfn.add(i as u64)));
    let first = anon(0);
    let same = (0..max).step_by(stride).take_while(|&i| anon(i) == first).count();
    (first, (same * stride).min(max))
}

/// Does to a stretch what was done to one period like its own.
#[inline]
fn repeat_period<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    addr: VirtAddr,
    p: Ptep,
    stretch: &Stretch,
) {
    let Some(period) = &walk.seen.period else { return };
    let frames = stretch.pfn.get().wrapping_sub(period.pfn.get());
    let first = Pte(period.new.0.wrapping_add(frames.wrapping_mul(period.step)));
    pt.hw.poke_run(p, first, period.step, stretch.n);
    if let Some(counted) = &period.counted {
        pt.hw.repeat(counted, (stretch.n / stretch.period) as u64);
    }
    if period.flushed {
        walk.tlb.flush_range(addr, stretch.n as u64 * A::PAGE_SIZE, Level::Pte);
    }
}
