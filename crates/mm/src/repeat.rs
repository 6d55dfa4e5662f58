//! The emulator's own shortcut through tables that repeat themselves. Linux has nothing like it.
//!
//! Most tables go on as they begin: entry after entry, or batch after batch, the words are alike but for their frames, the
//! folios have one order, their pages are all exclusive or none is. What mprotect does to such a stretch repeats itself with
//! a *period*: the length of a batch, or of a contiguous block where that is longer. So it is done to one period entry by
//! entry, through the port, and noted; every further period gets the same words for its own frames, and counts the same.
//!
//! What is looked at to know that a period is like the one noted is what the kernel itself would look at: every word, the
//! order of every folio that is looked up, `AnonExclusive` of every page. On machines that keep primitives in order,
//! nothing is repeated this way.

use crate::mprotect::{CpFlags, Walk, change_next};
use crate::tables::PageTables;
use ptelab_pgtable::{Arch, Counters, Level, MmuGather, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags};

/// What a walk has noted so far.
#[derive(Clone, Default)]
pub(crate) struct Repeat {
    noted: Option<Noted>,
    /// The last that was met and not noted.
    met: Option<Likeness>,
    /// Where the next stretch can begin: up to there, it is known to be too short.
    from: Ptep,
}

/// What decides what becomes of a period of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Likeness {
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
    like: Likeness,
    /// First frame.
    pfn: Pfn,
    period: usize,
    /// Entries.
    n: usize,
}

/// One period, and what became of it.
#[derive(Clone)]
struct Noted {
    like: Likeness,
    pfn: Pfn,
    /// The first word afterwards, and how the words go on.
    new: Pte,
    step: u64,
    flushed: bool,
    counted: Option<Counters>,
}

/// Changes entries from `p` on by what was noted of entries like them. Returns how many: 0 where there is no such
/// stretch, and the caller goes on by itself.
#[inline]
pub(crate) fn repeat_change<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    max: usize,
) -> usize {
    let known_short = p < walk.repeat.from && walk.repeat.from.0 - p.0 < A::PTRS_PER_TABLE as u64;
    if H::KEEPS_ORDER || known_short || p.offset_in(A::CONT_PTES) != 0 {
        return 0;
    }
    let Some(stretch) = stretch(pt, walk, addr, p, max) else { return 0 };
    let known = walk.repeat.noted.as_ref().is_some_and(|noted| noted.like == stretch.like);
    // Noting is worth it where the stretch goes on, or the same was met before.
    let again = known || walk.repeat.met.replace(stretch.like) == Some(stretch.like);
    let enough = if again { stretch.period } else { 2 * stretch.period };
    if stretch.n < enough {
        walk.repeat.from = p.add(stretch.n);
        return 0;
    }
    if !known {
        walk.repeat.noted = note_period(pt, walk, addr, p, &stretch);
        if walk.repeat.noted.is_none() {
            walk.repeat.from = p.add(stretch.n);
        }
        return stretch.period;
    }
    repeat_noted(pt, walk, addr, p, &stretch);
    stretch.n
}

/// The stretch of likes at `p`, if its entries are of a kind that may be repeated.
#[inline]
fn stretch<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    walk: &Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    max: usize,
) -> Option<Stretch> {
    let pte = pt.hw.peek(p);
    let numa = walk.change.flags.contains(CpFlags::PROT_NUMA);
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
    let order = (!by_entry || A::CONT_PTES > 1).then(|| pt.hw.peek_folio(pfn).order);
    let batch = if by_entry { 1 } else { 1 << order.unwrap_or(0) };
    if !pfn.index().is_multiple_of(batch) {
        return None;
    }
    let period = batch.max(A::CONT_PTES);
    let mut n = pt.hw.peek_run(p, pte, pt.arch.pfn_step(pte), max);
    if n >= period
        && let Some(order) = order
    {
        // Of a folio, a batch looks at its first page; of a block, an attempt to fold looks at one.
        let stride = if by_entry { A::CONT_PTES } else { batch };
        n = n.min(stride * pt.hw.peek_orders(pfn, stride, order, n / stride));
    }
    let mut exclusive = None;
    if n >= period && reads_exclusive(pt, walk) {
        let (all, len) = pt.pages.page_anon_exclusive_sub_batch(pfn, n);
        let (anon, len) = if all { (true, len) } else { anon_run(pt, pfn, batch, len) };
        (exclusive, n) = (Some((all, anon)), len);
    }
    let mask = period as u64 - 1;
    let phase = ((addr.get() >> A::PAGE_SHIFT) & mask, pfn.get() & mask);
    let like = Likeness { bits: pte.0 & !pt.arch.pfn_mask(), phase, order, exclusive };
    Some(Stretch { like, pfn, period, n: n - n % period })
}

fn reads_exclusive<A: Arch, H: TableMemory>(_pt: &PageTables<A, H>, walk: &Walk<'_>) -> bool {
    walk.change.flags.contains(CpFlags::TRY_CHANGE_WRITABLE)
        && !walk.change.vma.flags.contains(VmFlags::SHARED)
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

/// Changes the first period of a stretch as it is done everywhere, and notes what came of it; nothing where its entries
/// did not come out alike.
#[cold]
#[inline(never)]
fn note_period<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    stretch: &Stretch,
) -> Option<Noted> {
    let before = pt.hw.counters().copied();
    let mut tlb = MmuGather::default();
    let mut own = Walk { tlb: &mut tlb, change: walk.change, pages: 0, repeat: Repeat::default() };
    let mut done = 0;
    while done < stretch.period {
        let at = addr.add(done as u64 * A::PAGE_SIZE);
        done += change_next(pt, &mut own, at, p.add(done), stretch.period - done);
    }
    walk.pages += own.pages;
    let len = stretch.period as u64 * A::PAGE_SIZE;
    let flushed = tlb.range();
    if let Some((start, end)) = flushed {
        walk.tlb.flush_range(start, end.since(start), Level::Pte);
    }
    let new = pt.hw.peek(p);
    let step = pt.arch.pfn_step(new);
    let uniform = pt.hw.peek_run(p, new, step, stretch.period) == stretch.period;
    let whole = flushed.is_none_or(|range| range == (addr, addr.add(len)));
    let counted = pt.hw.counters().copied().zip(before).map(|(after, before)| after - before);
    (uniform && whole).then(|| Noted {
        like: stretch.like,
        pfn: stretch.pfn,
        new,
        step,
        flushed: flushed.is_some(),
        counted,
    })
}

/// Does to a stretch what was noted of one period like its own.
#[inline]
fn repeat_noted<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    stretch: &Stretch,
) {
    let Some(noted) = &walk.repeat.noted else { return };
    let frames = stretch.pfn.get().wrapping_sub(noted.pfn.get());
    let first = Pte(noted.new.0.wrapping_add(frames.wrapping_mul(noted.step)));
    pt.hw.poke_run(p, first, noted.step, stretch.n);
    if let Some(counted) = &noted.counted {
        pt.hw.repeat(counted, (stretch.n / stretch.period) as u64);
    }
    if noted.flushed {
        walk.tlb.flush_range(addr, stretch.n as u64 * A::PAGE_SIZE, Level::Pte);
    }
    walk.pages += stretch.n as u64;
}
