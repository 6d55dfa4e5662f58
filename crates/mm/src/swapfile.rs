//! Swap devices, their slots, and the swap cache (`mm/swapfile.c`, `mm/swap_state.c`, 7.3).
//!
//! A device is a disk in memory, read and written at once: what is written leaves memory in the same call, and nothing is
//! read ahead.

mod clusters;
mod slots_cache;

use crate::changes::Rules;
use crate::content::Saved;
use crate::pages::Pages;
use crate::tables::PageTables;
use clusters::{Clusters, ORDERS};
use ptelab_pgtable::{Arch, FolioSpan, Pfn, SoftFlags, SoftLeaf, TableMemory, swp_type};
use ptelab_uapi::Errno;
use slots_cache::SlotsCache;
use std::collections::BTreeMap;

/// Slots in a cluster where large folios are not swapped whole.
const SWAPFILE_CLUSTER: u64 = 256;

/// One slot in use.
#[derive(Clone, Debug)]
struct Slot {
    /// Entries that name it: none, where only the swap cache keeps it.
    count: u32,
    page: Saved,
    /// Whether it was written as part of a folio of zeros, which is not written at all (`swap_info_struct.zeromap`).
    zero: bool,
    /// The page of the swap cache that holds the same.
    cached: Option<Pfn>,
}

/// One device.
#[derive(Clone, Debug)]
struct Device {
    clusters: Clusters,
    /// What its slots hold.
    used: BTreeMap<u64, Slot>,
}

/// All swap of a machine.
#[derive(Clone, Debug, Default)]
pub struct Swap {
    devices: Vec<Device>,
    /// The device that the last folio of each order went to.
    last: [u8; ORDERS],
    /// The pages of the swap cache and the slots that they are of.
    cache: BTreeMap<Pfn, SoftLeaf>,
    ahead: SlotsCache,
}

impl Swap {
    fn device(&self, leaf: SoftLeaf) -> &Device {
        &self.devices[usize::from(leaf.ty)]
    }

    fn slot(&self, leaf: SoftLeaf) -> &Slot {
        &self.device(leaf).used[&leaf.offset]
    }

    fn slot_mut(&mut self, leaf: SoftLeaf) -> &mut Slot {
        let slots = &mut self.devices[usize::from(leaf.ty)].used;
        slots.get_mut(&leaf.offset).expect("an entry names a slot in use")
    }

    /// Entries that name a slot (`__swap_count`).
    pub(crate) fn count(&self, leaf: SoftLeaf) -> u32 {
        self.slot(leaf).count
    }

    /// The page of a slot in the swap cache.
    pub(crate) fn cached(&self, leaf: SoftLeaf) -> Option<Pfn> {
        self.slot(leaf).cached
    }

    /// Whether `nr` slots from one on can be read as one folio: none has a page in the swap cache, and all were written, or none
    /// (`non_swapcache_batch`, `swap_zeromap_batch`).
    pub(crate) fn can_read_whole(&self, first: SoftLeaf, nr: usize) -> bool {
        let zero = self.slot(first).zero;
        first.slots(nr).all(|leaf| {
            let slot = self.slot(leaf);
            slot.cached.is_none() && slot.zero == zero
        })
    }

    /// What a slot holds.
    pub(crate) fn page(&self, leaf: SoftLeaf) -> &Saved {
        &self.slot(leaf).page
    }

    /// Adds a device of so many bytes, rounded down to pages; its first page is the header's (`swapon`).
    ///
    /// # Errors
    /// `EINVAL` for less than two pages or more than entries can name, `EPERM` where there are as many devices as there can be.
    pub fn swapon<A: Arch>(&mut self, arch: &A, size: u64) -> Result<(), Errno> {
        let slots = size >> A::PAGE_SHIFT;
        let last = SoftLeaf { ty: 0, offset: slots.saturating_sub(1), flags: SoftFlags::empty() };
        if slots < 2 || arch.soft_leaf(last).is_none() {
            return Err(Errno::EINVAL);
        }
        if self.devices.len() >= usize::from(swp_type::HWPOISON) {
            return Err(Errno::EPERM);
        }
        let cluster = if arch.arch_wants_thp_swap() { 1 << A::PMD_ORDER } else { SWAPFILE_CLUSTER };
        self.devices.push(Device { clusters: Clusters::new(slots, cluster), used: BTreeMap::new() });
        Ok(())
    }

    fn slot_in_use(&self, leaf: SoftLeaf) -> Option<&Slot> {
        self.devices.get(usize::from(leaf.ty))?.used.get(&leaf.offset)
    }

    /// How many entries a slot counts that name it (`__swap_count`); nothing where no such slot is in use.
    pub fn swap_count(&self, leaf: SoftLeaf) -> Option<u32> {
        self.slot_in_use(leaf).map(|slot| slot.count)
    }

    /// One byte of what a slot holds; nothing where no such slot is in use.
    pub fn byte(&self, leaf: SoftLeaf, offset: usize) -> Option<u8> {
        self.slot_in_use(leaf).map(|slot| slot.page.read(offset))
    }

    /// Slots in use.
    pub fn used(&self) -> u64 {
        self.devices.iter().map(|device| device.used.len() as u64).sum()
    }

    /// Slots for a folio, one after the other, with its contents; the entry of the first. `None` where no device has room for
    /// it in one piece (`folio_alloc_swap`).
    pub(crate) fn folio_alloc_swap(
        &mut self,
        pages: &Pages,
        folio: FolioSpan,
        rules: &Rules,
    ) -> Option<SoftLeaf> {
        let nr = folio.nr_pages();
        let first = self.slot_of(folio).or_else(|| self.take(folio.order as u8, rules))?;
        let zero = (0..nr as u64).all(|i| pages.is_zero_filled(folio.head.add(i)));
        for (leaf, i) in first.slots(nr).zip(0..) {
            let used = &mut self.devices[usize::from(leaf.ty)].used;
            // A page of the swap cache, which may have been written to since, has a slot already.
            let (count, cached) = used.get(&leaf.offset).map_or((0, None), |slot| (slot.count, slot.cached));
            let page = pages.save(folio.head.add(i));
            used.insert(leaf.offset, Slot { count, page, zero, cached });
        }
        Some(first)
    }

    /// Free slots for a folio, the first of them.
    fn take(&mut self, order: u8, rules: &Rules) -> Option<SoftLeaf> {
        let free = self.free_slots();
        let Self { devices, ahead, last, .. } = self;
        let is_cached = order == 0 && rules.swap_slots_are_cached;
        if is_cached && ahead.is_active(free, |slot| give_back(devices, slot)) {
            return ahead.take(|on| swap_alloc(rules, devices, last, 0, on));
        }
        swap_alloc(rules, devices, last, order, None)
    }

    /// One more entry names a slot (`swap_dup_entry_direct`).
    pub(crate) fn dup(&mut self, leaf: SoftLeaf) {
        self.slot_mut(leaf).count += 1;
    }

    /// One entry less names a slot; the last frees it, but for one whose folio in the swap cache is mapped, as long as half of all
    /// slots are free (`swap_put_entries_direct`, `__try_to_reclaim_swap`).
    pub(crate) fn put<A: Arch, H: TableMemory>(&mut self, pt: &mut PageTables<A, H>, leaf: SoftLeaf) {
        let full = self.vm_swap_full();
        let slot = self.slot_mut(leaf);
        slot.count -= 1;
        match slot.cached.map(|page| pt.hw.peek_folio(page)) {
            Some(folio) if full || pt.pages.folio_mapcount(folio) == 0 => {
                self.folio_free_swap(&mut pt.pages, folio);
            }
            Some(_) => {}
            None => self.free_if_unused(leaf),
        }
    }

    /// Whether neither an entry names a slot nor the swap cache.
    fn is_unused(&self, leaf: SoftLeaf) -> bool {
        let slot = self.slot(leaf);
        slot.count == 0 && slot.cached.is_none()
    }

    fn free_if_unused(&mut self, leaf: SoftLeaf) {
        if self.is_unused(leaf) {
            let Self { devices, ahead, .. } = self;
            devices[usize::from(leaf.ty)].used.remove(&leaf.offset);
            ahead.free(leaf, |slot| give_back(devices, slot));
        }
    }

    /// Frees slots one after the other at once, where all are unused; else those that are.
    fn free_together(&mut self, first: SoftLeaf, nr: usize) {
        let is_together = self.devices[usize::from(first.ty)].clusters.are_together(first.offset, nr as u64);
        if nr > 1 && is_together && first.slots(nr).all(|leaf| self.is_unused(leaf)) {
            for leaf in first.slots(nr) {
                self.devices[usize::from(leaf.ty)].used.remove(&leaf.offset);
                give_back(&mut self.devices, leaf);
            }
        } else {
            first.slots(nr).for_each(|leaf| self.free_if_unused(leaf));
        }
    }

    /// Whether more than half of all slots are in use.
    pub(crate) fn vm_swap_full(&self) -> bool {
        let all: u64 = self.devices.iter().map(|device| device.clusters.all()).sum();
        self.free_slots() * 2 < all
    }

    fn free_slots(&self) -> u64 {
        self.devices.iter().map(|device| device.clusters.all() - device.clusters.used()).sum()
    }

    /// A folio leaves the swap cache if it is there and no entry names its slots, which are free then (`folio_free_swap`).
    pub(crate) fn folio_free_swap(&mut self, pages: &mut Pages, folio: FolioSpan) {
        let unused = |first: SoftLeaf| first.slots(folio.nr_pages()).all(|leaf| self.count(leaf) == 0);
        if self.slot_of(folio).is_some_and(unused) {
            pages.set_dirty(folio, true);
            self.cache_del(pages, folio);
        }
    }

    /// The same for a folio that nobody maps any more (`free_swap_cache`).
    pub(crate) fn free_swap_cache(&mut self, pages: &mut Pages, folio: FolioSpan) {
        if !self.cache.is_empty() && self.cache.contains_key(&folio.head) && pages.folio_mapcount(folio) == 0
        {
            self.folio_free_swap(pages, folio);
        }
    }

    /// One entry less for each of `nr` slots one after the other, whose pages are in memory now (`swap_free_nr`).
    pub(crate) fn swap_free_nr<A: Arch, H: TableMemory>(
        &mut self,
        pt: &mut PageTables<A, H>,
        first: SoftLeaf,
        nr: usize,
    ) {
        first.slots(nr).for_each(|leaf| self.put(pt, leaf));
    }

    /// The same for slots whose entries are taken away (`free_swap_and_cache_nr`).
    pub(crate) fn put_batch<A: Arch, H: TableMemory>(
        &mut self,
        pt: &mut PageTables<A, H>,
        first: SoftLeaf,
        nr: usize,
    ) {
        let is_last = |leaf: SoftLeaf| matches!(self.slot(leaf), Slot { count: 1, cached: None, .. });
        if first.slots(nr).all(is_last) {
            first.slots(nr).for_each(|leaf| self.slot_mut(leaf).count = 0);
            self.free_together(first, nr);
        } else {
            self.swap_free_nr(pt, first, nr);
        }
    }

    /// Keeps a folio, as what its slots hold, for the other entries that name them.
    pub(crate) fn cache_add(&mut self, pages: &mut Pages, first: SoftLeaf, folio: FolioSpan) {
        pages.set_swapcache(folio);
        let first = SoftLeaf { flags: SoftFlags::empty(), ..first };
        for (leaf, i) in first.slots(folio.nr_pages()).zip(0..) {
            let page = folio.head.add(i);
            self.slot_mut(leaf).cached = Some(page);
            self.cache.insert(page, leaf);
        }
    }

    /// A copy takes a folio's place in the swap cache, if it is there (`folio_migrate_mapping`).
    pub(crate) fn cache_move(&mut self, pages: &mut Pages, old: FolioSpan, new: FolioSpan) {
        if let Some(first) = self.cache_take(pages, old) {
            self.cache_add(pages, first, new);
        }
    }

    /// The first slot of a folio in the swap cache.
    pub(crate) fn slot_of(&self, folio: FolioSpan) -> Option<SoftLeaf> {
        self.cache.get(&folio.head).copied()
    }

    /// Takes a folio out of the swap cache; slots that no entry names are free then. Says whether it was there.
    pub(crate) fn cache_del(&mut self, pages: &mut Pages, folio: FolioSpan) -> bool {
        let Some(first) = self.cache_take(pages, folio) else { return false };
        pages.free_unused(folio);
        self.free_together(first, folio.nr_pages());
        true
    }

    pub(crate) fn cache_take(&mut self, pages: &mut Pages, folio: FolioSpan) -> Option<SoftLeaf> {
        let first = self.slot_of(folio)?;
        for (leaf, i) in first.slots(folio.nr_pages()).zip(0..) {
            self.slot_mut(leaf).cached = None;
            self.cache.remove(&folio.head.add(i));
        }
        pages.uncache(folio);
        Some(first)
    }
}

/// A slot is free again.
fn give_back(devices: &mut [Device], slot: SoftLeaf) {
    devices[usize::from(slot.ty)].clusters.free(slot.offset);
}

/// Slots of the device that the last of this order came from, as long as its cluster has room, else of the first device that has any
/// (`swap_alloc_fast`, `swap_alloc_slow`); those of a large folio of no other than the first. Only of one device, where that is said.
fn swap_alloc(
    rules: &Rules,
    devices: &mut [Device],
    last: &mut [u8; ORDERS],
    order: u8,
    on: Option<u8>,
) -> Option<SoftLeaf> {
    let last = &mut last[usize::from(order)];
    let leaf = |ty, offset| SoftLeaf { ty, offset, flags: SoftFlags::empty() };
    if rules.swap_stays_on_device
        && let Some(first) = devices.get_mut(usize::from(*last))?.clusters.alloc_next(order, rules)
    {
        return Some(leaf(*last, first));
    }
    let has_room =
        |(device, ty): &(&mut Device, u8)| device.clusters.has_room() && on.is_none_or(|on| on == *ty);
    let tried = if order == 0 { usize::MAX } else { 1 };
    let (ty, first) = devices.iter_mut().zip(0..).filter(has_room).take(tried).find_map(|(device, ty)| {
        let next = if rules.swap_stays_on_device { None } else { device.clusters.alloc_next(order, rules) };
        Some((ty, next.or_else(|| device.clusters.alloc(order, rules))?))
    })?;
    *last = ty;
    Some(leaf(ty, first))
}

#[cfg(test)]
mod tests {
    use super::Swap;
    use crate::pages::MapLevel;
    use crate::tables::tests::machine;
    use arch_generic::Generic;
    use ptelab_pgtable::{FolioSpan, SoftLeaf, swp_type};
    use ptelab_uapi::Errno;

    const PAGE: u64 = 4 << 10;

    #[test]
    fn devices_have_limits() {
        let mut swap = Swap::default();
        assert_eq!(swap.swapon(&Generic, 2 * PAGE - 1), Err(Errno::EINVAL));
        assert_eq!(swap.swapon(&Generic, u64::MAX), Err(Errno::EINVAL));
        let added = (0..100).take_while(|_| swap.swapon(&Generic, 2 * PAGE).is_ok()).count();
        assert_eq!(added, usize::from(swp_type::HWPOISON));
        assert_eq!(swap.swapon(&Generic, 2 * PAGE), Err(Errno::EPERM));
    }

    #[test]
    fn a_slot_lives_as_long_as_entries_name_it() {
        let (mut pt, _) = machine();
        let mut swap = Swap::default();
        let folio = pt.alloc_folio(2).expect("there is memory");
        assert!(swap.folio_alloc_swap(&pt.pages, folio, &pt.rules).is_none(), "there is no device");
        swap.swapon(&Generic, 2048 * PAGE).expect("large enough");
        pt.pages.write(folio.head.add(3), 7, 1, 42);
        let first = swap.folio_alloc_swap(&pt.pages, folio, &pt.rules).expect("there is room");
        assert_eq!(first.offset % 4, 0, "in one piece, aligned");
        let last = SoftLeaf { offset: first.offset + 3, ..first };
        swap.dup(last);
        swap.dup(last);
        assert_eq!((swap.swap_count(last), swap.byte(last, 7), swap.used()), (Some(2), Some(42), 4));
        let page = FolioSpan { head: folio.head, order: 0 };
        swap.cache_add(&mut pt.pages, last, page);
        assert_eq!(swap.cached(last), Some(folio.head));
        swap.put(&mut pt, last);
        assert_eq!((swap.swap_count(last), swap.used()), (Some(1), 4));
    }

    #[test]
    fn the_swap_cache_keeps_a_slot_while_its_page_is_mapped() {
        let (mut pt, _) = machine();
        let mut swap = Swap::default();
        swap.swapon(&Generic, 8 * PAGE).expect("large enough");
        let page = pt.alloc_folio(0).expect("there is memory");
        let slot = swap.folio_alloc_swap(&pt.pages, page, &pt.rules).expect("there is room");
        swap.dup(slot);
        swap.cache_add(&mut pt.pages, slot, page);
        pt.pages.map(page, page.head, MapLevel::Ptes(1), 1);
        swap.put(&mut pt, slot);
        assert_eq!((swap.swap_count(slot), swap.cached(slot), swap.used()), (Some(0), Some(page.head), 1));
        pt.pages.unmap(page, page.head, MapLevel::Ptes(1), 1);
        swap.free_swap_cache(&mut pt.pages, page);
        assert_eq!((swap.used(), pt.pages.used()), (0, 0));
    }

    #[test]
    fn swap_goes_on_where_it_went_last() {
        for (stays, third) in [(true, 1), (false, 0)] {
            let (mut pt, _) = machine();
            pt.rules.swap_stays_on_device = stays;
            let mut swap = Swap::default();
            swap.swapon(&Generic, 2 * PAGE).expect("one slot");
            swap.swapon(&Generic, 8 * PAGE).expect("seven");
            let page = pt.alloc_folio(0).expect("there is memory");
            let slots =
                [0, 1].map(|_| swap.folio_alloc_swap(&pt.pages, page, &pt.rules).expect("there is room"));
            assert_eq!(slots.map(|slot| slot.ty), [0, 1], "the first device is full");
            swap.dup(slots[0]);
            swap.put(&mut pt, slots[0]);
            let slot = swap.folio_alloc_swap(&pt.pages, page, &pt.rules).expect("there is room");
            assert_eq!(slot.ty, third);
        }
    }

    #[test]
    fn a_large_folio_needs_one_piece() {
        let (mut pt, _) = machine();
        let mut swap = Swap::default();
        swap.swapon(&Generic, 8 * PAGE).expect("large enough");
        let (small, large) = (pt.alloc_folio(0).expect("memory"), pt.alloc_folio(3).expect("memory"));
        let slot = swap.folio_alloc_swap(&pt.pages, small, &pt.rules).expect("there is room");
        assert_eq!(slot.offset, 1, "the first slot is the header's");
        assert!(swap.folio_alloc_swap(&pt.pages, large, &pt.rules).is_none());
        swap.dup(slot);
        swap.put(&mut pt, slot);
        assert_eq!((swap.swap_count(slot), swap.used()), (None, 0));
    }
}
