//! The words that a machine's tables held, each kept once.

use ptelab::{Backend, BitField, Level, Pte, PteView};
use rustc_hash::FxHashMap;

/// A word without its frame number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The bits.
    pub bits: u64,
    /// Level of the table that it stood in.
    pub level: Level,
    /// What it says on any architecture.
    pub view: PteView,
    /// Which bits and fields such a word has: an index into [`WordTable::kinds`].
    pub kind: usize,
}

/// All words of a machine.
#[derive(Clone, Debug, Default)]
pub struct WordTable {
    /// The words, by their numbers. 0 is the empty one.
    pub all: Vec<Word>,
    /// Bits and fields of each kind of word.
    pub kinds: Vec<Vec<BitField>>,
    known: FxHashMap<(u64, Level), u32>,
    /// The one that was asked for last: neighbours are alike.
    last: Option<((u64, Level), u32)>,
}

impl WordTable {
    pub(crate) fn new(vm: &dyn Backend) -> Self {
        let mut words = Self::default();
        words.number(vm, 0, Level::Pte);
        words
    }

    /// The number of a word.
    pub(crate) fn number(&mut self, vm: &dyn Backend, bits: u64, level: Level) -> u32 {
        let key = (bits, level);
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == key) {
            return number;
        }
        let number = self.known.get(&key).copied().unwrap_or_else(|| self.add(vm, key));
        self.last = Some((key, number));
        number
    }

    fn add(&mut self, vm: &dyn Backend, (bits, level): (u64, Level)) -> u32 {
        let fields = vm.words().fields(Pte(bits), level);
        let kind = self.kinds.iter().position(|kind| *kind == fields).unwrap_or_else(|| {
            self.kinds.push(fields);
            self.kinds.len() - 1
        });
        let number = self.all.len() as u32;
        self.all.push(Word { bits, level, view: vm.words().decode(Pte(bits), level), kind });
        self.known.insert((bits, level), number);
        number
    }
}
