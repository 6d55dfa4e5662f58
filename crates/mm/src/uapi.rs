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
    /// What a userfaultfd is opened with (`include/uapi/linux/userfaultfd.h`). Features that are not named here are about
    /// other modes than write protection, or nobody's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct UffdFeatures: u64 {
        /// Write protection, without which a range cannot be registered here (`UFFD_FEATURE_PAGEFAULT_FLAG_WP`).
        const WP = 1 << 0;
        /// Children get a userfaultfd of their own, and keep the protection.
        const EVENT_FORK = 1 << 1;
        /// Memory that is moved stays registered and protected.
        const EVENT_REMAP = 1 << 2;
        /// Private pages that are not there can be protected too.
        const WP_UNPOPULATED = 1 << 13;
        /// [`uffd_poison`](crate::Kernel::uffd_poison) may be used; nothing depends on it.
        const POISON = 1 << 14;
        /// A write lifts the protection of its page; includes `WP_UNPOPULATED`.
        const WP_ASYNC = 1 << 15;
        const _ = !0;
    }
}

impl UffdFeatures {
    /// All features of the kernels here (`UFFD_API_FEATURES`; 7.3 has more, of a mode that is not here).
    pub const KNOWN: Self = Self::from_bits_retain((1 << 17) - 1);
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
        /// No effect.
        const DENYWRITE = 0x0800;
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
        /// Of huge pages that were set aside, of which this machine has none.
        const HUGETLB = 0x4_0000;
        /// Exactly there, or not at all.
        const FIXED_NOREPLACE = 0x10_0000;
        const _ = !0;
    }
}

impl MapFlags {
    /// The bits that say private or shared.
    pub const TYPE: u64 = 0x0f;
    /// `MAP_SHARED_VALIDATE`: as `MAP_SHARED`, of files, and flags that are not known are refused.
    pub const SHARED_VALIDATE: u64 = 0x03;
    /// `MAP_DROPPABLE`: private, and the kernel may drop it when memory is short (here it never is).
    pub const DROPPABLE: u64 = 0x08;
    /// The flags that `MAP_SHARED` always took, and that `MAP_SHARED_VALIDATE` knows (`LEGACY_MAP_MASK`), with
    /// x86's `MAP_32BIT` and `MAP_ABOVE4G`, which have no effect here.
    pub const LEGACY: u64 = Self::TYPE_LEGACY
        | Self::FIXED.bits()
        | Self::ANONYMOUS.bits()
        | Self::GROWSDOWN.bits()
        | Self::DENYWRITE.bits()
        | Self::LOCKED.bits()
        | Self::NORESERVE.bits()
        | Self::POPULATE.bits()
        | Self::NONBLOCK.bits()
        | Self::STACK.bits()
        | Self::HUGETLB.bits()
        | Self::EXECUTABLE
        | Self::BITS_32_AND_ABOVE4G
        | Self::HUGE_SIZES;
    const TYPE_LEGACY: u64 = 0x03;
    const EXECUTABLE: u64 = 0x1000;
    const BITS_32_AND_ABOVE4G: u64 = 0x40 | 0x80;
    /// `MAP_HUGE_2MB` and `MAP_HUGE_1GB`.
    const HUGE_SIZES: u64 = 0x1f << Self::HUGE_SHIFT;
    /// Where the size of `MAP_HUGETLB` pages stands, as the logarithm of bytes.
    pub const HUGE_SHIFT: u32 = 26;
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

bitflags! {
    /// The `flags` of mlockall.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MclFlags: u64 {
        /// What is mapped now.
        const CURRENT = 1;
        /// What will be mapped.
        const FUTURE = 2;
        /// When it is faulted in.
        const ONFAULT = 4;
        const _ = !0;
    }
}

bitflags! {
    /// The `flags` of msync.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MsFlags: u64 {
        /// Some time.
        const ASYNC = 1;
        /// Other mappings shall see it.
        const INVALIDATE = 2;
        /// Now.
        const SYNC = 4;
        const _ = !0;
    }
}

bitflags! {
    /// The `shmflg` of shmget and shmat.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ShmFlags: u64 {
        /// shmget: make it if there is none.
        const CREAT = 0o1000;
        /// shmget: and only then.
        const EXCL = 0o2000;
        /// shmget: of huge pages.
        const HUGETLB = 0o4000;
        /// shmat: for reading.
        const RDONLY = 0o10000;
        /// shmat: the address may be rounded down.
        const RND = 0o20000;
        /// shmat: in place of what is there.
        const REMAP = 0o40000;
        /// shmat: for execution.
        const EXEC = 0o100_000;
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
