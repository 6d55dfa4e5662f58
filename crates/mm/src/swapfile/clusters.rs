//! How the slots of a swap device are given out: in clusters, each for folios of one order (`mm/swapfile.c`, 7.3).

use crate::changes::Rules;
use std::collections::{BTreeMap, BTreeSet};

/// Log2 of the pages of the largest folio that is swapped whole, plus one.
pub(super) const ORDERS: usize = 16;

/// Which clusters a cluster is listed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    /// Those that are empty.
    Free,
    /// Those where slots were freed since the last were taken.
    Nonfull,
    /// Those of which slots were taken last.
    Frag,
    /// Those without a free slot.
    Full,
}

/// Adjacent slots, used for folios of one order at a time.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    used: u64,
    order: u8,
    list: List,
    /// The list's order, and when it came there: the first to come is the first to be taken from.
    place: (u8, u64),
}

/// The slots of one device, in clusters.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    slots: u64,
    /// Slots in a cluster.
    size: u64,
    taken: BTreeSet<u64>,
    /// Clusters that were ever used.
    known: BTreeMap<u64, Cluster>,
    /// The first cluster that never was. These come before the empty ones that were.
    fresh: u64,
    lists: BTreeSet<(List, u8, u64, u64)>,
    moves: u64,
    /// Where the next folio of each order is to go.
    next: [Option<u64>; ORDERS],
}

impl Clusters {
    /// The clusters of a device of so many slots, the first of which is the header's (`setup_clusters`).
    pub(super) fn new(slots: u64, size: u64) -> Self {
        let mut all = Self {
            slots,
            size,
            taken: [0].into(),
            known: BTreeMap::new(),
            fresh: 1,
            lists: BTreeSet::new(),
            moves: 0,
            next: [None; ORDERS],
        };
        // A cluster that the device's end cuts off counts what it lacks as used.
        let (last, rest) = (slots / size, slots % size);
        let cut_off = if rest == 0 { 0 } else { size - rest };
        all.know(0, if last == 0 { 1 + cut_off } else { 1 });
        if last > 0 && cut_off > 0 {
            all.know(last, cut_off);
        }
        all
    }

    fn know(&mut self, number: u64, used: u64) {
        let list = if used == 0 { List::Free } else { List::Nonfull };
        self.known.insert(number, Cluster { used, order: 0, list, place: (0, 0) });
        self.enlist(number, list);
    }

    /// Slots in use, but for the header's.
    pub(super) fn used(&self) -> u64 {
        self.taken.len() as u64 - 1
    }

    /// Slots that there are for pages.
    pub(super) const fn all(&self) -> u64 {
        self.slots - 1
    }

    /// Whether a slot is free.
    pub(super) fn has_room(&self) -> bool {
        self.used() < self.all()
    }

    /// Whether slots are of one cluster.
    pub(super) const fn are_together(&self, first: u64, nr: u64) -> bool {
        first / self.size == (first + nr - 1) / self.size
    }

    /// Puts a cluster at the end of a list.
    fn enlist(&mut self, number: u64, list: List) {
        self.moves += 1;
        let moves = self.moves;
        let cluster = self.cluster_mut(number);
        let order = if list == List::Free { 0 } else { cluster.order };
        let (from, (of, came)) = (cluster.list, cluster.place);
        (cluster.list, cluster.place) = (list, (order, moves));
        self.lists.remove(&(from, of, came, number));
        self.lists.insert((list, order, moves, number));
    }

    fn cluster_mut(&mut self, number: u64) -> &mut Cluster {
        self.known.get_mut(&number).expect("a cluster that is used is known")
    }

    /// The clusters of a list, in its order.
    fn listed(&self, list: List, order: u8) -> impl Iterator<Item = u64> {
        let range = (list, order, 0, 0)..=(list, order, u64::MAX, u64::MAX);
        self.lists.range(range).map(|&(.., number)| number)
    }

    /// The first slot of a cluster.
    const fn start_of(&self, number: u64) -> u64 {
        number * self.size
    }

    /// Past its last one on the device.
    fn end_of(&self, number: u64) -> u64 {
        self.start_of(number + 1).min(self.slots)
    }

    /// The first of `1 << order` free slots, aligned to that, in the cluster where the last of this order was taken
    /// (`swap_alloc_fast`).
    pub(super) fn alloc_next(&mut self, order: u8, rules: &Rules) -> Option<u64> {
        let mut at = self.next[usize::from(order)]?;
        let number = at / self.size;
        let Cluster { used, order: of, .. } = self.known[&number];
        if !rules.swap_slots_are_cached {
            if used == 0 && !rules.swap_restarts_emptied_cluster || used > 0 && order > 0 && of != order {
                return None;
            }
            at = if used == 0 { self.start_of(number) } else { at };
        }
        self.alloc_in(number, at, order, rules)
    }

    /// The same, in a cluster that is in use for this order, or one that is not in use, in the order that the release has; else, for one
    /// page, in one of another order (`cluster_alloc_swap_entry`).
    pub(super) fn alloc(&mut self, order: u8, rules: &Rules) -> Option<u64> {
        let lists = if rules.swap_prefers_fresh_clusters {
            [List::Free, List::Nonfull, List::Frag]
        } else {
            [List::Nonfull, List::Free, List::Frag]
        };
        let others = (1..ORDERS as u8).filter(|_| order == 0);
        let others = others.flat_map(|of| [List::Frag, List::Nonfull].map(|list| (list, of)));
        let mut lists = lists.map(|list| (list, order)).into_iter().chain(others);
        lists.find_map(|(list, of)| self.alloc_list(list, of, order, rules))
    }

    /// Slots of the clusters of one list, of which those that fail are listed elsewhere (`alloc_swap_scan_list`).
    fn alloc_list(&mut self, list: List, of: u8, order: u8, rules: &Rules) -> Option<u64> {
        if list == List::Free {
            let number = self.take_free()?;
            return self.alloc_in(number, self.start_of(number), order, rules);
        }
        let only_first = list == List::Frag && of == order && !rules.swap_prefers_fresh_clusters;
        let tried = if only_first { 1 } else { usize::MAX };
        let tried: Vec<u64> = self.listed(list, of).take(tried).collect();
        tried.into_iter().find_map(|number| {
            self.enlist(number, List::Frag);
            self.alloc_in(number, self.start_of(number), order, rules)
        })
    }

    /// An empty cluster: one that was never used, or the one that has been empty for longest.
    fn take_free(&mut self) -> Option<u64> {
        if self.fresh < self.slots / self.size {
            self.know(self.fresh, 0);
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.listed(List::Free, 0).next()
    }

    /// Takes slots of one cluster, from `at` on (`alloc_swap_scan_cluster`).
    fn alloc_in(&mut self, number: u64, at: u64, order: u8, rules: &Rules) -> Option<u64> {
        let n = 1 << order;
        let end = self.end_of(number);
        let found = self.scan(number, at, n);
        if let Some(first) = found {
            self.taken.extend(first..first + n);
            let cluster = self.cluster_mut(number);
            if cluster.used == 0 {
                cluster.order = order;
            }
            cluster.used += n;
        }
        let Cluster { used, list, .. } = self.known[&number];
        self.next[usize::from(order)] =
            found.map(|first| first + n).filter(|past| past + n <= end && used < self.size);
        let now = match list {
            _ if used == self.size => List::Full,
            _ if used == 0 => List::Free,
            List::Free if rules.swap_slots_are_cached => List::Nonfull,
            _ if rules.swap_slots_are_cached => list,
            _ => List::Frag,
        };
        if now != list {
            self.enlist(number, now);
        }
        found
    }

    /// The first `n` free slots, aligned to that, of one cluster from `at` on.
    fn scan(&self, number: u64, at: u64, n: u64) -> Option<u64> {
        let end = self.end_of(number);
        let mut first = at;
        let has_room = self.known[&number].used + n <= self.size;
        while has_room && first + n <= end {
            match self.taken.range(first..first + n).next_back() {
                None => return Some(first),
                Some(&last) => first = (last + 1).next_multiple_of(n),
            }
        }
        None
    }

    /// Gives a slot back (`swap_entry_range_free`).
    pub(super) fn free(&mut self, at: u64) {
        self.taken.remove(&at);
        let number = at / self.size;
        let cluster = self.cluster_mut(number);
        cluster.used -= 1;
        if cluster.used == 0 {
            cluster.order = 0;
            self.enlist(number, List::Free);
        } else if cluster.list != List::Nonfull {
            self.enlist(number, List::Nonfull);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Clusters;
    use crate::tables::tests::machine;

    #[test]
    fn a_cluster_that_the_end_cuts_off_serves_single_pages() {
        let (pt, _) = machine();
        let mut cut_off = Clusters::new(512 + 100, 512);
        assert_eq!(cut_off.alloc(4, &pt.rules), None, "one holds the header, one is not whole");
        assert_eq!(cut_off.alloc(0, &pt.rules), Some(1));
        let mut whole = Clusters::new(2 * 512, 512);
        assert_eq!((whole.alloc(4, &pt.rules), whole.alloc_next(4, &pt.rules)), (Some(512), Some(528)));
    }

    #[test]
    fn every_slot_is_given_out_once_and_comes_back() {
        let (pt, _) = machine();
        let mut all = Clusters::new(3 * 512 + 7, 512);
        let mut take = || all.alloc_next(0, &pt.rules).or_else(|| all.alloc(0, &pt.rules));
        let mut taken: Vec<u64> = std::iter::from_fn(&mut take).collect();
        taken.sort_unstable();
        assert_eq!(taken, (1..3 * 512 + 7).collect::<Vec<_>>());
        assert!(!all.has_room());
        for slot in taken {
            all.free(slot);
        }
        assert_eq!((all.used(), all.alloc(4, &pt.rules).is_some()), (0, true));
    }
}
