//! Laws of translations that may be cached: what must be flushed, and when an entry must be empty in between.

use super::board::{Board, Layout, parts};
use super::tables::Op;
use super::trial::{Broken, PortFacts, Trial, view_text, word_text};
use super::words::encoded;
use crate::{
    Access, Hw, Level, Mapping, MmuGather, Pfn, Pte, PteAttrs, PteView, Record, RecordingHw, TableMemory,
    TlbScope, Tlbi, VirtAddr, VmFlags, Walk,
};

type Held = Result<(), Broken>;

/// Whether hardware may hold a translation made from this word.
fn is_visible<P: PortFacts>(port: &P, pte: Pte, level: Level) -> bool {
    let young = if level == Level::Pmd { port.pmd_mkyoung(pte) } else { port.pte_mkyoung(pte) };
    port.walk(young, level, Access::Read) != Walk::Fault
}

/// The same, of a word as it is: one that is not young counts where hardware makes it so.
pub(super) fn may_be_cached<P: PortFacts>(t: &Trial<'_, P>, pte: Pte, level: Level) -> bool {
    let as_it_is = t.port.walk(pte, level, Access::Read) != Walk::Fault;
    as_it_is || P::walker_sets(t.on) && is_visible(t.port, pte, level)
}

/// Which changes of size are made without a flush.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resize {
    /// None.
    Never,
    /// Single entries become a block.
    Join,
    /// Any: the CPU allows it.
    Always,
}

impl Resize {
    /// A batch is emptied and then written as a whole: where single entries of it make a block, Linux joins them without a
    /// flush in between (since 6.17, `modify_prot_commit_ptes`). That is Linux's own and no port's doing.
    fn of<P: PortFacts>(t: &Trial<'_, P>, op: Op, nr: usize) -> Self {
        match op {
            _ if P::resizes_live(t.on) => Self::Always,
            Op::ModifyProt | Op::Rewrite if nr > 1 => Self::Join,
            _ => Self::Never,
        }
    }
}

/// Whether translations made from these two words, the later the second, must never exist at one time: those of different
/// frames or sizes (Arm ARM, "Break-before-make"; Linux keeps it on every architecture).
fn are_exclusive(old: &PteView, new: &PteView, resize: Resize) -> bool {
    let (PteView::Present(old), PteView::Present(new)) = (old, new) else { return false };
    let (was, is) = (old.attrs.contains(PteAttrs::CONT), new.attrs.contains(PteAttrs::CONT));
    let excused = resize == Resize::Always || resize == Resize::Join && !was && is;
    old.pfn != new.pfn || (was != is && !excused)
}

pub(super) fn break_before_make<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    for layout in Layout::all(t.port) {
        for (at, nr) in parts::<P>() {
            for op in Op::ALL {
                for flags in
                    [VmFlags::empty(), VmFlags::READ, VmFlags::READ | VmFlags::WRITE | VmFlags::SHARED]
                {
                    let mut board = Board::new(t.port, &layout);
                    let words = board.words::<P>();
                    // First a part, then the whole: what was taken apart may be joined again.
                    let prot = t.port.vm_get_page_prot(flags);
                    op.run(t.port, &mut board, (at, nr), prot);
                    if op == Op::ModifyProt {
                        for i in 0..words.len() {
                            op.run(t.port, &mut board, (i, 1), prot);
                        }
                    }
                    let records = board.hw.take_records();
                    let fault = first_live_change(t.port, Resize::of(t, op, nr), &board, &words, &records);
                    let port = t.port;
                    t.case(fault.is_none(), || {
                        let (i, old, new) = fault.unwrap_or_default();
                        Broken {
                            operation: format!("{op:?} of {nr} entries from {at}, {flags:?}; entry {i}"),
                            before: word_text(port, old, Level::Pte),
                            after: word_text(port, new, Level::Pte),
                            expected: "an empty entry and a flush on all CPUs in between".to_owned(),
                        }
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// The first write that lets hardware hold two translations of one address that must not be held together.
fn first_live_change<P: PortFacts>(
    port: &P,
    resize: Resize,
    board: &Board,
    words: &[Pte],
    records: &[Record],
) -> Option<(usize, Pte, Pte)> {
    let visible = |pte: Pte| is_visible(port, pte, Level::Pte);
    let mut now = words.to_vec();
    let mut cached: Vec<Vec<Pte>> =
        words.iter().map(|&word| Vec::from_iter(visible(word).then_some(word))).collect();
    for record in records {
        let (p, new) = match *record {
            Record::Store(p, new) | Record::Swap(p, _, new) | Record::CompareSwap(p, _, new, true) => {
                (p, new)
            }
            Record::Tlbi(op) => {
                for i in (0..words.len()).filter(|&i| op.reaches::<P>(board.addr(i), Level::Pte)) {
                    cached[i].retain(|&word| word == now[i]);
                }
                continue;
            }
            _ => continue,
        };
        let Some(i) = board.index::<P>(p) else { continue };
        now[i] = new;
        if !visible(new) {
            continue;
        }
        let view = port.decode(new, Level::Pte);
        let stale = |&&old: &&Pte| are_exclusive(&port.decode(old, Level::Pte), &view, resize);
        if let Some(&old) = cached[i].iter().find(stale) {
            return Some((i, old, new));
        }
        cached[i].push(new);
    }
    None
}

pub(super) fn less_is_flushed<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    less_is_flushed_at(t, Level::Pte, "pte_needs_flush", P::pte_needs_flush)?;
    less_is_flushed_at(t, Level::Pmd, "huge_pmd_needs_flush", P::huge_pmd_needs_flush)
}

fn less_is_flushed_at<P: PortFacts>(
    t: &mut Trial<'_, P>,
    level: Level,
    name: &str,
    needs_flush: impl Fn(&P, Pte, Pte) -> bool,
) -> Held {
    let port = t.port;
    let other = PteAttrs::SPECIAL | PteAttrs::UFFD | PteAttrs::CONT;
    let mut leaves: Vec<(Mapping, Pte)> = encoded(port)
        .filter(|(m, _)| m.level == level && m.pkey == 0 && !m.attrs.intersects(other))
        .collect();
    let frame = leaves.first().map(|(m, _)| m.pfn);
    leaves.retain(|(m, _)| Some(m.pfn) == frame);
    let goes = |word, access| matches!(port.walk(word, level, access), Walk::Allowed(after) if after == word);
    for &(a, old) in leaves.iter().filter(|(_, word)| is_visible(port, *word, level)) {
        for &(b, new) in &leaves {
            let reads = goes(old, Access::Read) && !is_visible(port, new, level);
            // Through a dirty translation, a write goes without being noticed.
            let writes = goes(old, Access::Write) && !goes(port.pte_mkyoung(new), Access::Write);
            let runs = a.attrs.contains(PteAttrs::EXEC) && !b.attrs.contains(PteAttrs::EXEC);
            let less = reads || writes || runs;
            let flushes = needs_flush(port, old, new);
            t.case(flushes || !less, || Broken {
                operation: name.to_owned(),
                before: word_text(port, old, level),
                after: word_text(port, new, level),
                expected: "a flush: the old one allows what the new one does not".to_owned(),
            })?;
        }
    }
    Ok(())
}

/// A flush that is asked for.
type Ask<'a> = Box<dyn Fn(&mut RecordingHw) + 'a>;

/// Flushes to try: leaves of a level, the number of the first and how many.
const fn ranges<P: PortFacts>() -> [(Level, u64, u64); 7] {
    [
        (Level::Pte, 0, 1),
        (Level::Pte, 3, 2),
        (Level::Pte, 5, 33),
        (Level::Pte, 1, P::PTRS_PER_PTE as u64),
        (Level::Pte, 0, 70_000),
        (Level::Pmd, 1, 1),
        (Level::Pmd, 0, 40),
    ]
}

pub(super) fn flushes_cover_the_range<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for (level, at, n) in ranges::<P>() {
        let size = P::entry_size(level);
        let start = VirtAddr::new(0x4000_0000 + at * size);
        let end = start.add(n * size);
        let mut gather = MmuGather::default();
        gather.flush_range(start, size, level);
        gather.flush_range(start.add((n - 1) * size), size, level);
        let (mut with_tables, mut both) = (gather, gather);
        with_tables.free_table(start, P::PAGE_SIZE, Level::Pmd);
        both.flush_range(start, size, Level::Pte);
        both.flush_range(start, size, Level::Pmd);
        let asks: [(&str, bool, Ask<'_>); 4] = [
            ("flush_tlb_range", false, Box::new(move |hw| port.flush_tlb_range(hw, start, end, level))),
            ("tlb_flush", false, Box::new(move |hw| port.tlb_flush(hw, &gather))),
            ("tlb_flush after freeing tables", true, Box::new(move |hw| port.tlb_flush(hw, &with_tables))),
            ("tlb_flush of pages and huge pages", false, Box::new(move |hw| port.tlb_flush(hw, &both))),
        ];
        for (name, tables, ask) in &asks {
            let levels =
                if name.ends_with("huge pages") { vec![Level::Pte, Level::Pmd] } else { vec![level] };
            covers(t, name, ask, (start, end), &levels, *tables)?;
        }
        let whole = |hw: &mut RecordingHw| port.flush_tlb_mm(hw);
        covers(t, "flush_tlb_mm", &whole, (VirtAddr::new(0), VirtAddr::new(P::TASK_SIZE)), &[level], true)?;
        if n == 1 {
            let one = |hw: &mut RecordingHw| match level {
                Level::Pte => port.flush_tlb_page(hw, start),
                _ => port.flush_pmd_tlb_range(hw, start),
            };
            covers(t, "flush of one leaf", &one, (start, end), &[level], false)?;
        }
    }
    Ok(())
}

/// A case: a flush reaches all of a range, for leaves of these levels.
fn covers<P: PortFacts>(
    t: &mut Trial<'_, P>,
    name: &str,
    ask: &dyn Fn(&mut RecordingHw),
    (start, end): (VirtAddr, VirtAddr),
    levels: &[Level],
    tables: bool,
) -> Held {
    let mut hw = RecordingHw::with_tables_of(P::PTRS_PER_PTE);
    take_one_out(t.port, &mut hw, start);
    hw.take_records();
    ask(&mut hw);
    let ops: Vec<Tlbi> = tlbis(&hw.take_records()).collect();
    let covers = |op: &Tlbi| {
        let range = match op.scope {
            TlbScope::All => true,
            // A step past the smallest leaf would leave some out.
            TlbScope::Range { start: from, end: to, stride } => {
                from <= start && end <= to && levels.iter().all(|&level| stride <= P::entry_size(level))
            }
        };
        let hint = levels.iter().all(|&level| op.level == 0 || op.level == level.ttl());
        range && hint && !op.local && !(tables && op.last_level)
    };
    t.case(ops.iter().any(covers), || Broken {
        operation: format!("{name} of {start}..{end}, leaves of {levels:?}"),
        before: "-".to_owned(),
        after: format!("{ops:?}"),
        expected: "an invalidation that reaches all of it on every CPU".to_owned(),
    })
}

/// Takes an entry out that hardware may hold: some ports flush only where something is to be flushed.
fn take_one_out<P: PortFacts>(port: &P, hw: &mut RecordingHw, addr: VirtAddr) {
    let attrs = PteAttrs::USER | PteAttrs::YOUNG;
    let page = PteView::Present(Mapping { pfn: Pfn::new(1), level: Level::Pte, attrs, pkey: 0 });
    let p = hw.alloc_table(P::PTRS_PER_PTE, P::EMPTY[0]);
    hw.store(p, port.encode(page, Level::Pte).unwrap_or(P::EMPTY[0]));
    port.ptep_get_and_clear(hw, addr, p);
}

/// The invalidations among what a machine recorded.
pub(super) fn tlbis(records: &[Record]) -> impl Iterator<Item = Tlbi> {
    records.iter().filter_map(|record| match record {
        Record::Tlbi(op) => Some(*op),
        _ => None,
    })
}

pub(super) fn clear_flush<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for layout in Layout::all(port) {
        for (at, _) in parts::<P>() {
            let mut board = Board::new(port, &layout);
            let before = board.hw.peek(board.at(at));
            let (hw, addr, p) = board.entry(at);
            port.ptep_clear_flush(hw, addr, p);
            let records = board.hw.take_records();
            // From when on hardware cannot use it: it need not be empty yet.
            let mut cached = may_be_cached(t, before, Level::Pte);
            let needed = cached;
            let mut gone = 0;
            for (i, record) in records.iter().enumerate() {
                let (Record::Store(q, now) | Record::Swap(q, _, now)) = *record else { continue };
                if q == p && std::mem::replace(&mut cached, may_be_cached(t, now, Level::Pte)) && !cached {
                    gone = i;
                }
            }
            let flushed = tlbis(&records[gone..]).any(|op| op.reaches::<P>(addr, Level::Pte));
            let now = port.decode(board.hw.peek(p), Level::Pte);
            t.case(now == PteView::None && (flushed || !needed), || Broken {
                operation: "ptep_clear_flush".to_owned(),
                before: word_text(port, before, Level::Pte),
                after: format!("{}, flushed: {flushed}", view_text(&now)),
                expected: "empty, flushed: true".to_owned(),
            })?;
        }
    }
    Ok(())
}
