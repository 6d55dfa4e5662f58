//! The numbers that programs pass (`include/uapi/asm-generic/mman-common.h`, `include/uapi/linux/mman.h`).

use bitflags::bitflags;

bitflags! {
    /// The `prot` of mmap and mprotect. Bits that are not named here are an architecture's, or nobody's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Prot: u64 {
        /// May be read.
        const READ = 1;
        /// May be written.
        const WRITE = 2;
        /// May be executed.
        const EXEC = 4;
        /// For atomics; no effect.
        const SEM = 8;
        /// mprotect: from the start of a stack that grows down.
        const GROWSDOWN = 0x0100_0000;
        /// mprotect: to the end of a stack that grows up.
        const GROWSUP = 0x0200_0000;
        const _ = !0;
    }
}

bitflags! {
    /// The `flags` of mmap.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MapFlags: u64 {
        /// Seen by all who map it.
        const SHARED = 0x01;
        /// Copied on write.
        const PRIVATE = 0x02;
        /// Exactly there, in place of what is there.
        const FIXED = 0x10;
        /// Of no file.
        const ANONYMOUS = 0x20;
        /// Grows down.
        const GROWSDOWN = 0x0100;
        /// Locked in memory.
        const LOCKED = 0x2000;
        /// Not charged.
        const NORESERVE = 0x4000;
        /// Faulted in at once.
        const POPULATE = 0x8000;
        /// With POPULATE: only what is there already.
        const NONBLOCK = 0x1_0000;
        /// A stack.
        const STACK = 0x2_0000;
        /// Exactly there, or not at all.
        const FIXED_NOREPLACE = 0x10_0000;
        const _ = !0;
    }
}

impl MapFlags {
    /// The bits that say private or shared.
    pub const TYPE: u64 = 0x0f;
    /// `MAP_SHARED_VALIDATE`.
    pub const SHARED_VALIDATE: u64 = 0x03;
    /// `MAP_DROPPABLE`, which this machine does not have.
    pub const DROPPABLE: u64 = 0x08;
}

bitflags! {
    /// The `flags` of mremap.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MremapFlags: u64 {
        /// It may end up elsewhere.
        const MAYMOVE = 1;
        /// Exactly to the new address.
        const FIXED = 2;
        /// The old range stays mapped, empty.
        const DONTUNMAP = 4;
        const _ = !0;
    }
}

macro_rules! advice {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// The `advice` of madvise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u64)]
        pub enum Advice { $($(#[$doc])* $name = $value,)* }

        impl Advice {
            /// The advice of this number, if there is one.
            pub const fn from_raw(raw: u64) -> Option<Self> {
                match raw { $($value => Some(Self::$name),)* _ => None }
            }
        }
    };
}

advice! {
    /// No special treatment.
    Normal = 0,
    /// Random access.
    Random = 1,
    /// Sequential access.
    Sequential = 2,
    /// Will be needed.
    Willneed = 3,
    /// Drop the contents now.
    Dontneed = 4,
    /// The contents may be dropped.
    Free = 8,
    /// Not inherited at fork.
    Dontfork = 10,
    /// Inherited at fork.
    Dofork = 11,
    /// Offer to KSM.
    Mergeable = 12,
    /// Do not offer to KSM.
    Unmergeable = 13,
    /// Huge pages are welcome.
    Hugepage = 14,
    /// No huge pages.
    Nohugepage = 15,
    /// Leave out of core dumps.
    Dontdump = 16,
    /// Into core dumps.
    Dodump = 17,
    /// Zero for the child at fork.
    Wipeonfork = 18,
    /// Copied at fork.
    Keeponfork = 19,
    /// Not needed soon.
    Cold = 20,
    /// Write out now.
    Pageout = 21,
    /// Fault in for reading.
    PopulateRead = 22,
    /// Fault in for writing.
    PopulateWrite = 23,
    /// Drop, even where locked.
    DontneedLocked = 24,
    /// Make huge pages now.
    Collapse = 25,
    /// Make the range fault fatally.
    GuardInstall = 102,
    /// Undo that.
    GuardRemove = 103,
}
