//! The calls that a scenario can make.

/// A call with its arguments: addresses and lengths in bytes, flags as the kernel's own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the calls' manual pages")]
pub enum Call {
    /// `thp(SIZE, MODE)`: when the kernel uses huge pages of one size.
    Thp { size: ThpKey, mode: ThpMode },
    /// `mmap(ADDR, LEN, PROT, FLAGS, FD, OFFSET)`
    Mmap { addr: u64, len: u64, prot: u64, flags: u64, fd: i32, offset: u64 },
    /// `munmap(ADDR, LEN)`
    Munmap { addr: u64, len: u64 },
    /// `mprotect(ADDR, LEN, PROT)`
    Mprotect { addr: u64, len: u64, prot: u64 },
    /// `madvise(ADDR, LEN, ADVICE)`
    Madvise { addr: u64, len: u64, advice: u64 },
    /// `mremap(OLD_ADDR, OLD_LEN, NEW_LEN, FLAGS[, NEW_ADDR])`; a new address left out is 0.
    Mremap { old_addr: u64, old_len: u64, new_len: u64, flags: u64, new_addr: u64 },
    /// `memset(ADDR, BYTE, LEN)`: writes every byte.
    Memset { addr: u64, byte: u8, len: u64 },
    /// `explicit_bzero(ADDR, LEN)`: writes zero to every byte.
    ExplicitBzero { addr: u64, len: u64 },
    /// `touch(ADDR, LEN, ACCESS)`: one access per page.
    Touch { addr: u64, len: u64, access: Access },
    /// `check(ADDR, BYTE)`: reads one byte and holds it against BYTE.
    Check { addr: u64, byte: u8 },
    /// `fork()`: children are numbered from 2, in the order in which they are made.
    Fork,
    /// `exit_group(STATUS)`
    ExitGroup { status: i32 },
    /// `clear_refs(WHAT)`: a write to `/proc/PID/clear_refs`, 1 to 5; 4 clears soft-dirty.
    ClearRefs { what: u8 },
    /// `uffd(ADDR, LEN, FEATURES)`: registers a range with a userfaultfd that has these features.
    Uffd { addr: u64, len: u64, features: u64 },
    /// `uffd_unregister(ADDR, LEN)`
    UffdUnregister { addr: u64, len: u64 },
    /// `uffd_wp(ADDR, LEN, on|off)`: userfaultfd write protection of a registered range.
    UffdWp { addr: u64, len: u64, how: Switch },
    /// `uffd_poison(ADDR, LEN)`: makes accesses to pages that are not there end in SIGBUS.
    UffdPoison { addr: u64, len: u64 },
    /// `pagemap_scan(ADDR, LEN, FLAGS, MASK, RETURN[, MAX_PAGES])`: finds pages of all categories in MASK, and returns how
    /// many regions of them there are that have the same categories of RETURN; 0 pages, or none given, is no limit.
    PagemapScan { addr: u64, len: u64, flags: u64, mask: u64, returned: u64, max_pages: u64 },
    /// `reclaim(ADDR, LEN)`: reclaims what `MADV_FREE` gave up.
    Reclaim { addr: u64, len: u64 },
    /// `split_folio(ADDR, ORDER)`: splits the folio that is mapped at ADDR into folios of an order.
    SplitFolio { addr: u64, order: u8 },
    /// `numa(NODES)`: how many memory nodes there are, 1 to 64.
    Numa { nodes: u8 },
    /// `numa_alloc(NODE)`: where new pages go, 0 to 63; 64 is the node of the CPU.
    NumaAlloc { node: u8 },
    /// `numa_scan(ADDR, LEN)`: one pass of NUMA-hinting protection.
    NumaScan { addr: u64, len: u64 },
    /// `swapon(SIZE)`: a swap device, a disk in memory.
    Swapon { size: u64 },
    /// `migrate_begin(ADDR, LEN)`: folios there are on their way, for whoever maps them.
    MigrateBegin { addr: u64, len: u64 },
    /// `migrate_end(ADDR, LEN)`: they have arrived.
    MigrateEnd { addr: u64, len: u64 },
    /// `device_private(ADDR, LEN)`: pages there go to a device's memory.
    DevicePrivate { addr: u64, len: u64 },
    /// `device_exclusive(ADDR)`: a device has the page alone.
    DeviceExclusive { addr: u64 },
    /// `hwpoison(ADDR)`: the page fails.
    Hwpoison { addr: u64 },
    /// `dump(ADDR, LEN, "NAME")`: a named snapshot.
    Dump { addr: u64, len: u64, name: String },
    /// `time("on")` and `time("off")`: bounds of the part that is timed; does nothing to memory.
    Time { on: Timing },
}

/// Which switch a `thp` call sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThpKey {
    /// `"enabled"`: the switch that sizes set to inherit follow.
    Enabled,
    /// `"64kB"`: one size, in units of 1024 bytes. Whether a machine has the size is found out when the call runs.
    Kb(u64),
}

/// When the kernel uses huge pages of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThpMode {
    /// Wherever they fit.
    Always,
    /// Where `madvise` asked for them.
    Madvise,
    /// As the `"enabled"` switch says; only for a size.
    Inherit,
    /// Nowhere.
    Never,
}

/// The direction of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `READ`
    Read,
    /// `WRITE`
    Write,
}

/// Which bound of the timed part a `time` call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timing {
    /// `"on"`: it begins.
    On,
    /// `"off"`: it ends.
    Off,
}

/// Whether something goes on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// `on`
    On,
    /// `off`
    Off,
}

impl Switch {
    /// The word that a scenario knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl Call {
    /// The name before the parenthesis.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Thp { .. } => "thp",
            Self::Mmap { .. } => "mmap",
            Self::Munmap { .. } => "munmap",
            Self::Mprotect { .. } => "mprotect",
            Self::Madvise { .. } => "madvise",
            Self::Mremap { .. } => "mremap",
            Self::Memset { .. } => "memset",
            Self::ExplicitBzero { .. } => "explicit_bzero",
            Self::Touch { .. } => "touch",
            Self::Check { .. } => "check",
            Self::Fork => "fork",
            Self::ExitGroup { .. } => "exit_group",
            Self::ClearRefs { .. } => "clear_refs",
            Self::Uffd { .. } => "uffd",
            Self::UffdUnregister { .. } => "uffd_unregister",
            Self::UffdWp { .. } => "uffd_wp",
            Self::UffdPoison { .. } => "uffd_poison",
            Self::PagemapScan { .. } => "pagemap_scan",
            Self::Reclaim { .. } => "reclaim",
            Self::SplitFolio { .. } => "split_folio",
            Self::Numa { .. } => "numa",
            Self::NumaAlloc { .. } => "numa_alloc",
            Self::NumaScan { .. } => "numa_scan",
            Self::Swapon { .. } => "swapon",
            Self::MigrateBegin { .. } => "migrate_begin",
            Self::MigrateEnd { .. } => "migrate_end",
            Self::DevicePrivate { .. } => "device_private",
            Self::DeviceExclusive { .. } => "device_exclusive",
            Self::Hwpoison { .. } => "hwpoison",
            Self::Dump { .. } => "dump",
            Self::Time { .. } => "time",
        }
    }
}

impl ThpMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Always, Self::Madvise, Self::Inherit, Self::Never];

    /// The word that sysfs knows the mode by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Madvise => "madvise",
            Self::Inherit => "inherit",
            Self::Never => "never",
        }
    }
}

impl Access {
    /// The word that a scenario knows the access by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
        }
    }
}

impl Timing {
    /// The word that a scenario knows the bound by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}
