//! What happens on a machine, as values; and the sums of it.

use crate::{Barrier, Cause, Pte, Ptep, TlbScope, Tlbi, Why};
use std::ops::{AddAssign, Sub};

/// How a fault was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// New anonymous memory.
    Anon,
    /// The zero page, or the huge zero page, for a read.
    Zero,
    /// New memory of a shared mapping, or a page of it that another process filled.
    Shared,
    /// A write to a page that turned out to be exclusive.
    Reuse,
    /// A write that copied the page.
    Copy,
    /// Accessed or dirty set by software.
    AccessFlags,
    /// A NUMA hint.
    Numa,
    /// A page came back from where a software entry said: swap, or a device.
    Soft,
    /// Answered with a signal.
    Signal,
}

/// Something a machine may take note of that is not a primitive of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A contiguous block was made of single entries.
    Fold,
    /// A contiguous block was taken apart.
    Unfold,
    /// So many `PageAnonExclusive` bits were read.
    ExclusiveReads(u32),
    /// `change_pte_range` formed a batch of so many present entries.
    Batch(u32),
    /// A fault was resolved.
    Fault(FaultKind),
    /// So many pages were copied.
    PagesCopied(u32),
    /// So many pages were zeroed.
    PagesZeroed(u32),
    /// A folio of this order was allocated.
    FolioAlloc(u8),
    /// No folio of this order was free, so a smaller one is tried.
    FolioFallback(u8),
    /// A VMA was split in two.
    VmaSplit,
    /// VMAs became one.
    VmaMerge,
    /// So many VMAs went away as they became part of another.
    VmasRemoved(u32),
    /// A VMA was split for one part of it to change, once or at both ends.
    VmaDivided,
    /// The only VMA became two or three.
    VmaTreeGrown,
    /// A merge left one VMA only.
    VmaTreeShrunk,
    /// A call began to gather what to flush: its arguments are good, and its range begins in a VMA.
    GatherOpened,
    /// The range went on where nothing is mapped.
    HoleMet,
    /// A VMA came to hold on to so many anon_vmas.
    AnonVmaLinks(u32),
    /// Pages of a mapping that becomes writable were charged.
    Charge,
    /// mprotect found its arguments to be sound and took the lock of the address space.
    MmapLock,
    /// mprotect visited a VMA, or the part of one that its range covers.
    VmaVisit,
    /// `mprotect_fixup` gave it other flags, and its entries were walked.
    VmaChange,
    /// mprotect passed so many entries of directories under which nothing is mapped.
    EmptyDirectories(u32),
    /// mprotect walked the entries of a table.
    TableWalk,
    /// mprotect passed an empty entry.
    EmptyEntry,
    /// mprotect met a software entry.
    NotPresent,
    /// mprotect met an entry of the zero page.
    SpecialEntry,
    /// So many entries, or contiguous blocks, were compared to find how long a batch is.
    BatchSteps(u32),
    /// So many entries of a batch gave their dirty bit to its first.
    DirtyGathered(u32),
    /// mprotect closed the transaction on one entry or one run of entries.
    Commit,
    /// One of these made its pages executable.
    ExecCommit,
    /// An entry that hardware may have cached was compared with its successor, to find whether a flush is needed.
    FlushCheck,
    /// A change of an entry asked for a flush.
    FlushRequest,
    /// mprotect asked whether an entry, or the first of a batch, may become writable.
    WriteCheck,
    /// An entry, or a run of entries, became writable without a fault.
    WriteUpgrade,
    /// mprotect changed a huge leaf whole.
    HugeChange,
    /// A huge leaf was split into a table of entries.
    HugeSplit,
}

/// One step on the recording machine, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry was read.
    Load(Ptep, Pte),
    /// An entry was stored.
    Store(Ptep, Pte),
    /// An entry was exchanged: old, new.
    Swap(Ptep, Pte, Pte),
    /// A compare-exchange: expected, new, whether it was done.
    CompareSwap(Ptep, Pte, Pte, bool),
    /// A barrier.
    Barrier(Barrier),
    /// A TLB invalidation.
    Tlbi(Tlbi),
    /// A page struct was read.
    PageLookup(crate::Pfn),
    /// The hardware's walker updated an entry: old, new.
    Hardware(Ptep, Pte, Pte),
    /// Why the writes, faults, barriers and TLB invalidations that follow are made, until the next of these. Every account starts
    /// with no cause in force.
    Why(Why),
    /// So many entries stay as they are, and why.
    Kept(Ptep, u32, &'static Cause),
    /// Anything else.
    Event(Event),
}

macro_rules! counters {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal,)*) => {
        /// One sum that a counting machine keeps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $(#[doc = $doc] $variant,)* }

        impl Counter {
            /// Every counter, in the order they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name it is shown by.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it counts, in a sentence.
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$variant => $doc.trim_ascii(),)* }
            }
        }
    };
}

counters! {
    /// Reads of an entry.
    Loads = "loads",
    /// Plain stores to an entry.
    Stores = "stores",
    /// Atomic exchanges of an entry.
    Exchanges = "exchanges",
    /// Compare-exchanges of an entry.
    CompareExchanges = "compare-exchanges",
    /// `dsb ishst`: earlier stores become visible to the walkers of all CPUs.
    DsbIshst = "dsb ishst",
    /// `dsb ish`: waits for the TLB invalidations before it.
    DsbIsh = "dsb ish",
    /// `dsb nsh` and `dsb nshst`: the same for this CPU alone.
    DsbNsh = "dsb nsh",
    /// `isb`: instructions after it see the new tables.
    Isb = "isb",
    /// TLB flushes by software, each of a range or of everything.
    TlbFlushes = "TLB flushes",
    /// TLB invalidation instructions that these flushes issued.
    TlbiOps = "TLBI ops",
    /// Leaf entries that the ranged flushes covered.
    TlbEntries = "TLB entries",
    /// Contiguous blocks made: sixteen single entries got the contiguous bit (arm64).
    Folds = "folds",
    /// Contiguous blocks taken apart into single entries (arm64).
    Unfolds = "unfolds",
    /// Reads of a page struct, to find its folio.
    PageLookups = "page look-ups",
    /// Reads of a `PageAnonExclusive` bit.
    ExclusiveReads = "exclusive reads",
    /// Batches of present entries that `change_pte_range` changed. A single entry is a batch of one.
    Batches = "batches",
    /// Batches of two entries or more.
    LongBatches = "batches of 2 or more",
    /// Entries in batches, single ones included.
    BatchEntries = "entries in batches",
    /// Faults that allocated anonymous memory.
    FaultsAnon = "faults: anon",
    /// Read faults that mapped the zero page.
    FaultsZero = "faults: zero page",
    /// Faults on shared memory.
    FaultsShared = "faults: shared",
    /// Write faults that reused the page, because nobody else maps it.
    FaultsReuse = "faults: reuse",
    /// Write faults that copied the page.
    FaultsCopy = "faults: copy",
    /// Faults that only set accessed or dirty.
    FaultsAccessFlags = "faults: access flags",
    /// NUMA hinting faults.
    FaultsNuma = "faults: NUMA hint",
    /// Faults on swap entries and on pages of a device.
    FaultsSoft = "faults: swap and device",
    /// Faults that ended in a signal.
    FaultsSignal = "faults: signal",
    /// Pages copied.
    PagesCopied = "pages copied",
    /// Pages zeroed.
    PagesZeroed = "pages zeroed",
    /// Folios allocated, of any order.
    FolioAllocs = "folio allocations",
    /// Allocations that fell back to a smaller order.
    FolioFallbacks = "folio fallbacks",
    /// VMAs split in two.
    VmaSplits = "VMA splits",
    /// Merges of VMAs.
    VmaMerges = "VMA merges",
    /// VMAs that disappeared in a merge.
    VmasRemoved = "VMAs removed",
    /// VMAs split so that one part could change, whether once or at both ends.
    VmasDivided = "VMAs divided",
    /// Calls that split the only VMA of a process.
    VmaTreesGrown = "VMA trees grown",
    /// Calls whose merge left a process with a single VMA.
    VmaTreesShrunk = "VMA trees shrunk",
    /// Calls that began to gather TLB flushes.
    Gathers = "gathers",
    /// Calls whose range ran into unmapped memory.
    HolesMet = "holes met",
    /// Links to anon_vmas given to VMAs.
    AnonVmaLinks = "anon_vma links",
    /// Charges of private mappings that became writable.
    Charges = "charges",
    /// Calls of mprotect with valid arguments, each of which takes `mmap_lock`.
    MmapLocks = "locks taken",
    /// VMAs, or parts of one, that mprotect visited.
    VmaVisits = "VMA visits",
    /// VMAs whose flags mprotect changed.
    VmaChanges = "VMA changes",
    /// Directory entries that mprotect skipped, as nothing is mapped below them.
    EmptyDirectories = "empty directory entries",
    /// Page tables whose entries mprotect walked.
    TableWalks = "tables walked",
    /// Empty entries that mprotect skipped.
    EmptyEntries = "empty entries",
    /// Software entries (swap, migration, markers) that mprotect met.
    NotPresent = "entries not present",
    /// Entries of the zero page that mprotect met.
    SpecialEntries = "special entries",
    /// Comparisons that found how long a batch is, of entries or of whole contiguous blocks.
    BatchSteps = "batch steps",
    /// Entries of a batch, after the first, whose dirty bit was merged into the first.
    DirtyGathered = "dirty bits gathered",
    /// Transactions that mprotect committed, each on one entry or one run of entries.
    Commits = "commits",
    /// Commits that made pages executable.
    ExecCommits = "executable commits",
    /// Comparisons of the old and new word of an entry that hardware may have cached.
    FlushChecks = "flush checks",
    /// Changes of an entry that need a flush.
    FlushRequests = "flush requests",
    /// Checks whether an entry may become writable without a fault.
    WriteChecks = "write checks",
    /// Entries, or runs of entries, that became writable without a fault.
    WriteUpgrades = "write upgrades",
    /// Huge leaves that mprotect changed whole.
    HugeChanges = "huge leaves changed",
    /// Huge leaves split into page entries.
    HugeSplits = "huge leaves split",
}

/// Number of buckets in a histogram of powers of two: 1, 2, 4 ... 512 and above.
pub const HISTOGRAM: usize = 10;

/// Sums of everything that happened on a counting machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    sums: [u64; Counter::ALL.len()],
    /// Batches by length: bucket `i` holds lengths from `1 << i` up to the next.
    pub batch_lengths: [u64; HISTOGRAM],
    /// Folio allocations by order.
    pub allocs_by_order: [u64; HISTOGRAM],
}

impl Default for Counters {
    fn default() -> Self {
        Self { sums: [0; Counter::ALL.len()], batch_lengths: [0; HISTOGRAM], allocs_by_order: [0; HISTOGRAM] }
    }
}

impl Counters {
    /// One sum.
    pub const fn get(&self, counter: Counter) -> u64 {
        self.sums[counter as usize]
    }

    /// The sums that are not zero, in the order they are shown.
    pub fn nonzero(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.iter().map(|&c| (c, self.get(c))).filter(|&(_, n)| n != 0)
    }

    /// Adds `n` to one sum.
    #[inline]
    pub const fn add(&mut self, counter: Counter, n: u64) {
        self.sums[counter as usize] += n;
    }

    /// Adds what `work` counted, `times` times.
    pub fn add_times(&mut self, work: &Self, times: u64) {
        zip_with(self, work, |sum, n| sum.wrapping_add(n.wrapping_mul(times)));
    }

    /// Counts one step of a recording machine. Hardware's own updates are no work of the kernel's.
    pub fn record(&mut self, record: &Record) {
        match *record {
            Record::Load(..) => self.add(Counter::Loads, 1),
            Record::Store(..) => self.add(Counter::Stores, 1),
            Record::Swap(..) => self.add(Counter::Exchanges, 1),
            Record::CompareSwap(..) => self.add(Counter::CompareExchanges, 1),
            Record::Barrier(kind) => self.barrier(kind),
            Record::Tlbi(op) => self.tlbi(op),
            Record::PageLookup(_) => self.add(Counter::PageLookups, 1),
            Record::Hardware(..) | Record::Why(_) | Record::Kept(..) => {}
            Record::Event(event) => self.count(event),
        }
    }

    /// Counts one event.
    #[inline]
    pub fn count(&mut self, event: Event) {
        match event {
            Event::Fold => self.add(Counter::Folds, 1),
            Event::Unfold => self.add(Counter::Unfolds, 1),
            Event::ExclusiveReads(n) => self.add(Counter::ExclusiveReads, n.into()),
            Event::Batch(n) => {
                self.add(Counter::Batches, 1);
                self.add(Counter::LongBatches, u64::from(n > 1));
                self.add(Counter::BatchEntries, n.into());
                self.batch_lengths[bucket(n)] += 1;
            }
            Event::Fault(kind) => self.add(fault_counter(kind), 1),
            Event::PagesCopied(n) => self.add(Counter::PagesCopied, n.into()),
            Event::PagesZeroed(n) => self.add(Counter::PagesZeroed, n.into()),
            Event::FolioAlloc(order) => {
                self.add(Counter::FolioAllocs, 1);
                self.allocs_by_order[usize::from(order).min(HISTOGRAM - 1)] += 1;
            }
            Event::FolioFallback(_) => self.add(Counter::FolioFallbacks, 1),
            Event::VmaSplit => self.add(Counter::VmaSplits, 1),
            Event::VmaMerge => self.add(Counter::VmaMerges, 1),
            Event::VmaVisit => self.add(Counter::VmaVisits, 1),
            Event::VmaChange => self.add(Counter::VmaChanges, 1),
            Event::EmptyDirectories(n) => self.add(Counter::EmptyDirectories, n.into()),
            Event::TableWalk => self.add(Counter::TableWalks, 1),
            Event::EmptyEntry => self.add(Counter::EmptyEntries, 1),
            Event::NotPresent => self.add(Counter::NotPresent, 1),
            Event::SpecialEntry => self.add(Counter::SpecialEntries, 1),
            Event::DirtyGathered(n) => self.add(Counter::DirtyGathered, n.into()),
            Event::BatchSteps(n) => self.add(Counter::BatchSteps, n.into()),
            Event::ExecCommit => self.add(Counter::ExecCommits, 1),
            Event::FlushRequest => self.add(Counter::FlushRequests, 1),
            Event::VmasRemoved(n) => self.add(Counter::VmasRemoved, n.into()),
            Event::VmaDivided => self.add(Counter::VmasDivided, 1),
            Event::VmaTreeGrown => self.add(Counter::VmaTreesGrown, 1),
            Event::VmaTreeShrunk => self.add(Counter::VmaTreesShrunk, 1),
            Event::GatherOpened => self.add(Counter::Gathers, 1),
            Event::HoleMet => self.add(Counter::HolesMet, 1),
            Event::AnonVmaLinks(n) => self.add(Counter::AnonVmaLinks, n.into()),
            Event::Charge => self.add(Counter::Charges, 1),
            Event::FlushCheck => self.add(Counter::FlushChecks, 1),
            Event::MmapLock => self.add(Counter::MmapLocks, 1),
            Event::Commit => self.add(Counter::Commits, 1),
            Event::WriteCheck => self.add(Counter::WriteChecks, 1),
            Event::WriteUpgrade => self.add(Counter::WriteUpgrades, 1),
            Event::HugeChange => self.add(Counter::HugeChanges, 1),
            Event::HugeSplit => self.add(Counter::HugeSplits, 1),
        }
    }

    /// Counts one barrier.
    #[inline]
    pub const fn barrier(&mut self, kind: Barrier) {
        let counter = match kind {
            Barrier::DsbIshst => Counter::DsbIshst,
            Barrier::DsbIsh => Counter::DsbIsh,
            Barrier::DsbNsh | Barrier::DsbNshst => Counter::DsbNsh,
            Barrier::Isb => Counter::Isb,
        };
        self.add(counter, 1);
    }

    /// Counts one TLB invalidation.
    #[inline]
    pub fn tlbi(&mut self, op: Tlbi) {
        self.add(Counter::TlbFlushes, 1);
        self.add(Counter::TlbiOps, op.ops.into());
        if let TlbScope::Range { start, end, stride } = op.scope {
            self.add(Counter::TlbEntries, end.since(start).div_ceil(stride));
        }
    }
}

fn bucket(n: u32) -> usize {
    (n.max(1).ilog2() as usize).min(HISTOGRAM - 1)
}

const fn fault_counter(kind: FaultKind) -> Counter {
    match kind {
        FaultKind::Anon => Counter::FaultsAnon,
        FaultKind::Zero => Counter::FaultsZero,
        FaultKind::Shared => Counter::FaultsShared,
        FaultKind::Reuse => Counter::FaultsReuse,
        FaultKind::Copy => Counter::FaultsCopy,
        FaultKind::AccessFlags => Counter::FaultsAccessFlags,
        FaultKind::Numa => Counter::FaultsNuma,
        FaultKind::Soft => Counter::FaultsSoft,
        FaultKind::Signal => Counter::FaultsSignal,
    }
}

/// Applies `f` to every pair of sums of two counter sets, and puts what comes of it into the first.
fn zip_with(a: &mut Counters, b: &Counters, f: impl Fn(u64, u64) -> u64) {
    fn zip(a: &mut [u64], b: &[u64], f: impl Fn(u64, u64) -> u64) {
        for (x, y) in a.iter_mut().zip(b) {
            *x = f(*x, *y);
        }
    }
    zip(&mut a.sums, &b.sums, &f);
    zip(&mut a.batch_lengths, &b.batch_lengths, &f);
    zip(&mut a.allocs_by_order, &b.allocs_by_order, &f);
}

impl Sub for Counters {
    type Output = Self;

    /// What was counted since `earlier`.
    fn sub(mut self, earlier: Self) -> Self {
        zip_with(&mut self, &earlier, u64::wrapping_sub);
        self
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        *self += &other;
    }
}

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        zip_with(self, other, u64::wrapping_add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_sum_and_subtract() {
        let mut c = Counters::default();
        c.count(Event::Batch(16));
        let earlier = c;
        c.count(Event::Batch(512));
        c.count(Event::FolioAlloc(4));
        let since = c - earlier;
        assert_eq!(since.get(Counter::Batches), 1);
        assert_eq!(since.get(Counter::BatchEntries), 512);
        assert_eq!(since.batch_lengths[9], 1);
        assert_eq!(since.batch_lengths[4], 0);
        assert_eq!(since.allocs_by_order[4], 1);
        let mut sum = earlier;
        sum += since;
        assert_eq!(sum, c);
    }
}
