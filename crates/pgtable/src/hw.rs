//! The machine primitives: the one door through which ports touch page tables.

use crate::{Cause, EntryFormat, Event, Level, Pfn, Pte, VirtAddr};

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

/// Barriers that a port issues around table updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Barrier {
    /// arm64 `dsb ishst`.
    DsbIshst,
    /// arm64 `dsb ish`.
    DsbIsh,
    /// arm64 `dsb nshst`.
    DsbNshst,
    /// arm64 `dsb nsh`.
    DsbNsh,
    /// arm64 `isb`.
    Isb,
}

/// Which translations a TLB invalidation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlbScope {
    /// Every translation of the address space.
    All,
    /// Those of a range, in bytes; `stride` is the size of the leaves in it.
    Range {
        /// First address.
        start: VirtAddr,
        /// End, exclusive.
        end: VirtAddr,
        /// Bytes that one leaf maps.
        stride: u64,
    },
}

/// One TLB invalidation, as a port issues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tlbi {
    /// What it reaches.
    pub scope: TlbScope,
    /// Level hint of the leaves, 0 where there is none (Arm ARM, TTL field).
    pub level: u8,
    /// Leaves only: walk caches are kept.
    pub last_level: bool,
    /// Only this CPU.
    pub local: bool,
    /// Instructions it takes (1 where one covers the whole scope).
    pub ops: u32,
}

impl Tlbi {
    /// Whether walk caches to the table that an entry of `level` names for `addr` go on every CPU.
    pub fn drops_walks<A: EntryFormat>(&self, addr: VirtAddr, level: Level) -> bool {
        !self.local
            && !self.last_level
            && match self.scope {
                TlbScope::All => true,
                TlbScope::Range { start, end, .. } => start < addr.add(A::entry_size(level)) && addr < end,
            }
    }

    /// Whether it reaches the whole of the leaf of `level` at `addr` on every CPU: one whose level is not the hint's may stay, as may
    /// those between strides.
    pub fn reaches<A: EntryFormat>(&self, addr: VirtAddr, level: Level) -> bool {
        let size = A::entry_size(level);
        let hinted = self.level == 0 || self.level == level.ttl();
        !self.local
            && match self.scope {
                TlbScope::All => true,
                TlbScope::Range { start, end, stride } => {
                    hinted && stride <= size && start <= addr && addr.add(size) <= end
                }
            }
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

/// What a port may ask of a machine. Four kinds of machine implement it: plain memory, one that counts, one that
/// records, and (for checking) one whose hardware interferes.
///
/// The run operations have defaults made of the primitives; a machine overrides them only for speed.
pub trait Hw {
    /// Reads an entry.
    fn load(&mut self, p: Ptep) -> Pte;

    /// Writes an entry with a plain store.
    fn store(&mut self, p: Ptep, new: Pte);

    /// Exchanges an entry for `new` atomically and returns what it held.
    fn swap(&mut self, p: Ptep, new: Pte) -> Pte;

    /// Writes `new` if the entry holds `old`.
    ///
    /// # Errors
    /// What the entry held instead.
    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte>;

    /// Issues a barrier.
    fn barrier(&mut self, kind: Barrier);

    /// Issues a TLB invalidation.
    fn tlbi(&mut self, op: Tlbi);

    /// Reads the page struct of `pfn`: which folio the page belongs to.
    fn page_folio(&mut self, pfn: Pfn) -> FolioSpan;

    /// Takes note of something that is not a primitive. Machines that keep no account ignore it.
    #[inline]
    fn event(&mut self, event: Event) {
        let _ = event;
    }

    /// A cause comes into force for the entries that are written from now on, and what is flushed, within those in force already.
    /// [`because`](Self::because) ends it by itself. Machines that keep no order ignore causes.
    #[inline]
    fn begin_cause(&mut self, cause: &'static Cause) {
        let _ = cause;
    }

    /// The last cause that came into force is so no more.
    #[inline]
    fn end_cause(&mut self) {}

    /// Does something for a cause.
    #[inline]
    fn because<T>(&mut self, cause: &'static Cause, does: impl FnOnce(&mut Self) -> T) -> T {
        self.begin_cause(cause);
        let done = does(self);
        self.end_cause();
        done
    }

    /// Takes note that a cause leaves `n` entries from `p` on as they are.
    #[inline]
    fn keeps(&mut self, p: Ptep, n: usize, cause: &'static Cause) {
        let _ = (p, n, cause);
    }

    /// Rewrites an entry with compare-exchanges, so that no bit that hardware sets meanwhile is lost. `old` is what the
    /// entry was read as; returns what it held when it was replaced.
    #[inline]
    fn update(&mut self, p: Ptep, mut old: Pte, new: impl Fn(Pte) -> Pte) -> Pte {
        while let Err(now) = self.compare_swap(p, old, new(old)) {
            old = now;
        }
        old
    }

    /// Reads `n` entries in order.
    #[inline]
    fn load_run(&mut self, p: Ptep, n: usize, mut each: impl FnMut(Pte)) {
        for i in 0..n {
            let pte = self.load(p.add(i));
            each(pte);
        }
    }

    /// Stores `first`, `first + step`, `first + 2 * step`... (wrapping) to `n` entries.
    #[inline]
    fn store_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize) {
        let mut word = first.0;
        for i in 0..n {
            self.store(p.add(i), Pte(word));
            word = word.wrapping_add(step);
        }
    }

    /// Exchanges `n` entries for zero, in order, and shows each old word.
    #[inline]
    fn swap_run(&mut self, p: Ptep, n: usize, mut each: impl FnMut(Pte)) {
        for i in 0..n {
            let old = self.swap(p.add(i), Pte::NONE);
            each(old);
        }
    }

    /// Reads and then clears `n` entries, each with a load and a plain store, and shows each old word.
    #[inline]
    fn take_run(&mut self, p: Ptep, n: usize, mut each: impl FnMut(Pte)) {
        for i in 0..n {
            let old = self.load(p.add(i));
            self.store(p.add(i), Pte::NONE);
            each(old);
        }
    }

    /// How many entries from `p` on, at most `max`, equal `expected`, `expected + step`... in all bits but `ignore`.
    /// Reads one entry more than it matches, unless it matches `max`.
    #[inline]
    fn match_run(&mut self, p: Ptep, expected: Pte, step: u64, ignore: u64, max: usize) -> usize {
        let mut word = expected.0;
        for i in 0..max {
            if (self.load(p.add(i)).0 ^ word) & !ignore != 0 {
                return i;
            }
            word = word.wrapping_add(step);
        }
        max
    }
}

/// Table memory and page structs: what the memory manager, not a port, does with a machine.
pub trait TableMemory: Hw + std::fmt::Debug {
    /// Whether the order of primitives can be seen: then each is made by itself, however often the same is repeated.
    const KEEPS_ORDER: bool;

    /// An empty machine whose tables have `entries` entries (a power of two).
    fn with_tables_of(entries: usize) -> Self;

    /// A zeroed table: its first entry.
    fn alloc_table(&mut self) -> Ptep;

    /// Gives a table back. Every entry of it must be empty.
    fn free_table(&mut self, table: Ptep);

    /// Reads an entry without it being an event of the emulated machine.
    fn peek(&self, p: Ptep) -> Pte;

    /// The entries of one table, for reading without events.
    fn peek_table(&self, table: Ptep) -> &[u64];

    /// The folio a page belongs to, read without an event.
    fn peek_folio(&self, pfn: Pfn) -> FolioSpan;

    /// Writes the page structs of a new or resized folio.
    fn set_folio(&mut self, span: FolioSpan);

    /// How many entries from `p` on, at most `max`, are exactly `first`, `first + step`..., read without events.
    fn peek_run(&self, p: Ptep, first: Pte, step: u64, max: usize) -> usize;

    /// How many of the pages `pfn`, `pfn + stride`..., at most `max`, belong to folios of this order, read without events.
    fn peek_orders(&self, pfn: Pfn, stride: usize, order: u32, max: usize) -> usize;

    /// Writes `n` entries, `first`, `first + step`..., without events: they are accounted for by [`repeat`](Self::repeat).
    fn poke_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize);

    /// Counts again, `times` times, what was counted before for the same work.
    fn repeat(&mut self, work: &crate::Counters, times: u64) {
        let _ = (work, times);
    }

    /// An update by the hardware's walker (accessed, dirty): not a software store.
    fn hardware_store(&mut self, p: Ptep, new: Pte);

    /// What this machine counted so far, if it counts.
    fn counters(&self) -> Option<&crate::Counters> {
        None
    }

    /// What this machine recorded since last asked, if it records.
    fn take_records(&mut self) -> Vec<crate::Record> {
        Vec::new()
    }
}
