//! A bit for each of many things: pages, blocks of pages (`lib/bitmap.c`).

use bitvec::vec::BitVec;
use std::ops::Range;

/// Bits of a word, which is as wide as the host's.
const BITS: usize = usize::BITS as usize;

/// Bits by number. Loops over many bits go by words: the iterators of bitvec take 15 times as long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bitmap(BitVec<usize>);

impl Bitmap {
    /// Makes room for bits below `len`; new ones are clear.
    pub(crate) fn grow(&mut self, len: usize) {
        if self.0.len() < len {
            self.0.resize(len.next_multiple_of(BITS), false);
        }
    }

    /// Whether a bit is set. A bit beyond the end is clear.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> bool {
        self.0.as_raw_slice().get(i / BITS).is_some_and(|word| word >> (i % BITS) & 1 != 0)
    }

    /// Sets a bit or clears it.
    #[inline]
    pub(crate) fn set(&mut self, i: usize, on: bool) {
        self.0.set(i, on);
    }

    /// Sets or clears all bits of a range.
    pub(crate) fn fill(&mut self, range: Range<usize>, on: bool) {
        // Most folios have one page, and bitvec's fill looks for whole words first.
        match range.len() {
            1 => self.set(range.start, on),
            _ => self.0[range].fill(on),
        }
    }

    /// Whether a bit is set, and how many from it on, at most `max`, are as it.
    #[inline]
    pub(crate) fn run(&self, from: usize, max: usize) -> (bool, usize) {
        let words = self.0.as_raw_slice();
        let first = words[from / BITS] >> (from % BITS) & 1 != 0;
        let flip = if first { usize::MAX } else { 0 };
        let mut len = 0;
        while len < max {
            let at = from + len;
            let differing = (words[at / BITS] ^ flip) >> (at % BITS);
            let here = BITS - at % BITS;
            let same = (differing.trailing_zeros() as usize).min(here);
            len += same;
            if same < here {
                break;
            }
        }
        (first, len.min(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_without_room_are_clear_and_growing_keeps_the_rest() {
        let mut map = Bitmap::default();
        assert!(!map.get(0) && !map.get(1000));
        map.grow(70);
        map.set(69, true);
        map.grow(1);
        map.grow(1000);
        let set: Vec<usize> = (0..2000).filter(|&i| map.get(i)).collect();
        assert_eq!(set, [69]);
        map.set(69, false);
        assert!(!map.get(69));
    }

    /// Every range of four words, filled and cut out again: single bits and runs are those of a list of truths.
    #[test]
    fn ranges_and_runs_cross_words() {
        const LEN: usize = 256;
        let edges = [0, 1, 31, 63, 64, 65, 127, 128, 190, 192, 255, 256];
        for (i, &start) in edges.iter().enumerate() {
            for &end in &edges[i..] {
                for on in [true, false] {
                    let mut map = Bitmap::default();
                    map.grow(LEN);
                    map.fill(0..LEN, !on);
                    map.fill(start..end, on);
                    let plain: Vec<bool> = (0..LEN).map(|bit| (start..end).contains(&bit) == on).collect();
                    for (from, &first) in plain.iter().enumerate() {
                        assert_eq!(map.get(from), first, "{from} of {start}..{end} {on}");
                        let len = plain[from..].iter().take_while(|&&bit| bit == first).count();
                        for max in [1, 2, 64, LEN].map(|max| max.min(LEN - from)) {
                            assert_eq!(
                                map.run(from, max),
                                (first, len.min(max)),
                                "{from} of {start}..{end} {on}"
                            );
                        }
                    }
                }
            }
        }
    }
}
