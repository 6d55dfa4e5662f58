//! The VMAs of an address space (`mm->mm_mt`, 7.3).

use crate::vm_area::Vma;
use ptelab_pgtable::VirtAddr;
use std::cell::Cell;
use std::collections::BTreeMap;

/// The VMAs of an address space, by start address.
#[derive(Clone, Debug, Default)]
pub struct VmaTree {
    pub(crate) by_start: BTreeMap<VirtAddr, Vma>,
    bytes: u64,
    /// No gap of so many bytes lies above an address: what was searched in vain need not be again.
    full_above: Cell<Option<(u64, VirtAddr)>>,
}

impl VmaTree {
    /// All of them, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.by_start.values()
    }

    /// Bytes that they hold (`total_vm`).
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Vma> {
        self.by_start.values_mut()
    }

    /// How many there are (`map_count`).
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// The VMA that holds `addr`.
    pub fn find(&self, addr: VirtAddr) -> Option<&Vma> {
        self.by_start.range(..=addr).next_back().map(|(_, vma)| vma).filter(|vma| vma.contains(addr))
    }

    /// The first VMA that ends above `addr` (`find_vma`).
    pub fn find_or_next(&self, addr: VirtAddr) -> Option<&Vma> {
        self.find(addr).or_else(|| self.by_start.range(addr..).next().map(|(_, vma)| vma))
    }

    /// The VMA before the one that starts at `start`, or before the gap that does.
    pub fn before(&self, start: VirtAddr) -> Option<&Vma> {
        self.by_start.range(..start).next_back().map(|(_, vma)| vma)
    }

    /// VMAs that intersect a range, ascending.
    pub fn range(&self, start: VirtAddr, end: VirtAddr) -> impl DoubleEndedIterator<Item = &Vma> {
        let first = self.find(start).filter(|_| start < end).map_or(start, |vma| vma.start);
        self.by_start.range(first..end.max(first)).map(|(_, vma)| vma)
    }

    /// Whether anything is mapped in a range.
    pub fn intersects(&self, start: VirtAddr, end: VirtAddr) -> bool {
        self.range(start, end).next().is_some()
    }

    pub(crate) fn at(&self, start: VirtAddr) -> &Vma {
        &self.by_start[&start]
    }

    pub(crate) fn at_mut(&mut self, start: VirtAddr) -> &mut Vma {
        self.by_start.get_mut(&start).expect("the VMA was just found")
    }

    /// Where a search from the top for a gap of `len` bytes may begin, at or below `top`.
    pub(crate) fn search_from(&self, len: u64, top: VirtAddr) -> VirtAddr {
        self.full_above.get().filter(|(full, _)| *full <= len).map_or(top, |(_, above)| above.min(top))
    }

    /// A search from the top found no gap of `len` bytes above an address.
    pub(crate) fn note_full(&self, len: u64, above: VirtAddr) {
        // What is known of small gaps holds for large ones too.
        if self.full_above.get().is_none_or(|(full, _)| len <= full) {
            self.full_above.set(Some((len, above)));
        }
    }

    /// Something above which it was full goes.
    fn note_freed(&mut self, end: VirtAddr) {
        self.full_above.get_mut().take_if(|(_, above)| end > *above);
    }

    pub(crate) fn insert(&mut self, vma: Vma) {
        self.bytes += vma.end.since(vma.start);
        let known = self.by_start.insert(vma.start, vma);
        debug_assert!(known.is_none(), "VMAs do not overlap");
    }

    pub(crate) fn remove(&mut self, start: VirtAddr) -> Option<Vma> {
        let vma = self.by_start.remove(&start)?;
        self.bytes -= vma.end.since(vma.start);
        self.note_freed(vma.end);
        Some(vma)
    }

    /// The VMA that starts at `start` ends at `end`, which is inside it, from now on.
    pub(crate) fn shorten(&mut self, start: VirtAddr, end: VirtAddr) {
        let vma = self.at_mut(start);
        let old_end = std::mem::replace(&mut vma.end, end);
        self.bytes -= old_end.since(end);
        self.note_freed(old_end);
    }
}

#[cfg(test)]
mod tests {
    use super::VmaTree;
    use crate::vm_area::Vma;
    use ptelab_pgtable::{PgProt, VirtAddr, VmFlags};

    const fn at(page: u64) -> VirtAddr {
        VirtAddr::new(page << 12)
    }

    fn tree(ranges: &[(u64, u64)]) -> VmaTree {
        let mut tree = VmaTree::default();
        for &(start, end) in ranges {
            tree.insert(Vma::anonymous(at(start), at(end), VmFlags::READ, PgProt::default(), 12));
        }
        tree
    }

    #[test]
    fn lookups_know_holes() {
        let tree = tree(&[(2, 4), (4, 5), (8, 9)]);
        let start = |vma: Option<&Vma>| vma.map(|vma| vma.start);
        assert_eq!(start(tree.find(at(3))), Some(at(2)));
        assert_eq!(start(tree.find(at(5))), None);
        assert_eq!(start(tree.find_or_next(at(5))), Some(at(8)));
        assert_eq!(start(tree.find_or_next(at(9))), None);
        assert_eq!(start(tree.before(at(8))), Some(at(4)));
        assert_eq!(start(tree.before(at(2))), None);
        let within: Vec<_> = tree.range(at(3), at(8)).map(|vma| vma.start).collect();
        assert_eq!(within, [at(2), at(4)]);
        assert!(tree.intersects(at(7), at(9)) && !tree.intersects(at(5), at(8)));
    }

    #[test]
    fn bytes_follow_every_change() {
        let mut tree = tree(&[(2, 6), (8, 9)]);
        assert_eq!((tree.len(), tree.bytes()), (2, 5 << 12));
        tree.shorten(at(2), at(3));
        assert_eq!(tree.bytes(), 2 << 12);
        assert!(tree.remove(at(8)).is_some() && tree.remove(at(8)).is_none());
        assert_eq!((tree.len(), tree.bytes()), (1, 1 << 12));
    }
}
