//! Flags and other numbers that calls take, one list a kind (`include/uapi/asm-generic/mman-common.h`, `mman.h` and
//! `include/uapi/linux/mman.h`, with the `arm64` and `x86` additions, and what else is named beside each).

use crate::kind::{Kind, Param, Value};
use crate::named_flags::flags;
use crate::names::{NameTable, Named, Style};

flags! {
    /// The `prot` of mmap and mprotect. Bits that are not named here are an architecture's, or nobody's.
    Prot, PROT: "a protection", "PROT_", zero Some("PROT_NONE"), hint "PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC ... or a number";
    {
        /// May be read.
        READ = 0x1;
        /// May be written.
        WRITE = 0x2;
        /// May be executed.
        EXEC = 0x4;
        /// For atomics; no effect.
        SEM = 0x8;
        /// arm64: branches into it must land on a `BTI` instruction.
        BTI = 0x10;
        /// arm64: its memory is tagged.
        MTE = 0x20;
        /// mprotect: from the start of a stack that grows down.
        GROWSDOWN = 0x0100_0000;
        /// mprotect: to the end of a stack that grows up.
        GROWSUP = 0x0200_0000;
    }
    last [Named::alias("PROT_NONE", 0)]
}

impl Prot {
    /// What `rwxp` of /proc/PID/maps allows.
    pub fn of_perms(perms: &str) -> Self {
        let letters = [('r', Self::READ), ('w', Self::WRITE), ('x', Self::EXEC)];
        letters.into_iter().filter(|(letter, _)| perms.contains(*letter)).map(|(_, prot)| prot).collect()
    }
}

/// Where in the flags of `mmap` and of `shmget` the huge page size lies, as the logarithm of bytes.
pub const HUGE_SHIFT: u32 = 26;
const HUGE_MASK: u64 = 0x3f << HUGE_SHIFT;

/// A huge page size, as its power of two in the field above `HUGE_SHIFT`.
const fn huge(name: &'static str, log2: u64) -> Named {
    Named::field(name, log2 << HUGE_SHIFT, HUGE_MASK)
}

flags! {
    /// The `flags` of mmap. The lowest four bits are one field: how the mapping is shared.
    MapFlags, MAP: "a mapping flag", "MAP_", zero None, hint "MAP_PRIVATE, MAP_SHARED, MAP_ANONYMOUS, MAP_FIXED ... or a number";
    first [
        Named::field("MAP_SHARED", MapFlags::SHARED.bits(), MapFlags::TYPE),
        Named::field("MAP_PRIVATE", MapFlags::PRIVATE.bits(), MapFlags::TYPE),
        Named::field("MAP_SHARED_VALIDATE", MapFlags::SHARED_VALIDATE, MapFlags::TYPE),
        Named::field("MAP_DROPPABLE", MapFlags::DROPPABLE, MapFlags::TYPE),
    ]
    {
        /// Exactly there, in place of what is there.
        FIXED = 0x10;
        /// Of no file.
        ANONYMOUS = 0x20;
        /// x86: below 2 GiB. No effect here.
        BITS_32 as "MAP_32BIT" = 0x40;
        /// x86: above 4 GiB. No effect here.
        ABOVE4G = 0x80;
        /// Grows down.
        GROWSDOWN = 0x100;
        /// No effect.
        DENYWRITE = 0x800;
        /// No effect.
        EXECUTABLE = 0x1000;
        /// Locked in memory.
        LOCKED = 0x2000;
        /// Not charged.
        NORESERVE = 0x4000;
        /// Faulted in at once.
        POPULATE = 0x8000;
        /// With POPULATE: only what is there already.
        NONBLOCK = 0x1_0000;
        /// A stack.
        STACK = 0x2_0000;
        /// Of huge pages that were set aside, of which this machine has none.
        HUGETLB = 0x4_0000;
        /// Of files in persistent memory, which this machine has none of.
        SYNC = 0x8_0000;
        /// Exactly there, or not at all.
        FIXED_NOREPLACE = 0x10_0000;
    }
    last [
        huge("MAP_HUGE_16KB", 14),
        huge("MAP_HUGE_64KB", 16),
        huge("MAP_HUGE_512KB", 19),
        huge("MAP_HUGE_1MB", 20),
        huge("MAP_HUGE_2MB", 21),
        huge("MAP_HUGE_8MB", 23),
        huge("MAP_HUGE_16MB", 24),
        huge("MAP_HUGE_32MB", 25),
        huge("MAP_HUGE_256MB", 28),
        huge("MAP_HUGE_512MB", 29),
        huge("MAP_HUGE_1GB", 30),
        huge("MAP_HUGE_2GB", 31),
        huge("MAP_HUGE_16GB", 34),
        // The lowest bit of the huge page size: the flag only where no size is meant.
        Named::field("MAP_UNINITIALIZED", 1 << HUGE_SHIFT, HUGE_MASK),
        Named::alias("MAP_ANON", 0x20),
        Named::alias("MAP_FILE", 0),
    ]
}

impl MapFlags {
    /// The bits that say private or shared.
    pub const TYPE: u64 = 0x0f;
    /// Writes are seen by every process that maps it.
    pub const SHARED: Self = Self::from_bits_retain(0x01);
    /// Copied on write.
    pub const PRIVATE: Self = Self::from_bits_retain(0x02);
    /// `MAP_SHARED_VALIDATE`: as `MAP_SHARED`, of files, and flags that are not known are refused.
    pub const SHARED_VALIDATE: u64 = 0x03;
    /// `MAP_DROPPABLE`: private, and the kernel may drop it when memory is short (here it never is).
    pub const DROPPABLE: u64 = 0x08;
    /// The flags that `MAP_SHARED` always took, and that `MAP_SHARED_VALIDATE` knows (`LEGACY_MAP_MASK`), with
    /// x86's `MAP_32BIT` and `MAP_ABOVE4G`.
    pub const LEGACY: u64 = Self::SHARED_VALIDATE
        | Self::FIXED.bits()
        | Self::ANONYMOUS.bits()
        | Self::BITS_32.bits()
        | Self::ABOVE4G.bits()
        | Self::GROWSDOWN.bits()
        | Self::DENYWRITE.bits()
        | Self::EXECUTABLE.bits()
        | Self::LOCKED.bits()
        | Self::NORESERVE.bits()
        | Self::POPULATE.bits()
        | Self::NONBLOCK.bits()
        | Self::STACK.bits()
        | Self::HUGETLB.bits()
        | Self::HUGE_SIZES;
    /// The flags of a mapping whose address, where one is given, is meant exactly.
    #[must_use]
    pub fn placed(self, addr: u64) -> Self {
        if addr != 0 && !self.contains(Self::FIXED) { self | Self::FIXED_NOREPLACE } else { self }
    }

    /// `MAP_HUGE_2MB` and `MAP_HUGE_1GB`.
    const HUGE_SIZES: u64 = 0x1f << HUGE_SHIFT;
}

flags! {
    /// The `flags` of mremap.
    MremapFlags, MREMAP: "an mremap flag", "MREMAP_", zero None, hint "MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP or a number";
    {
        /// It may end up elsewhere.
        MAYMOVE = 1;
        /// Exactly to the new address.
        FIXED = 2;
        /// The old range stays mapped, empty.
        DONTUNMAP = 4;
    }
}

flags! {
    /// The `flags` of mlock2.
    MlockFlags, MLOCK: "an mlock2 flag", "MLOCK_", zero None, hint "MLOCK_ONFAULT or a number";
    {
        /// When it is faulted in.
        ONFAULT = 1;
    }
}

flags! {
    /// The `flags` of mlockall.
    MclFlags, MCL: "an mlockall flag", "MCL_", zero None, hint "MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT or a number";
    {
        /// What is mapped now.
        CURRENT = 1;
        /// What will be mapped.
        FUTURE = 2;
        /// When it is faulted in.
        ONFAULT = 4;
    }
}

flags! {
    /// The `flags` of msync.
    MsFlags, MS: "an msync flag", "MS_", zero None, hint "MS_ASYNC, MS_INVALIDATE, MS_SYNC or a number";
    {
        /// Some time.
        ASYNC = 1;
        /// Other mappings shall see it.
        INVALIDATE = 2;
        /// Now.
        SYNC = 4;
    }
}

flags! {
    /// The `access_rights` of pkey_alloc.
    PkeyRights, PKEY: "access rights of a protection key", "PKEY_", zero None, hint "PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE or a number";
    {
        /// Neither read nor written.
        DISABLE_ACCESS = 1;
        /// Not written.
        DISABLE_WRITE = 2;
        /// Not executed, on some ports.
        DISABLE_EXECUTE = 4;
        /// Not read, on arm64.
        DISABLE_READ = 8;
    }
}

flags! {
    /// The `shmflg` of shmget and shmat (`include/uapi/linux/ipc.h`, `shm.h`), whose bits mean different things in each.
    ShmFlags, SHMAT: "a shmat flag", "SHM_", zero None, hint "SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC or a number";
    {
        /// shmat: for reading.
        RDONLY = 0o1_0000;
        /// shmat: the address may be rounded down.
        RND = 0o2_0000;
        /// shmat: in place of what is there.
        REMAP = 0o4_0000;
        /// shmat: for execution.
        EXEC = 0o10_0000;
    }
}

impl ShmFlags {
    /// shmget: make it if there is none.
    pub const CREAT: Self = Self::from_bits_retain(0o1000);
    /// shmget: and only then.
    pub const EXCL: Self = Self::from_bits_retain(0o2000);
    /// shmget: of huge pages.
    pub const HUGETLB: Self = Self::from_bits_retain(0o4000);
}

/// Flags of `shmget` above the nine mode bits, and the key that is always new.
pub const SHMGET: NameTable = NameTable {
    what: "a shmget flag",
    prefix: "",
    hint: "IPC_CREAT, IPC_EXCL ... or a number",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("IPC_CREAT", ShmFlags::CREAT.bits()),
        Named::flag("IPC_EXCL", ShmFlags::EXCL.bits()),
        Named::flag("SHM_HUGETLB", ShmFlags::HUGETLB.bits()),
        Named::flag("SHM_NORESERVE", 0o1_0000),
        Named::alias("IPC_PRIVATE", 0),
    ],
};

flags! {
    /// What a userfaultfd is opened with (`include/uapi/linux/userfaultfd.h`), without its prefix: `WP` is
    /// `UFFD_FEATURE_PAGEFAULT_FLAG_WP`. Features that are not named here are about other modes than write protection, or nobody's.
    UffdFeatures, UFFD: "a userfaultfd feature", "", zero None, hint "WP, WP_UNPOPULATED, WP_ASYNC, EVENT_FORK ... or a number";
    {
        /// Write protection, without which a range cannot be registered here.
        WP = 1 << 0;
        /// Children get a userfaultfd of their own, and keep the protection.
        EVENT_FORK = 1 << 1;
        /// Memory that is moved stays registered and protected.
        EVENT_REMAP = 1 << 2;
        /// Private pages that are not there can be protected too.
        WP_UNPOPULATED = 1 << 13;
        /// `uffd_poison` may be used; nothing depends on it.
        POISON = 1 << 14;
        /// A write lifts the protection of its page; includes `WP_UNPOPULATED`.
        WP_ASYNC = 1 << 15;
    }
}

impl UffdFeatures {
    /// All features of the kernels here (`UFFD_API_FEATURES`; 7.3 has more, of a mode that is not here).
    pub const KNOWN: Self = Self::from_bits_retain((1 << 17) - 1);
}

flags! {
    /// What a `PAGEMAP_SCAN` does beside scanning (`include/uapi/linux/fs.h`).
    PmScanFlags, PM_SCAN: "a flag of pagemap_scan", "PM_SCAN_", zero None, hint "PM_SCAN_WP_MATCHING, PM_SCAN_CHECK_WPASYNC or a number";
    {
        /// What is found and not write-protected becomes so, where `WP_ASYNC` is; other memory is passed over.
        WP_MATCHING = 1 << 0;
        /// Memory without `WP_ASYNC` is `EPERM`.
        CHECK_WPASYNC = 1 << 1;
    }
}

flags! {
    /// What a page is (`include/uapi/linux/fs.h`).
    PageCategories, PAGE_IS: "a category of pages", "PAGE_IS_", zero None, hint "PAGE_IS_WRITTEN, PAGE_IS_PRESENT, PAGE_IS_FILE ... or a number";
    {
        /// In memory that is registered with a userfaultfd that has `WP_ASYNC`.
        WPALLOWED = 1 << 0;
        /// Not write-protected by userfaultfd.
        WRITTEN = 1 << 1;
        /// Of a file or shared memory.
        FILE = 1 << 2;
        /// There.
        PRESENT = 1 << 3;
        /// A software entry of any kind.
        SWAPPED = 1 << 4;
        /// The zero page.
        PFNZERO = 1 << 5;
        /// Mapped by a huge leaf.
        HUGE = 1 << 6;
        /// Soft-dirty, of the entry or of its VMA.
        SOFT_DIRTY = 1 << 7;
        /// A guard.
        GUARD = 1 << 8;
        /// Accessed, in memory that a userfaultfd protects against reads too, which nothing here is.
        ACCESSED = 1 << 9;
    }
}

flags! {
    /// How a file is open, and what it is.
    FileMode, FMODE: "how a file is open", "FMODE_", zero None, hint "FMODE_READ, FMODE_WRITE, FMODE_NOEXEC, FMODE_NO_MMAP or a number";
    {
        /// Opened for reading. No mapping does without.
        READ = 1;
        /// Opened for writing: only so may a shared mapping of it ever be writable.
        WRITE = 2;
        /// Its file system is mounted `noexec`.
        NOEXEC = 4;
        /// It is not a thing to be mapped: a directory, a pipe, a terminal.
        NO_MMAP = 8;
    }
}

macro_rules! advice {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        /// The `advice` of madvise, by its number. One without a name is nobody's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Advice(u64);

        impl Advice {
            $($(#[$doc])* pub const $name: Self = Self($value);)*
        }

        /// Names of [`Advice`].
        pub const MADV: NameTable = NameTable {
            what: "advice for madvise()",
            prefix: "MADV_",
            hint: "one of MADV_DONTNEED, MADV_HUGEPAGE, MADV_FREE ... or a number",
            zero: Some("MADV_NORMAL"),
            style: Style::Single,
            entries: &[$(Named::flag(concat!("MADV_", stringify!($name)), $value),)*],
        };
    };
}

advice! {
    /// No special treatment.
    NORMAL = 0;
    /// Random access.
    RANDOM = 1;
    /// Sequential access.
    SEQUENTIAL = 2;
    /// Will be needed.
    WILLNEED = 3;
    /// Drop the contents now.
    DONTNEED = 4;
    /// The contents may be dropped.
    FREE = 8;
    /// Punch a hole in the file.
    REMOVE = 9;
    /// Not inherited at fork.
    DONTFORK = 10;
    /// Inherited at fork.
    DOFORK = 11;
    /// Offer to KSM.
    MERGEABLE = 12;
    /// Do not offer to KSM.
    UNMERGEABLE = 13;
    /// Huge pages are welcome.
    HUGEPAGE = 14;
    /// No huge pages.
    NOHUGEPAGE = 15;
    /// Leave out of core dumps.
    DONTDUMP = 16;
    /// Into core dumps.
    DODUMP = 17;
    /// Zero for the child at fork.
    WIPEONFORK = 18;
    /// Copied at fork.
    KEEPONFORK = 19;
    /// Not needed soon.
    COLD = 20;
    /// Write out now.
    PAGEOUT = 21;
    /// Fault in for reading.
    POPULATE_READ = 22;
    /// Fault in for writing.
    POPULATE_WRITE = 23;
    /// Drop, even where locked.
    DONTNEED_LOCKED = 24;
    /// Make huge pages now.
    COLLAPSE = 25;
    /// The pages fail.
    HWPOISON = 100;
    /// The pages are taken out of use.
    SOFT_OFFLINE = 101;
    /// Make the range fault fatally.
    GUARD_INSTALL = 102;
    /// Undo that.
    GUARD_REMOVE = 103;
}

impl Advice {
    /// The advice of this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Whether Linux has an advice of this number.
    #[must_use]
    pub fn is_known(self) -> bool {
        MADV.entries.iter().any(|named| named.value == self.0)
    }

    /// Whether it changes flags of mappings, and leaves their pages alone.
    #[must_use]
    pub const fn sets_flags(self) -> bool {
        matches!(
            self,
            Self::NORMAL
                | Self::RANDOM
                | Self::SEQUENTIAL
                | Self::DONTFORK
                | Self::DOFORK
                | Self::MERGEABLE
                | Self::UNMERGEABLE
                | Self::HUGEPAGE
                | Self::NOHUGEPAGE
                | Self::DONTDUMP
                | Self::DODUMP
                | Self::WIPEONFORK
                | Self::KEEPONFORK
        )
    }

    /// Its number.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl Param for Advice {
    type Value = Self;
    const KIND: Kind = Kind::Flags(&MADV);

    fn put(value: &Self) -> Value {
        Value::Number(value.0)
    }

    fn take(value: Value) -> Option<Self> {
        value.number().map(Self)
    }
}

/// Flags of `clone` and `clone3` (`include/uapi/linux/sched.h`); the lowest byte of `clone`'s is a [`SIGNAL`].
pub const CLONE: NameTable = NameTable {
    what: "a clone flag",
    prefix: "CLONE_",
    hint: "CLONE_VM, CLONE_VFORK ... or a number",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("CLONE_NEWTIME", 0x80),
        Named::flag("CLONE_VM", 0x100),
        Named::flag("CLONE_FS", 0x200),
        Named::flag("CLONE_FILES", 0x400),
        Named::flag("CLONE_SIGHAND", 0x800),
        Named::flag("CLONE_PIDFD", 0x1000),
        Named::flag("CLONE_PTRACE", 0x2000),
        Named::flag("CLONE_VFORK", 0x4000),
        Named::flag("CLONE_PARENT", 0x8000),
        Named::flag("CLONE_THREAD", 0x0001_0000),
        Named::flag("CLONE_NEWNS", 0x0002_0000),
        Named::flag("CLONE_SYSVSEM", 0x0004_0000),
        Named::flag("CLONE_SETTLS", 0x0008_0000),
        Named::flag("CLONE_PARENT_SETTID", 0x0010_0000),
        Named::flag("CLONE_CHILD_CLEARTID", 0x0020_0000),
        Named::flag("CLONE_DETACHED", 0x0040_0000),
        Named::flag("CLONE_UNTRACED", 0x0080_0000),
        Named::flag("CLONE_CHILD_SETTID", 0x0100_0000),
        Named::flag("CLONE_NEWCGROUP", 0x0200_0000),
        Named::flag("CLONE_NEWUTS", 0x0400_0000),
        Named::flag("CLONE_NEWIPC", 0x0800_0000),
        Named::flag("CLONE_NEWUSER", 0x1000_0000),
        Named::flag("CLONE_NEWPID", 0x2000_0000),
        Named::flag("CLONE_NEWNET", 0x4000_0000),
        Named::flag("CLONE_IO", 0x8000_0000),
        Named::flag("CLONE_CLEAR_SIGHAND", 0x0001_0000_0000),
        Named::flag("CLONE_INTO_CGROUP", 0x0002_0000_0000),
    ],
};

/// Signals (`include/uapi/asm-generic/signal.h`).
pub const SIGNAL: NameTable = NameTable {
    what: "a signal",
    prefix: "SIG",
    hint: "SIGSEGV, SIGBUS ... or a number",
    zero: None,
    style: Style::Single,
    entries: &[
        Named::flag("SIGHUP", 1),
        Named::flag("SIGINT", 2),
        Named::flag("SIGQUIT", 3),
        Named::flag("SIGILL", 4),
        Named::flag("SIGTRAP", 5),
        Named::flag("SIGABRT", 6),
        Named::flag("SIGBUS", 7),
        Named::flag("SIGFPE", 8),
        Named::flag("SIGKILL", 9),
        Named::flag("SIGUSR1", 10),
        Named::flag("SIGSEGV", 11),
        Named::flag("SIGUSR2", 12),
        Named::flag("SIGPIPE", 13),
        Named::flag("SIGALRM", 14),
        Named::flag("SIGTERM", 15),
        Named::flag("SIGSTKFLT", 16),
        Named::flag("SIGCHLD", 17),
        Named::flag("SIGCONT", 18),
        Named::flag("SIGSTOP", 19),
        Named::flag("SIGTSTP", 20),
        Named::flag("SIGTTIN", 21),
        Named::flag("SIGTTOU", 22),
        Named::flag("SIGURG", 23),
        Named::flag("SIGXCPU", 24),
        Named::flag("SIGXFSZ", 25),
        Named::flag("SIGVTALRM", 26),
        Named::flag("SIGPROF", 27),
        Named::flag("SIGWINCH", 28),
        Named::flag("SIGIO", 29),
        Named::flag("SIGPWR", 30),
        Named::flag("SIGSYS", 31),
        Named::alias("SIGIOT", 6),
        Named::alias("SIGPOLL", 29),
    ],
};

/// The options of `prctl` that concern memory, and what their arguments are called (`include/uapi/linux/prctl.h`).
pub const PR: NameTable = NameTable {
    what: "a prctl option",
    prefix: "PR_",
    hint: "PR_SET_VMA, PR_SET_THP_DISABLE ... or a number",
    zero: None,
    style: Style::Single,
    entries: &[
        Named::flag("PR_SET_THP_DISABLE", 41),
        Named::flag("PR_GET_THP_DISABLE", 42),
        Named::flag("PR_SET_VMA", 0x5356_4d41),
        Named::alias("PR_SET_VMA_ANON_NAME", 0),
        Named::alias("PR_THP_DISABLE_EXCEPT_ADVISED", 2),
    ],
};

/// All tables of which scenarios use names.
pub const TABLES: [&NameTable; 14] = [
    &PROT, &MAP, &MADV, &MREMAP, &MLOCK, &MCL, &MS, &UFFD, &PM_SCAN, &PAGE_IS, &SHMGET, &SHMAT, &PKEY, &FMODE,
];

/// Tables of names that only logs of real programs print.
pub const LOGGED: [&NameTable; 3] = [&CLONE, &SIGNAL, &PR];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_by_name_and_leave_the_rest_in_hex() {
        assert_eq!(PROT.text(0).to_string(), "PROT_NONE");
        assert_eq!(PROT.text(0x43).to_string(), "PROT_READ|PROT_WRITE|0x40");
        assert_eq!(MAP.text(0x23).to_string(), "MAP_SHARED_VALIDATE|MAP_ANONYMOUS");
        assert_eq!(MREMAP.text(0).to_string(), "0");
        assert_eq!(MADV.text(4).to_string(), "MADV_DONTNEED");
        assert_eq!(MADV.text(77).to_string(), "77");
        assert_eq!(SIGNAL.text(17).to_string(), "SIGCHLD");
    }

    #[test]
    fn a_field_of_several_bits_prints_whole_or_as_a_number() {
        assert_eq!(MAP.text(0x4_0000 | (21 << 26)).to_string(), "MAP_HUGETLB|MAP_HUGE_2MB");
        assert_eq!(MAP.text(15 << 26).to_string(), "0x3c000000");
        assert_eq!(MAP.text(1 << 26).to_string(), "MAP_UNINITIALIZED");
        assert_eq!(MAP.text(0x7).to_string(), "0x7");
    }

    #[test]
    fn every_name_is_found_whole_and_without_its_prefix() {
        for table in TABLES.into_iter().chain(LOGGED) {
            for entry in table.entries {
                let short = entry.name.strip_prefix(table.prefix).expect("begins with its table's prefix");
                assert_eq!(table.value(entry.name), Some(entry.value));
                assert_eq!(table.short_value(short), Some(entry.value));
            }
        }
        assert_eq!(CLONE.value("CLONE_THREAD"), Some(0x1_0000));
        assert_eq!(CLONE.short_value("CLONE_VM"), None);
    }
}
