//! What a table of page entries, or the huge leaf in its place, held when it was looked at.

use ptelab::{Cell, Level};

/// Entries that are alike, as a call left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many entries; of nothing, how many pages.
    pub n: u64,
    /// Number of the first word, without its frame.
    pub word: u32,
    /// Pages in the folio of the first, and in those that follow it; 0 where no folio stands behind.
    pub folio_pages: u32,
    /// Where in its folio the first page lies.
    pub offset: u32,
    /// Every entry maps the same page.
    pub repeats: bool,
    /// `PageAnonExclusive`.
    pub exclusive: bool,
}

/// Entries from the first of a table on, each with its number in [`WordTable`](crate::WordTable). None at all stand for a table of nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    level: Option<Level>,
    all: Vec<Known>,
}

/// An entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    word: u32,
    folio_pages: u32,
    offset: u32,
    exclusive: bool,
}

impl Cells {
    pub(crate) fn with_room_for(entries: usize) -> Self {
        Self { level: None, all: Vec::with_capacity(entries) }
    }

    /// Whether it has page entries, and so many.
    pub(crate) fn is_table_of(&self, entries: usize) -> bool {
        self.level == Some(Level::Pte) && self.all.len() == entries
    }

    /// Whether these entries, from one on, have the words of others.
    pub(crate) fn has_words_of(&self, others: &Self, from: usize) -> bool {
        let own = &self.all[from..from + others.all.len()];
        own.iter().zip(&others.all).all(|(a, b)| a.word == b.word)
    }

    /// Takes over others, from an entry on.
    pub(crate) fn take_over(&mut self, others: &Self, from: usize) {
        self.all[from..from + others.all.len()].copy_from_slice(&others.all);
    }

    /// Adds the next entry.
    pub(crate) fn push(&mut self, cell: Cell, word: u32) {
        let Cell { folio_pages, offset, exclusive, .. } = cell;
        if cell.level > Level::Pte && cell.bits == 0 {
            return;
        }
        self.level = Some(cell.level);
        self.all.push(Known { word, folio_pages, offset, exclusive });
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.iter().all(|known| known.word == 0)
    }

    fn is_leaf(&self) -> bool {
        self.level.is_some_and(|level| level > Level::Pte)
    }

    /// Where a later state differs, in entries of a table that has so many.
    pub(crate) fn differing(&self, later: &Self, entries: usize) -> Vec<(usize, usize)> {
        if self.is_leaf() || later.is_leaf() {
            return if self == later { Vec::new() } else { vec![(0, entries)] };
        }
        let get = |cells: &Self, i: usize| cells.all.get(i).copied().unwrap_or_default();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for i in (0..entries).filter(|&i| get(self, i) != get(later, i)) {
            match ranges.last_mut() {
                Some((_, end)) if *end == i => *end += 1,
                _ => ranges.push((i, i + 1)),
            }
        }
        ranges
    }

    /// How many entries have each word, in the order of words.
    pub(crate) fn shares(&self, entries: usize) -> Vec<Piece> {
        if self.is_leaf() {
            return self.pieces(0, 1);
        }
        let mut shares: Vec<(u32, usize)> = Vec::new();
        let mut add = |word, n| match shares.iter_mut().find(|(known, _)| *known == word) {
            Some((_, sum)) => *sum += n,
            None => shares.push((word, n)),
        };
        // Neighbours are alike.
        for run in self.all.chunk_by(|a, b| a.word == b.word) {
            add(run[0].word, run.len());
        }
        if self.all.len() < entries {
            add(0, entries - self.all.len());
        }
        shares.sort_unstable();
        let piece = |(word, n)| Piece { n: n as u64, ..Known { word, ..Known::default() }.alone() };
        shares.into_iter().map(piece).collect()
    }

    /// The entries of a range, those that are alike together.
    pub(crate) fn pieces(&self, from: usize, to: usize) -> Vec<Piece> {
        if self.is_leaf() {
            return self.all.iter().map(Known::alone).collect();
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for i in from..to {
            let known = self.all.get(i).copied().unwrap_or_default();
            if !pieces.last_mut().is_some_and(|last| known.joins(last)) {
                pieces.push(known.alone());
            }
        }
        pieces
    }
}

impl Known {
    const fn alone(&self) -> Piece {
        let Self { word, folio_pages, offset, exclusive } = *self;
        Piece { n: 1, word, folio_pages, offset, repeats: false, exclusive }
    }

    /// Makes it part of a piece that ends before it, if it is like that.
    fn joins(&self, piece: &mut Piece) -> bool {
        if (self.word, self.folio_pages, self.exclusive) != (piece.word, piece.folio_pages, piece.exclusive) {
            return false;
        }
        let next = (u64::from(piece.offset) + piece.n) % u64::from(piece.folio_pages.max(1));
        let follows = u64::from(self.offset) == next;
        // Pages that are folios of their own follow and repeat alike.
        if !follows && !(self.offset == piece.offset && (piece.n == 1 || piece.repeats))
            || follows && piece.repeats && self.folio_pages > 1
        {
            return false;
        }
        piece.repeats = !follows;
        piece.n += 1;
        true
    }
}
