//! Slots that the CPU takes ahead, and those that it gives back later (`mm/swap_slots.c`, 6.12).

use ptelab_pgtable::SoftLeaf;
use std::collections::VecDeque;

/// Slots that are taken, or given back, at once (`SWAP_SLOTS_CACHE_SIZE`).
const SIZE: usize = 64;
/// With more free slots than this there is a cache, with less than this none any more.
const ACTIVATE: u64 = 5 * SIZE as u64;
const DEACTIVATE: u64 = 2 * SIZE as u64;

/// Slots for single pages: in use as far as their devices know.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotsCache {
    active: bool,
    slots: VecDeque<SoftLeaf>,
    freed: Vec<SoftLeaf>,
}

impl SlotsCache {
    /// Whether there is a cache where so many slots are free; those of one that is given up are given back (`check_cache_active`).
    pub(super) fn is_active(&mut self, free: u64, give_back: impl FnMut(SoftLeaf)) -> bool {
        if self.active && free < DEACTIVATE {
            let Self { slots, freed, .. } = std::mem::take(self);
            slots.into_iter().chain(freed).for_each(give_back);
        }
        self.active |= free > ACTIVATE;
        self.active
    }

    /// A slot that was taken ahead; where none is left, slots of one device are taken first (`refill_swap_slots_cache`).
    pub(super) fn take(&mut self, mut alloc: impl FnMut(Option<u8>) -> Option<SoftLeaf>) -> Option<SoftLeaf> {
        if self.slots.is_empty() {
            let first = alloc(None)?;
            self.slots.push_back(first);
            self.slots.extend((1..SIZE).map_while(|_| alloc(Some(first.ty))));
        }
        self.slots.pop_front()
    }

    /// A slot that nothing names any more is given back, or will be once there are many (`free_swap_slot`).
    pub(super) fn free(&mut self, slot: SoftLeaf, mut give_back: impl FnMut(SoftLeaf)) {
        if !self.active {
            return give_back(slot);
        }
        if self.freed.len() == SIZE {
            self.freed.drain(..).for_each(give_back);
        }
        self.freed.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::{ACTIVATE, DEACTIVATE, SIZE, SlotsCache};
    use ptelab_pgtable::{SoftFlags, SoftLeaf};

    #[test]
    fn slots_come_and_go_many_at_a_time() {
        let slot = |offset| SoftLeaf { ty: 0, offset, flags: SoftFlags::empty() };
        let mut cache = SlotsCache::default();
        let free = |cache: &mut SlotsCache, slot| {
            let mut given_back = Vec::new();
            cache.free(slot, |slot| given_back.push(slot));
            given_back
        };
        assert_eq!(free(&mut cache, slot(9)), [slot(9)], "there is no cache yet");
        let mut given_up = Vec::new();
        let mut is_active = |cache: &mut SlotsCache, free| cache.is_active(free, |slot| given_up.push(slot));
        assert!(!is_active(&mut cache, ACTIVATE) && is_active(&mut cache, ACTIVATE + 1));
        let mut asked = 0;
        let first = cache.take(|_| {
            asked += 1;
            Some(slot(asked))
        });
        assert_eq!((first, asked), (Some(slot(1)), SIZE as u64));
        let freed: Vec<_> = (100..).take(SIZE + 1).map(|at| free(&mut cache, slot(at)).len()).collect();
        assert_eq!((freed[SIZE - 1], freed[SIZE]), (0, SIZE));
        let is_active = is_active(&mut cache, DEACTIVATE - 1);
        assert_eq!((is_active, given_up.len()), (false, SIZE - 1 + 1));
    }
}
