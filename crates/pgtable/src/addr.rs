//! Addresses and frame numbers as distinct types.

use std::fmt;

/// A user virtual address in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// The address with this number of bytes from zero.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The plain number, in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// This address plus `bytes`, or `None` where that leaves 64 bits.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// This address plus `bytes`. The caller has already checked the range it walks.
    ///
    /// # Panics
    /// On overflow, in builds with overflow checks.
    #[inline]
    #[must_use]
    pub const fn add(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }

    /// The largest multiple of `size` (a power of two) not above this address.
    #[inline]
    #[must_use]
    pub const fn align_down(self, size: u64) -> Self {
        Self(self.0 & !(size - 1))
    }

    /// The smallest multiple of `size` (a power of two) not below this address, or `None` past 64 bits.
    pub const fn align_up(self, size: u64) -> Option<Self> {
        match self.0.checked_add(size - 1) {
            Some(sum) => Some(Self(sum & !(size - 1))),
            None => None,
        }
    }

    /// Whether this is a multiple of `size`, a power of two.
    #[inline]
    pub const fn is_aligned(self, size: u64) -> bool {
        self.0 & (size - 1) == 0
    }

    /// Bytes from `start` to here; `start` must not lie above.
    #[inline]
    pub const fn since(self, start: Self) -> u64 {
        self.0 - start.0
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Debug for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A physical address in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// The address with this number of bytes from zero.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The plain number, in bytes.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A physical frame number: a physical address in units of the port's page.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pfn(u64);

impl Pfn {
    /// The frame with this number.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The plain number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as an index into per-frame arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The frame `n` further on.
    #[inline]
    #[must_use]
    pub const fn add(self, n: u64) -> Self {
        Self(self.0 + n)
    }

    /// The first frame of the naturally aligned block of `1 << order` frames that holds this one.
    #[inline]
    #[must_use]
    pub const fn align_down(self, order: u32) -> Self {
        Self(self.0 & !((1 << order) - 1))
    }

    /// Frames from `start` to here; `start` must not lie above.
    #[inline]
    pub const fn since(self, start: Self) -> u64 {
        self.0 - start.0
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry of a table, as an index into the machine's table memory. Tables are aligned blocks, so the
/// low bits are the index in the table, as a pointer's low bits are on a real machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Ptep(pub u64);

impl Ptep {
    /// The entry `n` further on.
    #[inline]
    #[must_use]
    pub const fn add(self, n: usize) -> Self {
        Self(self.0 + n as u64)
    }

    /// The first entry of the aligned block of `n` (a power of two) that holds this one.
    #[inline]
    #[must_use]
    pub const fn align_down(self, n: usize) -> Self {
        Self(self.0 & !(n as u64 - 1))
    }

    /// Index in the aligned block of `n` (a power of two).
    #[inline]
    pub const fn offset_in(self, n: usize) -> usize {
        (self.0 & (n as u64 - 1)) as usize
    }
}

/// A folio as a page struct shows it: the naturally aligned block of frames that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FolioSpan {
    /// First frame.
    pub head: Pfn,
    /// Log2 of its frames.
    pub order: u32,
}

impl FolioSpan {
    /// Number of frames.
    #[inline]
    pub const fn nr_pages(self) -> usize {
        1 << self.order
    }

    /// The frame after its last.
    #[inline]
    #[must_use]
    pub const fn end(self) -> Pfn {
        self.head.add(1 << self.order)
    }

    /// The folios of a smaller order that it would make.
    pub fn parts(self, order: u32) -> impl Iterator<Item = Self> {
        let heads = (0..self.nr_pages() as u64).step_by(1 << order);
        heads.map(move |i| Self { head: self.head.add(i), order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_rounds_both_ways_and_stops_at_the_top() {
        let a = VirtAddr::new(0x1234);
        assert_eq!(a.align_down(0x1000), VirtAddr::new(0x1000));
        assert_eq!(a.align_up(0x1000), Some(VirtAddr::new(0x2000)));
        assert_eq!(VirtAddr::new(u64::MAX).align_up(0x1000), None);
        assert_eq!(VirtAddr::new(u64::MAX).checked_add(1), None);
        assert_eq!(Pfn::new(0x1ff).align_down(4), Pfn::new(0x1f0));
    }
}
