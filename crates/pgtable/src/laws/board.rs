//! A table on which operations are tried: three contiguous blocks' worth of entries of one folio, and what they mean.

use super::trial::{Broken, PortFacts, Trial, mapping_text, word_text};
use crate::{
    FolioSpan, Hw, Level, Mapping, Pfn, Pte, PteAttrs, PteView, Ptep, RecordingHw, TableMemory, VirtAddr,
};

/// What access and hardware record: batches may differ in it, and blocks do.
pub(super) const RECORDED: PteAttrs = PteAttrs::YOUNG.union(PteAttrs::DIRTY);

/// How the entries of a board begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Frames that the first entry lies off a block's boundary; addresses lie on one.
    skew: u64,
    /// Contiguous blocks, or single entries.
    folded: bool,
    /// What all entries have.
    base: PteAttrs,
    /// Which of them are young, and which dirty.
    pattern: fn(usize, usize) -> PteAttrs,
}

/// Which entries of blocks of so many are young and dirty.
const PATTERNS: [fn(usize, usize) -> PteAttrs; 6] = [
    |_, _| PteAttrs::empty(),
    |_, _| RECORDED,
    |i, _| if i == 0 { PteAttrs::YOUNG } else { PteAttrs::empty() },
    |i, block| if i % block == block - 1 { PteAttrs::DIRTY } else { PteAttrs::YOUNG },
    |i, block| if i % block == block / 2 { RECORDED } else { PteAttrs::empty() },
    |i, _| PteAttrs::from_bits_truncate(if i % 3 == 1 { PteAttrs::DIRTY.bits() } else { 0 }),
];

/// Entries in a block, where the port has blocks; else as many as would do.
pub(super) fn block<P: PortFacts>() -> usize {
    P::CONT_PTES.max(16)
}

/// Entries on a board.
pub(super) fn len<P: PortFacts>() -> usize {
    3 * block::<P>()
}

impl Layout {
    /// Every layout that the port has words for.
    pub(super) fn all<P: PortFacts>(port: &P) -> Vec<Self> {
        let user = PteAttrs::USER;
        let bases =
            [user, user | PteAttrs::WRITE, user | PteAttrs::WRITE | PteAttrs::SOFT_DIRTY, PteAttrs::PROTNONE];
        let mut all = Vec::new();
        for (skew, folded) in [(0, false), (0, true), (1, false)] {
            for base in bases {
                all.extend(PATTERNS.map(|pattern| Self { skew, folded, base, pattern }));
            }
        }
        all.retain(|layout| {
            let legal = !layout.folded || (port.has_contpte() && !layout.base.contains(PteAttrs::PROTNONE));
            legal && (0..len::<P>()).all(|i| layout.word(port, i).is_some())
        });
        all
    }

    pub(super) const fn is_folded(&self) -> bool {
        self.folded
    }

    /// The mapping of entry `i`.
    pub(super) fn mapping<P: PortFacts>(&self, i: usize) -> Mapping {
        let block = block::<P>();
        let attrs = self.base | (self.pattern)(i, block);
        Mapping { pfn: Pfn::new(4 * block as u64 + self.skew + i as u64), level: Level::Pte, attrs, pkey: 0 }
    }

    fn word<P: PortFacts>(&self, port: &P, i: usize) -> Option<Pte> {
        let mut m = self.mapping::<P>(i);
        m.attrs.set(PteAttrs::CONT, self.folded);
        port.encode(PteView::Present(m), Level::Pte)
    }
}

/// Parts of a board, as first entry and number: within, at and across the boundaries of blocks.
pub(super) fn parts<P: PortFacts>() -> Vec<(usize, usize)> {
    let b = block::<P>();
    let ends = [(0, b), (0, 2 * b), (b, b), (b / 2, b), (0, 3 * b), (2, 3 * b - 3)];
    let inner = [(0, 1), (3, 1), (b - 1, 1), (2 * b - 1, 1), (0, 5), (5, b - 5), (5, b + 4)];
    ends.into_iter().chain(inner).collect()
}

/// The table.
#[derive(Clone)]
pub(super) struct Board {
    pub(super) hw: RecordingHw,
    first: Ptep,
    page_size: u64,
}

impl Board {
    /// A board without entries; its frames belong to folios of this order, or to one that holds them all.
    pub(super) fn empty<P: PortFacts>(order: Option<u32>) -> Self {
        let frames = 4 * block::<P>() as u64;
        let entries = P::PTRS_PER_PTE.max(frames as usize);
        let mut hw = RecordingHw::with_tables_of(entries);
        let first = hw.alloc_table(entries, P::EMPTY[0]).add(block::<P>());
        let order = order.unwrap_or(frames.ilog2());
        for at in (0..frames).step_by(1 << order) {
            hw.set_folio(FolioSpan { head: Pfn::new(frames + at), order });
        }
        Self { hw, first, page_size: P::PAGE_SIZE }
    }

    /// A board in a layout.
    pub(super) fn new<P: PortFacts>(port: &P, layout: &Layout) -> Self {
        let mut board = Self::empty::<P>(None);
        for i in 0..len::<P>() {
            let word = layout.word(port, i).expect("layouts have words");
            board.hw.store(board.at(i), word);
        }
        board.hw.take_records();
        board
    }

    pub(super) const fn at(&self, i: usize) -> Ptep {
        self.first.add(i)
    }

    pub(super) const fn addr(&self, i: usize) -> VirtAddr {
        VirtAddr::new(0x4000_0000).add((self.first.add(i).0) * self.page_size)
    }

    /// The machine, with address and place of an entry.
    pub(super) const fn entry(&mut self, i: usize) -> (&mut RecordingHw, VirtAddr, Ptep) {
        let (addr, p) = (self.addr(i), self.at(i));
        (&mut self.hw, addr, p)
    }

    /// The index on the board of an entry of its table, if it is on it.
    pub(super) fn index<P: PortFacts>(&self, p: Ptep) -> Option<usize> {
        let i = p.0.checked_sub(self.first.0)? as usize;
        (i < len::<P>()).then_some(i)
    }

    /// The board on a machine that has gone on from its own.
    pub(super) const fn with_machine(&self, hw: RecordingHw) -> Self {
        Self { hw, first: self.first, page_size: self.page_size }
    }

    /// The words.
    pub(super) fn words<P: PortFacts>(&self) -> Vec<Pte> {
        (0..len::<P>()).map(|i| self.hw.peek(self.at(i))).collect()
    }

    /// What the words mean: of a contiguous block, accessed and dirty are those of all; whether it is one is no part of it.
    pub(super) fn meaning<P: PortFacts>(&self, port: &P) -> Vec<PteView> {
        let views: Vec<PteView> =
            self.words::<P>().iter().map(|&word| port.decode(word, Level::Pte)).collect();
        (0..views.len())
            .map(|i| match views[i] {
                PteView::Present(m) if m.attrs.contains(PteAttrs::CONT) => {
                    let start = i / P::CONT_PTES * P::CONT_PTES;
                    let recorded =
                        views[start..start + P::CONT_PTES].iter().fold(m.attrs, |all, view| match view {
                            PteView::Present(other) if !m.attrs.contains(PteAttrs::PROTNONE) => {
                                all | other.attrs & RECORDED
                            }
                            _ => all,
                        });
                    PteView::Present(Mapping { attrs: recorded - PteAttrs::CONT, ..m })
                }
                view => view,
            })
            .collect()
    }
}

impl Board {
    /// What is expected of entries, where those of a contiguous block are as accessed and dirty as any of it.
    pub(super) fn joined<P: PortFacts>(&self, port: &P, expected: &[PteView]) -> Vec<PteView> {
        let mut joined = expected.to_vec();
        let in_blocks = self.in_blocks(port);
        for (block, are) in joined.chunks_mut(P::CONT_PTES).zip(in_blocks.chunks(P::CONT_PTES)) {
            if are.contains(&true) {
                let all = block.iter().fold(PteAttrs::empty(), |all, view| all | attrs(view) & RECORDED);
                for view in block.iter_mut() {
                    *view = with(view, |own| own | all);
                }
            }
        }
        joined
    }

    /// Which entries are of a contiguous block that hardware sees.
    pub(super) fn in_blocks<P: PortFacts>(&self, port: &P) -> Vec<bool> {
        let is_one = |word: &Pte| {
            let attrs = attrs(&port.decode(*word, Level::Pte));
            attrs.contains(PteAttrs::CONT) && !attrs.contains(PteAttrs::PROTNONE)
        };
        self.words::<P>().iter().map(is_one).collect()
    }
}

/// A mapping without contiguity, which ports join and separate as they like.
pub(super) fn without_cont(view: PteView) -> PteView {
    match view {
        PteView::Present(m) => PteView::Present(Mapping { attrs: m.attrs - PteAttrs::CONT, ..m }),
        other => other,
    }
}

/// A present entry with other attributes.
pub(super) fn with(view: &PteView, change: impl FnOnce(PteAttrs) -> PteAttrs) -> PteView {
    match *view {
        PteView::Present(m) => PteView::Present(Mapping { attrs: change(m.attrs), ..m }),
        other => other,
    }
}

pub(super) fn attrs(view: &PteView) -> PteAttrs {
    match view {
        PteView::Present(m) => m.attrs,
        _ => PteAttrs::empty(),
    }
}

impl<P: PortFacts> Trial<'_, P> {
    /// A case: after `operation`, which found the words `before`, each entry of the board means one of what is expected of it.
    pub(super) fn board(
        &mut self,
        operation: impl FnOnce() -> String,
        before: &[Pte],
        board: &Board,
        expected: impl Fn(usize, &PteView) -> bool,
        should: impl FnOnce(usize) -> PteView,
    ) -> Result<(), Broken> {
        let port = self.port;
        let now = board.meaning(port);
        let wrong = now.iter().enumerate().find(|(i, view)| !expected(*i, view)).map(|(i, _)| i);
        self.case(wrong.is_none(), || {
            let i = wrong.unwrap_or_default();
            Broken {
                operation: format!("{}; entry {i}", operation()),
                before: word_text(port, before[i], Level::Pte),
                after: word_text(port, board.hw.peek(board.at(i)), Level::Pte),
                expected: match should(i) {
                    PteView::Present(m) => mapping_text(&m),
                    other => format!("{other:?}").to_lowercase(),
                },
            }
        })
    }

    /// A case: each entry means exactly this.
    pub(super) fn board_is(
        &mut self,
        operation: impl FnOnce() -> String,
        before: &[Pte],
        board: &Board,
        expected: &[PteView],
    ) -> Result<(), Broken> {
        let expected = board.joined(self.port, expected);
        self.board(operation, before, board, |i, view| *view == expected[i], |i| expected[i])
    }
}
