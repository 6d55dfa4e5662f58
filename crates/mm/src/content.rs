//! The contents of pages. A page of equal bytes, or of equal bytes but one, costs four bytes.

use ptelab_pgtable::Pfn;

/// Contents of all frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// A descriptor a frame, see [`Desc`].
    desc: Vec<Desc>,
    pages: Vec<Box<[u8]>>,
    free: Vec<u32>,
    page_size: usize,
}

/// What a page holds, kept outside memory.
#[derive(Clone, Debug)]
pub(crate) enum Saved {
    /// A fill byte, and perhaps one that differs.
    Packed(u32),
    /// All bytes.
    Stored(Box<[u8]>),
}

impl Saved {
    /// One byte of it.
    pub(crate) fn read(&self, offset: usize) -> u8 {
        match self {
            Self::Packed(desc) => Desc(*desc).byte_at(offset),
            Self::Stored(bytes) => bytes[offset],
        }
    }
}

/// What a page holds, in 32 bits: an index into stored pages (`STORED`), or a fill byte with, possibly (`ONE_DIFFERS`), one
/// byte that is different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Desc(u32);

impl Desc {
    const STORED: u32 = 1 << 31;
    const ONE_DIFFERS: u32 = 1 << 30;
    const OFFSET_SHIFT: u32 = 16;
    /// Offsets from here on do not fit a descriptor.
    const OFFSET_LIMIT: usize = 1 << 14;

    const fn fill(byte: u8) -> Self {
        Self(byte as u32)
    }

    const fn one_differs(fill: u8, offset: usize, byte: u8) -> Self {
        Self(Self::ONE_DIFFERS | (offset as u32) << Self::OFFSET_SHIFT | (byte as u32) << 8 | fill as u32)
    }

    const fn stored(self) -> Option<usize> {
        if self.0 & Self::STORED != 0 { Some((self.0 & !Self::STORED) as usize) } else { None }
    }

    const fn byte_at(self, offset: usize) -> u8 {
        let differs_at = (self.0 & !Self::ONE_DIFFERS) >> Self::OFFSET_SHIFT;
        if self.0 & Self::ONE_DIFFERS != 0 && differs_at as usize == offset {
            (self.0 >> 8) as u8
        } else {
            self.0 as u8
        }
    }

    /// The descriptor after one byte was written, if it still fits one.
    fn with_byte(self, offset: usize, byte: u8) -> Option<Self> {
        let fill = self.0 as u8;
        if self.byte_at(offset) == byte {
            return Some(self);
        }
        let at = ((self.0 & !Self::ONE_DIFFERS) >> Self::OFFSET_SHIFT) as usize;
        let free = self.0 & Self::ONE_DIFFERS == 0 || at == offset;
        if !free || offset >= Self::OFFSET_LIMIT {
            return None;
        }
        Some(if byte == fill { Self::fill(fill) } else { Self::one_differs(fill, offset, byte) })
    }
}

impl Contents {
    pub(crate) fn new(page_size: u64) -> Self {
        Self { page_size: page_size as usize, ..Self::default() }
    }

    pub(crate) fn grow(&mut self, frames: usize) {
        self.desc.resize(frames, Desc::default());
    }

    /// Fills whole pages with one byte.
    #[inline]
    pub(crate) fn fill_pages(&mut self, first: Pfn, n: usize, byte: u8) {
        if !self.pages.is_empty() {
            for i in first.index()..first.index() + n {
                self.release(i);
            }
        }
        self.desc[first.index()..first.index() + n].fill(Desc::fill(byte));
    }

    /// Writes `byte` to `len` bytes of a page from `offset` on.
    #[inline]
    pub(crate) fn write(&mut self, pfn: Pfn, offset: usize, len: usize, byte: u8) {
        if len == self.page_size {
            self.fill_pages(pfn, 1, byte);
        } else {
            self.write_part(pfn.index(), offset, len, byte);
        }
    }

    fn write_part(&mut self, i: usize, offset: usize, len: usize, byte: u8) {
        let desc = self.desc[i];
        if desc == Desc::fill(byte) || len == 0 {
            return;
        }
        if desc.stored().is_none()
            && len == 1
            && let Some(new) = desc.with_byte(offset, byte)
        {
            self.desc[i] = new;
            return;
        }
        let page = self.store(i);
        page[offset..offset + len].fill(byte);
    }

    /// The bytes of a page, stored if they were not yet.
    fn store(&mut self, i: usize) -> &mut [u8] {
        let slot = self.desc[i].stored().unwrap_or_else(|| {
            let desc = self.desc[i];
            let bytes: Box<[u8]> = (0..self.page_size).map(|at| desc.byte_at(at)).collect();
            let slot = self.insert(bytes);
            self.desc[i] = Desc(Desc::STORED | slot as u32);
            slot
        });
        &mut self.pages[slot]
    }

    fn insert(&mut self, bytes: Box<[u8]>) -> usize {
        if let Some(slot) = self.free.pop() {
            self.pages[slot as usize] = bytes;
            return slot as usize;
        }
        self.pages.push(bytes);
        self.pages.len() - 1
    }

    fn release(&mut self, i: usize) {
        if let Some(slot) = self.desc[i].stored() {
            self.pages[slot] = Box::default();
            self.free.push(slot as u32);
            self.desc[i] = Desc::default();
        }
    }

    pub(crate) fn read(&self, pfn: Pfn, offset: usize) -> u8 {
        let desc = self.desc[pfn.index()];
        match desc.stored() {
            Some(slot) => self.pages[slot][offset],
            None => desc.byte_at(offset),
        }
    }

    /// Whether every byte of a frame is zero.
    pub(crate) fn is_zero(&self, pfn: Pfn) -> bool {
        let desc = self.desc[pfn.index()];
        match desc.stored() {
            Some(slot) => self.pages[slot].iter().all(|&byte| byte == 0),
            None => desc == Desc::fill(0),
        }
    }

    /// What a frame holds, to be put back with [`load`](Self::load).
    pub(crate) fn save(&self, pfn: Pfn) -> Saved {
        let desc = self.desc[pfn.index()];
        match desc.stored() {
            None => Saved::Packed(desc.0),
            Some(slot) => Saved::Stored(self.pages[slot].clone()),
        }
    }

    /// Fills a frame with what was saved.
    pub(crate) fn load(&mut self, pfn: Pfn, saved: &Saved) {
        self.release(pfn.index());
        self.desc[pfn.index()] = match saved {
            Saved::Packed(desc) => Desc(*desc),
            Saved::Stored(bytes) => Desc(Desc::STORED | self.insert(bytes.clone()) as u32),
        };
    }

    pub(crate) fn copy(&mut self, from: Pfn, to: Pfn) {
        self.release(to.index());
        let desc = self.desc[from.index()];
        self.desc[to.index()] = match desc.stored() {
            None => desc,
            Some(slot) => {
                let bytes = self.pages[slot].clone();
                Desc(Desc::STORED | self.insert(bytes) as u32)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_read_back_and_copies_are_apart() {
        let mut c = Contents::new(4096);
        c.grow(4);
        let (a, b) = (Pfn::new(1), Pfn::new(2));
        c.fill_pages(a, 1, 7);
        c.write(a, 0, 1, 1);
        assert!(c.pages.is_empty(), "one differing byte needs no storage");
        assert_eq!((c.read(a, 0), c.read(a, 1)), (1, 7));
        c.write(a, 0, 1, 7);
        assert_eq!(c.desc[1], Desc::fill(7));
        c.write(a, 4095, 1, 9);
        c.write(a, 10, 2, 8);
        assert_eq!(c.pages.len(), 1);
        c.copy(a, b);
        c.write(a, 4095, 1, 3);
        assert_eq!((c.read(a, 4095), c.read(a, 11), c.read(a, 12)), (3, 8, 7));
        assert_eq!((c.read(b, 4095), c.read(b, 11)), (9, 8));
        c.write(a, 0, 4096, 0);
        assert_eq!((c.read(a, 4095), c.free.len()), (0, 1));
    }
}
