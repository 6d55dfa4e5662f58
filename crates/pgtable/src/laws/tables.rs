//! Laws of operations on tables, single and in runs. What they should do is worked out entry by entry, on neutral views.

use super::board::{Board, Layout, RECORDED, attrs, block, len, parts, with, without_cont};
use super::trial::{Broken, PortFacts, Trial, view_text, word_text};
use super::words::under;
use crate::{Cydp, Level, Mapping, Pfn, PgProt, Pte, PteAttrs, PteView, TableMemory, VmFlags, Walk};

type Held = Result<(), Broken>;

/// Tries something on every layout and part.
fn on_every_part<P: PortFacts>(
    t: &mut Trial<'_, P>,
    mut each: impl FnMut(&mut Trial<'_, P>, &Layout, usize, usize) -> Held,
) -> Held {
    for layout in Layout::all(t.port) {
        for (at, nr) in parts::<P>() {
            each(t, &layout, at, nr)?;
        }
    }
    Ok(())
}

/// What the first of a run becomes when the others' accessed and dirty are added to it. Making an entry dirty makes it
/// soft-dirty, where there is such a thing.
fn merged<P: PortFacts>(port: &P, run: &[PteView]) -> PteView {
    let others = run[1..].iter().fold(PteAttrs::empty(), |all, view| all | attrs(view) & RECORDED);
    let soft = others.contains(PteAttrs::DIRTY) && port.has_soft_dirty();
    with(&run[0], |first| first | others | if soft { PteAttrs::SOFT_DIRTY } else { PteAttrs::empty() })
}

/// The view of another page.
fn of_page(view: &PteView, like: &PteView) -> PteView {
    match (*view, *like) {
        (PteView::Present(m), PteView::Present(Mapping { pfn, .. })) => {
            PteView::Present(Mapping { pfn, ..m })
        }
        (view, _) => view,
    }
}

pub(super) fn ptep_get_gathers<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    for layout in Layout::all(t.port) {
        let mut board = Board::new(t.port, &layout);
        let meaning = board.meaning(t.port);
        for (i, expected) in meaning.iter().enumerate() {
            let raw = board.hw.peek(board.at(i));
            let (hw, _, p) = board.entry(i);
            let got = t.port.ptep_get(hw, p);
            let what = || format!("ptep_get makes {}", word_text(t.port, got, Level::Pte));
            let view = view_text(&without_cont(t.port.decode(got, Level::Pte)));
            let port = t.port;
            t.case(view == view_text(expected), || Broken {
                operation: format!("entry {i} of {layout:?}"),
                before: word_text(port, raw, Level::Pte),
                after: what(),
                expected: view_text(expected),
            })?;
        }
    }
    Ok(())
}

pub(super) fn get_and_clear<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        let mut board = Board::new(t.port, layout);
        let (words, mut expected) = (board.words::<P>(), board.meaning(t.port));
        let (hw, addr, p) = board.entry(at);
        let got = t.port.get_and_clear_ptes(hw, addr, p, nr);
        let what = || format!("get_and_clear_ptes of {nr} entries");
        let view = without_cont(t.port.decode(got, Level::Pte));
        t.same(what, (words[at], Level::Pte), view, merged(t.port, &expected[at..at + nr]))?;
        expected[at..at + nr].fill(PteView::None);
        t.board_is(what, &words, &board, &expected)?;

        let mut board = Board::new(t.port, layout);
        let (hw, addr, p) = board.entry(at);
        t.port.clear_ptes(hw, addr, p, nr);
        t.board_is(|| format!("clear_ptes of {nr} entries"), &words, &board, &expected)
    })
}

/// Protections to change to, with their names.
fn prots<P: PortFacts>(port: &P) -> [(&'static str, PgProt); 4] {
    let (read, write) = (VmFlags::READ, VmFlags::WRITE);
    [
        ("none", VmFlags::empty()),
        ("read", read),
        ("read, execute", read | VmFlags::EXEC),
        ("read, write, shared", read | write | VmFlags::SHARED),
    ]
    .map(|(name, flags)| (name, port.vm_get_page_prot(flags)))
}

/// What an entry becomes under another protection.
fn modified<P: PortFacts>(port: &P, view: &PteView, prot: PgProt) -> PteView {
    let fresh = port.decode(port.pfn_pte(Pfn::new(1), prot), Level::Pte);
    with(view, |old| under::<P>(old, attrs(&fresh)))
}

pub(super) fn modify_prot<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        for (name, prot) in prots(t.port) {
            let mut board = Board::new(t.port, layout);
            let (words, mut expected) = (board.words::<P>(), board.meaning(t.port));
            let (hw, addr, p) = board.entry(at);
            let old = t.port.modify_prot_start_ptes(hw, addr, p, nr);
            let new = t.port.pte_modify(old, prot);
            // Closed in two parts, as a batch is of which some pages are exclusive.
            let first = nr.div_ceil(2);
            for (done, n) in [(0, first), (first, nr - first)].into_iter().filter(|(_, n)| *n > 0) {
                let (hw, addr, p) = board.entry(at + done);
                let (old, new) = (t.port.pte_advance_pfn(old, done), t.port.pte_advance_pfn(new, done));
                t.port.modify_prot_commit_ptes(hw, addr, p, old, new, n);
            }
            let whole = modified(t.port, &merged(t.port, &expected[at..at + nr]), prot);
            for view in &mut expected[at..at + nr] {
                *view = of_page(&whole, view);
            }
            t.board_is(|| format!("change of {nr} entries to {name}"), &words, &board, &expected)?;
        }
        Ok(())
    })
}

pub(super) fn wrprotect<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        let mut board = Board::new(t.port, layout);
        let (words, mut expected) = (board.words::<P>(), board.meaning(t.port));
        let (hw, addr, p) = board.entry(at);
        t.port.wrprotect_ptes(hw, addr, p, nr);
        for view in &mut expected[at..at + nr] {
            *view = with(view, |old| old - PteAttrs::WRITE);
        }
        t.board_is(|| format!("wrprotect_ptes of {nr} entries"), &words, &board, &expected)
    })
}

/// Entries whose accessed and dirty go with those of a part: the part, and the rest of the blocks that it touches.
fn reach<P: PortFacts>(layout: &Layout, at: usize, nr: usize) -> std::ops::Range<usize> {
    if !layout.is_folded() {
        return at..at + nr;
    }
    let block = P::CONT_PTES;
    at / block * block..(at + nr).next_multiple_of(block)
}

pub(super) fn clear_young_dirty<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        for flags in [Cydp::CLEAR_YOUNG, Cydp::CLEAR_DIRTY, Cydp::all()] {
            let mut board = Board::new(t.port, layout);
            let (words, mut expected) = (board.words::<P>(), board.meaning(t.port));
            let (hw, addr, p) = board.entry(at);
            t.port.clear_young_dirty_ptes(hw, addr, p, nr, flags);
            let mut cleared = PteAttrs::empty();
            cleared.set(PteAttrs::YOUNG, flags.contains(Cydp::CLEAR_YOUNG));
            cleared.set(PteAttrs::DIRTY, flags.contains(Cydp::CLEAR_DIRTY));
            for view in &mut expected[reach::<P>(layout, at, nr)] {
                *view = with(view, |old| old - cleared);
            }
            let what = || format!("clear_young_dirty_ptes of {nr} entries, {flags:?}");
            t.board_is(what, &words, &board, &expected)?;
        }
        Ok(())
    })
}

pub(super) fn test_and_clear_young<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, _| {
        let mut board = Board::new(t.port, layout);
        let (words, mut expected) = (board.words::<P>(), board.meaning(t.port));
        let (hw, addr, p) = board.entry(at);
        let young = t.port.ptep_test_and_clear_young(hw, addr, p);
        let what = || "ptep_test_and_clear_young".to_owned();
        let was = attrs(&expected[at]).contains(PteAttrs::YOUNG);
        t.same(what, (words[at], Level::Pte), young, was)?;
        for view in &mut expected[reach::<P>(layout, at, 1)] {
            *view = with(view, |old| old - PteAttrs::YOUNG);
        }
        t.board_is(what, &words, &board, &expected)
    })
}

/// What faults add.
const ADDED: [PteAttrs; 3] = [PteAttrs::YOUNG, RECORDED, RECORDED.union(PteAttrs::WRITE)];

/// The entry that a fault wants in place of one, where the port has a word for it, and whether the fault is a write.
fn wanted<P: PortFacts>(t: &Trial<'_, P>, view: &PteView, added: PteAttrs) -> Option<(Pte, bool)> {
    let writable = added.contains(PteAttrs::WRITE) || attrs(view).contains(PteAttrs::WRITE);
    let write = added.contains(PteAttrs::DIRTY);
    if attrs(view).contains(PteAttrs::PROTNONE) || (write && !writable) {
        return None;
    }
    Some((t.port.encode(with(view, |old| old | added), Level::Pte)?, write))
}

pub(super) fn set_access_flags<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, _| {
        for added in ADDED {
            let mut board = Board::new(t.port, layout);
            let (words, before) = (board.words::<P>(), board.meaning(t.port));
            let Some((entry, write)) = wanted(t, &before[at], added) else { continue };
            let (hw, addr, p) = board.entry(at);
            let changed = t.port.ptep_set_access_flags(hw, addr, p, entry, write);
            let what = || format!("ptep_set_access_flags to add {added:?}, {changed}");
            let full = |i: usize| with(&before[i], |old| old | added);
            // A block's accessed and dirty are those of all. Where hardware sets accessed, a read needs nothing.
            let near = |i: usize| with(&before[i], |old| old | added & RECORDED);
            let in_reach = reach::<P>(layout, at, 1);
            let idle = !write && P::walker_sets(t.on);
            let fine = |i: usize, view: &PteView| {
                let others = i != at && (*view == before[i] || in_reach.contains(&i) && *view == near(i));
                others || i == at && (*view == full(at) || idle && *view == before[at])
            };
            t.board(what, &words, &board, fine, |i| if i == at { full(at) } else { before[i] })?;
            if !changed {
                let same = board.words::<P>() == words;
                t.same(what, (words[at], Level::Pte), same, true)?;
            }
        }
        Ok(())
    })
}

/// Another walker of the same tables, as an SMMU is one, may set no flags by itself: it looks at the one word of its
/// address, and faults again and again if software takes a neighbour's flags for those of this word.
pub(super) fn second_walker<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, _| {
        for added in &ADDED[1..] {
            let mut board = Board::new(t.port, layout);
            let (words, before) = (board.words::<P>(), board.meaning(t.port));
            let Some((entry, write)) = wanted(t, &before[at], *added) else { continue };
            let (hw, addr, p) = board.entry(at);
            t.port.ptep_set_access_flags(hw, addr, p, entry, write);
            let raw = board.hw.peek(p);
            let walk = t.port.walk(raw, Level::Pte, crate::Access::Write);
            let what = || {
                let now = word_text(t.port, raw, Level::Pte);
                format!("a write through {now}, after ptep_set_access_flags to add {added:?}")
            };
            t.same(what, (words[at], Level::Pte), walk, Walk::Allowed(raw))?;
        }
        Ok(())
    })
}

pub(super) fn set_ptes<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        if layout.is_folded() {
            return set_one_of_a_block(t, layout, at);
        }
        let mut board = Board::empty::<P>(None);
        let before = vec![P::EMPTY[0]; len::<P>()];
        let first = PteView::Present(layout.mapping::<P>(at));
        let word = t.port.encode(first, Level::Pte).unwrap_or(Pte::NONE);
        let (hw, addr, p) = board.entry(at);
        t.port.set_ptes(hw, addr, p, word, nr);
        let mut expected = vec![PteView::None; len::<P>()];
        for (i, view) in expected[at..at + nr].iter_mut().enumerate() {
            *view = of_page(&first, &PteView::Present(layout.mapping::<P>(at + i)));
        }
        t.board_is(|| format!("set_ptes of {nr} entries"), &before, &board, &expected)
    })
}

/// One entry of a block written over.
fn set_one_of_a_block<P: PortFacts>(t: &mut Trial<'_, P>, layout: &Layout, at: usize) -> Held {
    let mut board = Board::new(t.port, layout);
    let (words, mut expected) = (board.words::<P>(), board.meaning(t.port));
    expected[at] = with(&expected[at], |old| old - PteAttrs::WRITE - RECORDED);
    let Some(word) = t.port.encode(expected[at], Level::Pte) else { return Ok(()) };
    let (hw, addr, p) = board.entry(at);
    t.port.set_pte_at(hw, addr, p, word);
    // Where that makes the block one again, it is as accessed and dirty as before.
    let block = at / P::CONT_PTES * P::CONT_PTES;
    let joined = with(&expected[at], |new| new | attrs(&expected[block]) & RECORDED);
    let fine = |i: usize, view: &PteView| *view == expected[i] || i == at && *view == joined;
    t.board(|| "set_pte_at over one of a block".to_owned(), &words, &board, fine, |i| expected[i])
}

pub(super) fn single_is_batched<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        let start = Board::new(t.port, layout);
        let words = start.words::<P>();
        let prot = t.port.vm_get_page_prot(VmFlags::READ);
        for op in Op::ALL {
            let (mut batched, mut single) = (start.clone(), start.clone());
            op.run(t.port, &mut batched, (at, nr), prot);
            for i in at..at + nr {
                op.run(t.port, &mut single, (i, 1), prot);
            }
            let expected = single.meaning(t.port);
            let what = || format!("{op:?} of {nr} entries");
            if !op.merges() {
                t.board_is(what, &words, &batched, &expected)?;
                continue;
            }
            let expected = batched.joined(t.port, &expected);
            // A batch's accessed and dirty are those of all: more than the single ones', never less; but for what those of a
            // block gave one another that only single operations made.
            let merge = RECORDED | PteAttrs::SOFT_DIRTY;
            let (in_block, in_blocks) = (batched.in_blocks(t.port), single.in_blocks(t.port));
            let fine = |i: usize, view: &PteView| {
                let (more, less) = (attrs(view), attrs(&expected[i]));
                with(view, |v| v - merge) == with(&expected[i], |v| v - merge)
                    && (more.contains(less) || in_blocks[i] && !in_block[i])
            };
            t.board(what, &words, &batched, fine, |i| expected[i])?;
        }
        Ok(())
    })
}

/// An operation that comes single and batched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    GetAndClear,
    Clear,
    Wrprotect,
    ClearYoung,
    ClearYoungDirty,
    ModifyProt,
    Rewrite,
}

impl Op {
    pub(super) const ALL: [Self; 7] = [
        Self::GetAndClear,
        Self::Clear,
        Self::Wrprotect,
        Self::ClearYoung,
        Self::ClearYoungDirty,
        Self::ModifyProt,
        Self::Rewrite,
    ];

    /// Whether a batch of it makes all entries as accessed and dirty as any.
    const fn merges(self) -> bool {
        matches!(self, Self::ModifyProt | Self::Rewrite)
    }

    pub(super) fn run<P: PortFacts>(
        self,
        port: &P,
        board: &mut Board,
        (at, nr): (usize, usize),
        prot: PgProt,
    ) {
        let (hw, addr, p) = board.entry(at);
        match self {
            Self::GetAndClear if nr == 1 => drop(port.ptep_get_and_clear(hw, addr, p)),
            Self::GetAndClear => drop(port.get_and_clear_ptes(hw, addr, p, nr)),
            Self::Clear if nr == 1 => port.pte_clear(hw, addr, p),
            Self::Clear => port.clear_ptes(hw, addr, p, nr),
            Self::Wrprotect => port.wrprotect_ptes(hw, addr, p, nr),
            Self::ClearYoung => port.clear_young_dirty_ptes(hw, addr, p, nr, Cydp::CLEAR_YOUNG),
            Self::ClearYoungDirty => port.clear_young_dirty_ptes(hw, addr, p, nr, Cydp::all()),
            Self::ModifyProt if nr == 1 => {
                let old = port.ptep_modify_prot_start(hw, addr, p);
                port.ptep_modify_prot_commit(hw, addr, p, old, port.pte_modify(old, prot));
            }
            Self::ModifyProt => {
                let old = port.modify_prot_start_ptes(hw, addr, p, nr);
                port.modify_prot_commit_ptes(hw, addr, p, old, port.pte_modify(old, prot), nr);
            }
            Self::Rewrite => {
                let old = port.get_and_clear_ptes(hw, addr, p, nr);
                port.set_ptes(hw, addr, p, old, nr);
            }
        }
    }
}

pub(super) fn contiguous_blocks_are_legal<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    on_every_part(t, |t, layout, at, nr| {
        for op in Op::ALL {
            for (name, prot) in prots(t.port) {
                let mut board = Board::new(t.port, layout);
                let words = board.words::<P>();
                op.run(t.port, &mut board, (at, nr), prot);
                blocks_are_legal(t, || format!("{op:?} of {nr} entries, to {name}"), &words, &board)?;
            }
        }
        Ok(())
    })?;
    // Neighbouring frames of small folios are no block, in whatever order they come.
    for order in [0, block::<P>().ilog2() - 1] {
        let mut board = Board::empty::<P>(Some(order));
        let words = board.words::<P>();
        let m = Mapping {
            pfn: Pfn::new(4 * block::<P>() as u64),
            level: Level::Pte,
            attrs: PteAttrs::USER | RECORDED,
            pkey: 0,
        };
        let Some(word) = t.port.encode(PteView::Present(m), Level::Pte) else { continue };
        for i in 0..block::<P>() {
            let (hw, addr, p) = board.entry(i);
            t.port.set_pte_at(hw, addr, p, t.port.pte_advance_pfn(word, i));
        }
        blocks_are_legal(
            t,
            || format!("set_pte_at of each page of folios of order {order}"),
            &words,
            &board,
        )?;
    }
    Ok(())
}

/// A case: every entry that says it is one of a block is.
pub(super) fn blocks_are_legal<P: PortFacts>(
    t: &mut Trial<'_, P>,
    operation: impl FnOnce() -> String,
    before: &[Pte],
    board: &Board,
) -> Held {
    let port = t.port;
    let invalid = P::has_cont_on_invalid(&t.on.sound());
    let views: Vec<PteView> = board.words::<P>().iter().map(|&word| port.decode(word, Level::Pte)).collect();
    let wrong = (0..views.len()).find_map(|i| Some((i, block_fault::<P>(board, &views, i, invalid)?)));
    t.case(wrong.is_none(), || {
        let (i, fault) = wrong.unwrap_or_default();
        Broken {
            operation: format!("{}; entry {i}", operation()),
            before: word_text(port, before[i], Level::Pte),
            after: word_text(port, board.hw.peek(board.at(i)), Level::Pte),
            expected: fault.to_owned(),
        }
    })
}

/// What is wrong with entry `i` as one of a block.
fn block_fault<P: PortFacts>(
    board: &Board,
    views: &[PteView],
    i: usize,
    invalid: bool,
) -> Option<&'static str> {
    let PteView::Present(m) = views[i] else { return None };
    if !m.attrs.contains(PteAttrs::CONT) {
        return None;
    }
    if m.attrs.contains(PteAttrs::PROTNONE) && !invalid {
        return Some("no contiguous bit on an entry that is not valid");
    }
    let start = i / P::CONT_PTES * P::CONT_PTES;
    let first = m.pfn.get().checked_sub((i - start) as u64)?;
    if first % P::CONT_PTES as u64 != 0 {
        return Some("a block whose frames are aligned");
    }
    let folio = board.hw.peek_folio(m.pfn);
    if folio.head.get() > first || folio.end().get() < first + P::CONT_PTES as u64 {
        return Some("a block within one folio");
    }
    let alike = views[start..start + P::CONT_PTES].iter().zip(first..).all(|(view, pfn)| match view {
        PteView::Present(other) => other.pfn.get() == pfn && other.attrs - RECORDED == m.attrs - RECORDED,
        _ => false,
    });
    (!alike).then_some("a block of entries that differ in frame, accessed and dirty only")
}

pub(super) fn batch_hints<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    for layout in Layout::all(t.port) {
        let mut board = Board::new(t.port, &layout);
        let meaning = board.meaning(t.port);
        for i in 0..meaning.len() {
            let (hw, _, p) = board.entry(i);
            let pte = t.port.ptep_get(hw, p);
            let hint = t.port.pte_batch_hint(board.at(i), pte);
            let end = i / P::CONT_PTES * P::CONT_PTES + P::CONT_PTES;
            let continues = |hint: usize| {
                (i..i + hint).all(|j| {
                    j < meaning.len()
                        && meaning[j] == of_page(&meaning[i], &PteView::Present(layout.mapping::<P>(j)))
                })
            };
            let fine = hint >= 1 && i + hint <= end && continues(hint);
            let what = || format!("pte_batch_hint of entry {i}: {hint}, of {layout:?}");
            t.same(what, (pte, Level::Pte), fine, true)?;
        }
    }
    Ok(())
}

/// Two addresses beyond what the tables reach would share an entry.
pub(super) fn tables_reach_all_addresses<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let top = if P::TREE_GROWS { Level::Pgd } else { t.port.root() };
    let (reach, window) = (P::tree_end(top), P::MAP_WINDOW);
    let ends = t.port.task_size();
    let within = [
        (format!("task_size {ends:#x} is within the tables, which end at {reach:#x}"), ends <= reach),
        (format!("MAP_WINDOW {window:#x} is within TASK_SIZE {:#x}", P::TASK_SIZE), window <= P::TASK_SIZE),
        (format!("task_size {ends:#x} is within TASK_SIZE {:#x}", P::TASK_SIZE), ends <= P::TASK_SIZE),
    ];
    for (what, is) in within {
        t.same(|| what, (Pte::NONE, top), is, true)?;
    }
    Ok(())
}
