//! Swap devices, their slots, and the swap cache (`mm/swapfile.c`, `mm/swap_state.c`, 7.3).
//!
//! A device is a disk in memory, read and written at once: what is written leaves memory in the same call, and nothing is
//! read ahead.

use crate::Kernel;
use crate::content::Saved;
use ptelab_pgtable::{Arch, FolioSpan, Pfn, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, swp_type};
use ptelab_uapi::Errno;
use std::collections::{BTreeMap, BTreeSet};

/// Log2 of the pages of the largest folio that is swapped whole, plus one.
const ORDERS: usize = 16;

/// One slot in use.
#[derive(Clone, Debug)]
struct Slot {
    /// Entries that name it.
    count: u32,
    page: Saved,
    /// The page of the swap cache that holds the same.
    cached: Option<Pfn>,
}

/// Neighbouring slots, which serve folios of one order at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Cluster {
    used: u64,
    order: u8,
}

/// One device.
#[derive(Clone, Debug)]
struct Device {
    slots: u64,
    cluster_size: u64,
    used: BTreeMap<u64, Slot>,
    /// Those that were ever used.
    clusters: Vec<Cluster>,
    /// Order and number of clusters that may have room.
    open: BTreeSet<(u8, u64)>,
    /// Clusters that were used and are empty again.
    empty: BTreeSet<u64>,
    /// Where the next folio of each order is tried first.
    next: [Option<u64>; ORDERS],
}

impl Device {
    fn new(slots: u64, cluster_size: u64) -> Self {
        // The first slot is the header's.
        let header = Cluster { used: 1, order: 0 };
        let open = [(0, 0)].into();
        let (clusters, empty) = (vec![header], BTreeSet::new());
        Self { slots, cluster_size, used: BTreeMap::new(), clusters, open, empty, next: [None; ORDERS] }
    }

    /// The first of `1 << order` free slots, aligned to that: where the last of this order was taken, else in a cluster that is in
    /// use for this order, or one that is not in use, in the order that `fresh_first` says.
    fn find(&mut self, order: u8, fresh_first: bool) -> Option<u64> {
        if let Some(at) = self.next[usize::from(order)]
            && let Some(found) = self.find_in(at / self.cluster_size, at, order)
        {
            return Some(found);
        }
        let found = if fresh_first {
            self.find_fresh(order).or_else(|| self.find_open(order))
        } else {
            self.find_open(order).or_else(|| self.find_fresh(order))
        };
        if order > 0 {
            return found;
        }
        let mut clusters = 0..self.clusters.len() as u64;
        found.or_else(|| clusters.find_map(|cluster| self.find_in(cluster, cluster * self.cluster_size, 0)))
    }

    fn find_open(&mut self, order: u8) -> Option<u64> {
        while let Some(&(_, cluster)) = self.open.range((order, 0)..=(order, u64::MAX)).next() {
            let found = self.find_in(cluster, cluster * self.cluster_size, order);
            if found.is_some() {
                return found;
            }
            self.open.remove(&(order, cluster));
        }
        None
    }

    fn find_fresh(&mut self, order: u8) -> Option<u64> {
        let next = self.clusters.len() as u64;
        let cluster = if next * self.cluster_size < self.slots {
            self.clusters.push(Cluster::default());
            next
        } else {
            self.empty.pop_first()?
        };
        self.clusters[cluster as usize].order = order;
        self.open.insert((order, cluster));
        self.find_in(cluster, cluster * self.cluster_size, order)
    }

    /// Free slots in one cluster, from `at` on.
    fn find_in(&self, cluster: u64, at: u64, order: u8) -> Option<u64> {
        let n = 1 << order;
        let Cluster { order: of, used, .. } = self.clusters[cluster as usize];
        let end = ((cluster + 1) * self.cluster_size).min(self.slots);
        let has_room = used + n <= end - cluster * self.cluster_size;
        let of_order = has_room && (of == order || order == 0);
        let mut first = at.max(1).next_multiple_of(n);
        while of_order && first + n <= end {
            match self.used.range(first..first + n).next_back() {
                None => return Some(first),
                Some((&last, _)) => first = (last + 1).next_multiple_of(n),
            }
        }
        None
    }

    fn take(&mut self, first: u64, order: u8) {
        let n = 1u64 << order;
        self.clusters[(first / self.cluster_size) as usize].used += n;
        let past = first + n;
        let same = past / self.cluster_size == first / self.cluster_size;
        self.next[usize::from(order)] = same.then_some(past);
    }

    /// Frees a slot that no entry names.
    fn free(&mut self, at: u64) {
        self.used.remove(&at);
        let number = at / self.cluster_size;
        let cluster = &mut self.clusters[number as usize];
        cluster.used -= 1;
        if cluster.used > 0 {
            self.open.insert((cluster.order, number));
        } else {
            self.open.remove(&(cluster.order, number));
            self.empty.insert(number);
            self.next
                .iter_mut()
                .filter(|next| next.is_some_and(|at| at / self.cluster_size == number))
                .for_each(|next| *next = None);
        }
    }
}

/// All swap of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swap {
    devices: Vec<Device>,
    /// The pages of the swap cache and the slots that they are of.
    cache: BTreeMap<Pfn, SoftLeaf>,
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

    /// What a slot holds.
    pub(crate) fn page(&self, leaf: SoftLeaf) -> &Saved {
        &self.slot(leaf).page
    }
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Adds a swap device of so many bytes, rounded down to pages; its first page is the header's (`swapon`).
    ///
    /// # Errors
    /// `EINVAL` for less than two pages or more than entries can name, `EPERM` where there are as many devices as there can be.
    pub fn swapon(&mut self, size: u64) -> Result<(), Errno> {
        let slots = size >> A::PAGE_SHIFT;
        let last = SoftLeaf { ty: 0, offset: slots.saturating_sub(1), flags: SoftFlags::empty() };
        if slots < 2 || self.arch.soft_leaf(last).is_none() {
            return Err(Errno::EINVAL);
        }
        if self.swap.devices.len() >= usize::from(swp_type::HWPOISON) {
            return Err(Errno::EPERM);
        }
        self.swap.devices.push(Device::new(slots, 1 << A::PMD_ORDER));
        Ok(())
    }

    fn slot_in_use(&self, leaf: SoftLeaf) -> Option<&Slot> {
        self.swap.devices.get(usize::from(leaf.ty))?.used.get(&leaf.offset)
    }

    /// How many entries a slot counts that name it (`__swap_count`); nothing where no such slot is in use.
    pub fn swap_count(&self, leaf: SoftLeaf) -> Option<u32> {
        self.slot_in_use(leaf).map(|slot| slot.count)
    }

    /// One byte of what a slot holds; nothing where no such slot is in use.
    pub fn swap_byte(&self, leaf: SoftLeaf, offset: usize) -> Option<u8> {
        self.slot_in_use(leaf).map(|slot| slot.page.read(offset))
    }

    /// Bytes of swap in use.
    pub fn swap_used(&self) -> u64 {
        let slots: usize = self.swap.devices.iter().map(|device| device.used.len()).sum();
        (slots as u64) << A::PAGE_SHIFT
    }

    /// Slots for a folio, one after the other, with its contents; the entry of the first. `None` where no device has room for
    /// it in one piece (`folio_alloc_swap`).
    pub(crate) fn folio_alloc_swap(&mut self, folio: FolioSpan) -> Option<SoftLeaf> {
        if let Some(&leaf) = self.swap.cache.get(&folio.head) {
            return Some(leaf);
        }
        let order = folio.order as u8;
        let fresh_first = self.rules.swap_prefers_fresh_clusters;
        let mut devices = self.swap.devices.iter_mut().zip(0..);
        let (device, ty, first) = devices.find_map(|(device, ty)| {
            let first = device.find(order, fresh_first)?;
            Some((device, ty, first))
        })?;
        device.take(first, order);
        for i in 0..folio.nr_pages() as u64 {
            let page = self.pages.save(folio.head.add(i));
            device.used.insert(first + i, Slot { count: 0, page, cached: None });
        }
        Some(SoftLeaf { ty, offset: first, flags: SoftFlags::empty() })
    }

    /// One more entry names a slot (`swap_dup_entry_direct`).
    pub(crate) fn swap_dup(&mut self, leaf: SoftLeaf) {
        self.swap.slot_mut(leaf).count += 1;
    }

    /// One entry less names a slot; the last frees it, and takes its page out of the swap cache (`swap_put_entries_direct`).
    pub(crate) fn swap_put(&mut self, leaf: SoftLeaf) {
        let slot = self.swap.slot_mut(leaf);
        slot.count -= 1;
        if slot.count > 0 {
            return;
        }
        self.swap_cache_del(leaf);
        self.swap.devices[usize::from(leaf.ty)].free(leaf.offset);
    }

    /// Keeps a page, as what its slot holds, for the other entries that name the slot.
    pub(crate) fn swap_cache_add(&mut self, leaf: SoftLeaf, page: FolioSpan) {
        self.pages.set_swapcache(page);
        self.swap.slot_mut(leaf).cached = Some(page.head);
        let leaf = SoftLeaf { flags: SoftFlags::empty(), ..leaf };
        self.swap.cache.insert(page.head, leaf);
    }

    /// Takes a slot's page out of the swap cache.
    pub(crate) fn swap_cache_del(&mut self, leaf: SoftLeaf) {
        let Some(pfn) = self.swap.slot_mut(leaf).cached.take() else { return };
        self.swap.cache.remove(&pfn);
        let page = FolioSpan { head: pfn, order: 0 };
        self.pages.uncache(page);
        self.pages.free_unused(page);
    }

    /// How many entries from `p` on, at most `max`, name one slot after the other, alike in all else (`swap_pte_batch`,
    /// `mm/internal.h`). `leaf` is the one at `p`.
    pub(crate) fn swap_pte_batch(&mut self, p: Ptep, leaf: SoftLeaf, max: usize) -> usize {
        let word = |i| self.arch.soft_leaf(SoftLeaf { offset: leaf.offset + i, ..leaf });
        let (Some(Pte(this)), Some(next)) = (word(0), word(1)) else { return 1 };
        1 + self.hw.match_run(p.add(1), next, next.0.wrapping_sub(this), 0, max - 1)
    }
}
