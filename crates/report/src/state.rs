//! The state of one machine after any call of its lane.

use crate::cells::Piece;
use crate::trace::{CallTrace, Lane, NamedArea, RangeChange};
use crate::why::Reasons;
use crate::words::Word;
use ptelab::{Level, Pid, VirtAddr};
use std::collections::BTreeMap;

/// Calls between two states that are kept.
const KEEP_EVERY: usize = 256;

/// Entries that are alike, and where they lie.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: VirtAddr,
    end: VirtAddr,
    piece: Piece,
}

/// An entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryState<'a> {
    /// Its word, without the frame.
    pub word: &'a Word,
    /// First address that it maps.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Pages in its folio; 0 where no folio stands behind.
    pub folio_pages: u32,
    /// Where in its folio its first page lies.
    pub offset: u64,
    /// `PageAnonExclusive`.
    pub exclusive: bool,
}

#[derive(Clone, Debug, Default)]
struct Spaces {
    entries: BTreeMap<Pid, Vec<Stretch>>,
    vmas: BTreeMap<Pid, Vec<NamedArea>>,
}

/// One machine, at one call after the other.
#[derive(Clone, Debug)]
pub struct State<'a> {
    lane: &'a Lane,
    at: usize,
    now: Spaces,
    /// States after so many calls.
    kept: Vec<(usize, Spaces)>,
}

impl<'a> State<'a> {
    /// The state before the first call.
    pub fn new(lane: &'a Lane) -> Self {
        Self { lane, at: 0, now: Spaces::default(), kept: vec![(0, Spaces::default())] }
    }

    /// The lane.
    pub const fn lane(&self) -> &'a Lane {
        self.lane
    }

    /// Goes to the state after so many calls.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn go_to(&mut self, calls: usize) {
        if calls < self.at {
            let (at, kept) =
                self.kept.iter().rev().find(|(at, _)| *at <= calls).expect("the first state is kept");
            (self.at, self.now) = (*at, kept.clone());
        }
        while self.at < calls {
            self.now.apply(self.lane, &self.lane.steps[self.at]);
            self.at += 1;
            if self.at.is_multiple_of(KEEP_EVERY) && self.kept.iter().all(|(at, _)| *at < self.at) {
                self.kept.push((self.at, self.now.clone()));
            }
        }
    }

    /// The call that led here.
    pub fn step(&self) -> Option<&'a CallTrace> {
        self.lane.steps.get(self.at.checked_sub(1)?)
    }

    /// Address spaces that there are.
    pub fn spaces(&self) -> Vec<Pid> {
        self.now.vmas.keys().copied().collect()
    }

    /// Why the call that led here made the entry for an address what it is, or left it so.
    pub fn reasons(&self, space: Pid, addr: VirtAddr) -> Reasons {
        self.step().map_or_else(Reasons::default, |step| self.lane.reasons_at(step, space, addr))
    }

    /// VMAs of an address space.
    pub fn vmas(&self, space: Pid) -> &[NamedArea] {
        self.now.vmas.get(&space).map_or(&[], Vec::as_slice)
    }

    /// The VMA that an address lies in.
    pub fn vma_at(&self, space: Pid, addr: VirtAddr) -> Option<&NamedArea> {
        let vmas = self.vmas(space);
        let at = vmas.partition_point(|vma| vma.area.end <= addr);
        vmas.get(at).filter(|vma| vma.area.start <= addr)
    }

    /// The entry for an address, if there is one.
    pub fn entry(&self, space: Pid, addr: VirtAddr) -> Option<EntryState<'a>> {
        let stretches = self.now.entries.get(&space)?;
        let i = stretches.partition_point(|stretch| stretch.end <= addr);
        let stretch = stretches.get(i).filter(|stretch| stretch.start <= addr)?;
        let word = &self.lane.words.all[stretch.piece.word as usize];
        let size = entry_size(self.lane, word.level);
        let index = addr.since(stretch.start) / size;
        let pages = size >> self.lane.shape.page_shift();
        let piece = stretch.piece;
        let moved = if piece.repeats { 0 } else { index * pages };
        let start = stretch.start.add(index * size);
        Some(EntryState {
            word,
            start,
            end: start.add(size),
            folio_pages: piece.folio_pages,
            offset: (u64::from(piece.offset) + moved) % u64::from(piece.folio_pages.max(1)),
            exclusive: piece.exclusive,
        })
    }

    /// Whether the call that led here changed the entry for an address.
    pub fn is_changed(&self, space: Pid, addr: VirtAddr) -> bool {
        let covers = |change: &RangeChange| {
            change.space == space && change.start <= addr && addr < end_of(self.lane, change)
        };
        self.step().is_some_and(|step| step.changes.iter().any(covers))
    }
}

const fn entry_size(lane: &Lane, level: Level) -> u64 {
    lane.shape.entry_size(level)
}

fn len_of(lane: &Lane, piece: &Piece) -> u64 {
    piece.n * entry_size(lane, lane.words.all[piece.word as usize].level)
}

fn end_of(lane: &Lane, change: &RangeChange) -> VirtAddr {
    change.start.add(change.pieces.iter().map(|piece| len_of(lane, piece)).sum())
}

impl Spaces {
    fn apply(&mut self, lane: &Lane, step: &CallTrace) {
        for change in &step.changes {
            self.change(lane, change);
        }
        for change in &step.vmas {
            let vmas = self.vmas.entry(change.space).or_default();
            vmas.splice(change.at..change.at + change.removed, change.added.iter().cloned());
        }
        for space in &step.ended {
            self.entries.remove(space);
            self.vmas.remove(space);
        }
    }

    fn change(&mut self, lane: &Lane, change: &RangeChange) {
        let end = end_of(lane, change);
        let stretches = self.entries.entry(change.space).or_default();
        let from = stretches.partition_point(|stretch| stretch.end <= change.start);
        let to = stretches.partition_point(|stretch| stretch.start < end);
        let mut new = Vec::new();
        new.extend(stretches[from..to].first().and_then(|first| cut(lane, first, first.start, change.start)));
        let mut at = change.start;
        for &piece in &change.pieces {
            let next = at.add(len_of(lane, &piece));
            if piece.word != 0 {
                new.push(Stretch { start: at, end: next, piece });
            }
            at = next;
        }
        new.extend(stretches[from..to].last().and_then(|last| cut(lane, last, end, last.end)));
        stretches.splice(from..to, new);
    }
}

/// The part of a stretch from `start` to `end`, if there is one.
fn cut(lane: &Lane, stretch: &Stretch, start: VirtAddr, end: VirtAddr) -> Option<Stretch> {
    if start >= end {
        return None;
    }
    let pages = start.since(stretch.start) >> lane.shape.page_shift();
    let mut piece = stretch.piece;
    if !piece.repeats && piece.folio_pages > 0 {
        piece.offset = ((u64::from(piece.offset) + pages) % u64::from(piece.folio_pages)) as u32;
    }
    Some(Stretch { start, end, piece })
}
