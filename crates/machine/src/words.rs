//! The meaning of table words, wherever they come from.

use crate::snapshot::frameless;
use ptelab_pgtable::{BitField, EntryFormat, Level, Pte, PteView};

/// A port's reading of words.
pub trait Words {
    /// The empty word of a level.
    fn empty(&self, level: Level) -> Pte;
    /// A word in the neutral view.
    fn decode(&self, pte: Pte, level: Level) -> PteView;
    /// Every bit and field that such a word has, set or not, from the lowest up.
    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField>;
    /// The names of its bits.
    fn describe(&self, pte: Pte, level: Level) -> String;
    /// The bits of a word that hold a frame number.
    fn pfn_mask(&self, pte: Pte, level: Level) -> u64;
    /// A word that is a software entry of a page, without the page's frame number; another as it is.
    fn without_frame(&self, pte: Pte, level: Level) -> Pte;
}

impl<A: EntryFormat> Words for A {
    fn empty(&self, level: Level) -> Pte {
        A::EMPTY[level as usize]
    }

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        EntryFormat::decode(self, pte, level)
    }

    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField> {
        EntryFormat::fields(self, pte, level)
    }

    fn describe(&self, pte: Pte, level: Level) -> String {
        EntryFormat::describe(self, pte, level)
    }

    fn pfn_mask(&self, pte: Pte, level: Level) -> u64 {
        EntryFormat::pfn_mask(self, pte, level)
    }

    fn without_frame(&self, pte: Pte, level: Level) -> Pte {
        match EntryFormat::decode(self, pte, level) {
            PteView::Soft(leaf) => {
                EntryFormat::encode(self, PteView::Soft(frameless(leaf)), level).unwrap_or(pte)
            }
            _ => pte,
        }
    }
}
