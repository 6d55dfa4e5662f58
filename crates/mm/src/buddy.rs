//! Free frames, in naturally aligned blocks of powers of two (`mm/page_alloc.c`).

use crate::bitmap::Bitmap;

/// The free blocks of one order: a bit a block says whether it is free; the stack says where to look first.
#[derive(Clone, Debug, Default)]
struct FreeArea {
    free: Bitmap,
    /// Blocks that were put here; those whose bit is clear have left since.
    stack: Vec<u32>,
    live: usize,
}

impl FreeArea {
    fn is_free(&self, block: u64) -> bool {
        self.free.get(block as usize)
    }

    fn put(&mut self, block: u64) {
        let i = block as usize;
        self.free.grow(i + 1);
        debug_assert!(!self.free.get(i), "block freed twice");
        self.free.set(i, true);
        self.live += 1;
        self.stack.push(block as u32);
        if self.stack.len() > 64 + 2 * self.live {
            self.compact();
        }
    }

    fn remove(&mut self, block: u64) {
        self.free.set(block as usize, false);
        self.live -= 1;
    }

    fn take(&mut self) -> Option<u64> {
        while let Some(block) = self.stack.pop() {
            if self.is_free(block.into()) {
                self.remove(block.into());
                return Some(block.into());
            }
        }
        None
    }

    fn compact(&mut self) {
        let free = &self.free;
        self.stack.sort_unstable();
        self.stack.dedup();
        self.stack.retain(|&block| free.get(block as usize));
    }
}

/// The frames of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Buddy {
    /// By order.
    areas: Vec<FreeArea>,
    /// Frames below were handed out at least once or are in a free area; those above were never touched.
    frontier: u64,
    end: u64,
}

impl Buddy {
    /// So many frames, from the first multiple of the largest block that is not below `first`.
    pub(crate) fn new(first: u64, frames: u64, max_order: u32) -> Self {
        let frontier = first.next_multiple_of(1 << max_order);
        let areas = vec![FreeArea::default(); max_order as usize + 1];
        Self { areas, frontier, end: frontier.saturating_add(frames) }
    }

    const fn max_order(&self) -> u32 {
        self.areas.len() as u32 - 1
    }

    /// The first frame that was never handed out.
    pub(crate) const fn frontier(&self) -> u64 {
        self.frontier
    }

    /// First frame of a block of `1 << order`, or `None` where no such block is left.
    pub(crate) fn alloc(&mut self, order: u32) -> Option<u64> {
        loop {
            for from in order..=self.max_order() {
                if let Some(block) = self.areas[from as usize].take() {
                    return Some(self.split(block << from, from, order));
                }
            }
            self.advance()?;
        }
    }

    /// Keeps the first `1 << order` frames of a block and frees the rest.
    fn split(&mut self, first: u64, mut from: u32, order: u32) -> u64 {
        while from > order {
            from -= 1;
            self.areas[from as usize].put((first >> from) + 1);
        }
        first
    }

    /// Brings the next untouched block into the free areas.
    fn advance(&mut self) -> Option<()> {
        let left = self.end.saturating_sub(self.frontier);
        if left == 0 {
            return None;
        }
        let order = left.ilog2().min(self.max_order());
        self.areas[order as usize].put(self.frontier >> order);
        self.frontier += 1 << order;
        Some(())
    }

    /// Gives a block back; it joins its free neighbours.
    pub(crate) fn free(&mut self, first: u64, mut order: u32) {
        let mut block = first >> order;
        while order < self.max_order() && self.areas[order as usize].is_free(block ^ 1) {
            self.areas[order as usize].remove(block ^ 1);
            block >>= 1;
            order += 1;
        }
        self.areas[order as usize].put(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_split_and_joined() {
        let mut b = Buddy::new(1000, 1536, 10);
        let small = b.alloc(0).expect("memory is free");
        let large = b.alloc(9).expect("memory is free");
        assert_eq!(large % 512, 0);
        assert_eq!(b.alloc(9).map(|f| f % 512), Some(0));
        assert_eq!(b.alloc(9), None, "one frame of the last block is taken");
        assert!(b.alloc(8).is_some(), "smaller ones are left");
        b.free(small, 0);
        b.free(large, 9);
        assert_eq!(b.alloc(9), Some(large));
    }

    #[test]
    fn every_frame_is_handed_out_once() {
        let mut b = Buddy::new(1024, 777, 10);
        let mut all: Vec<u64> = std::iter::from_fn(|| b.alloc(0)).collect();
        all.sort_unstable();
        assert_eq!(all, (1024..1024 + 777).collect::<Vec<_>>());
        for frame in all {
            b.free(frame, 0);
        }
        assert_eq!(b.alloc(9).map(|f| f % 512), Some(0));
    }
}
