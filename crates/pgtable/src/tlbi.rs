//! What a CPU is told: barriers, and invalidations of cached translations.

use crate::{EntryFormat, Level, VirtAddr};

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
