//! The calls.

use crate::param::{
    AccessWord, Addr, Byte, Bytes, ClearRefs, Fd, Key, Len, MaxPages, ModeWord, Name, NewAddr, NewLen, Node,
    Nodes, Offset, OrNone, OrZero, Order, Path, Pkey, Plain, Ranges, Segment, ShmgetFlags, Status,
    SwitchWord, ThpSize, TimingWord,
};
use crate::{
    Advice, FileMode, Kind, MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags, PageCategories, Param,
    PkeyRights, PmScanFlags, Prot, ShmFlags, Slot, UffdFeatures, Value,
};
use std::fmt;

/// A call that can be made, as a table of calls says it.
#[derive(Debug)]
pub struct Form {
    /// The name before the parenthesis.
    pub name: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// The parameters, in order.
    pub params: &'static [Slot],
    /// What kind of call it is.
    pub class: Class,
    /// The call with these arguments, one a parameter and of its kind; nothing where one is of another kind or out of bounds.
    pub build: fn(Vec<Value>) -> Option<Call>,
}

/// What kind of call a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A system call about memory, of this name and with these arguments, which any kernel can be asked for.
    Memory,
    /// Accesses to memory. They end at the first that gets a signal, so their length need not be mapped.
    Access,
    /// A system call about processes.
    Process,
    /// Whatever else changes what memory is and a real kernel can be asked for: files under /proc and /sys, ioctls.
    Control,
    /// What only an emulated machine can be asked for: on a real one nothing but a driver could do it, or it would be about the
    /// memory of the program that plays.
    Emulated,
    /// A setting of the machine.
    Setting,
    /// What was there before anybody looked.
    Given,
    /// Nothing that a kernel does.
    Look,
}

macro_rules! calls {
    ($($class:ident {
        $($(#[doc = $doc:literal])+ $call:ident = $name:literal { $($field:ident $(as $label:literal)?: $param:ty),* };)*
    })*) => {
        /// A call with its arguments: addresses and lengths in bytes.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields are named as in the calls' manual pages")]
        pub enum Call {
            $($($(#[doc = $doc])+ $call { $($field: <$param as Param>::Value),* },)*)*
        }

        /// Every call that can be made, in the order in which a message lists them.
        pub static FORMS: &[Form] = &[$($(Form {
            name: $name,
            doc: concat!($($doc),+).trim_ascii(),
            params: &[$(Slot {
                name: label!($field $(, $label)?),
                kind: <$param as Param>::KIND,
                optional: <$param as Param>::OPTIONAL,
            }),*],
            class: Class::$class,
            build: |values| {
                #[allow(unused_mut, unused_variables, reason = "some calls have no parameters")]
                let mut values = values.into_iter();
                Some(Call::$call { $($field: <$param as Param>::take(values.next()?)?),* })
            },
        },)*)*];

        /// The place of each call's form.
        #[derive(Clone, Copy)]
        enum Place { $($($call,)*)* }

        impl Call {
            const fn place(&self) -> Place {
                match self { $($(Self::$call { .. } => Place::$call,)*)* }
            }

            /// Its arguments, one a parameter of its [`form`](Self::form).
            #[must_use]
            pub fn values(&self) -> Vec<Value> {
                match self {
                    $($(Self::$call { $($field),* } => vec![$(<$param as Param>::put($field)),*],)*)*
                }
            }
        }
    };
}

/// The name of a parameter: its field's, unless that cannot be one.
macro_rules! label {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $label:literal) => {
        $label
    };
}

calls! {
    Memory {
        /// mmap(2). Maps a file where `flags` lack `MAP_ANONYMOUS` and `fd` is open. A given address is exact:
        /// where something is mapped already, EEXIST.
        Mmap = "mmap" { addr: Addr, len: Len, prot: Prot, flags: MapFlags, fd: Fd, offset: Offset };
        /// munmap(2)
        Munmap = "munmap" { addr: Addr, len: Len };
        /// mprotect(2)
        Mprotect = "mprotect" { addr: Addr, len: Len, prot: Prot };
        /// madvise(2)
        Madvise = "madvise" { addr: Addr, len: Len, advice: Advice };
        /// mremap(2)
        Mremap = "mremap" {
            old_addr: Addr, old_len: Len, new_len: NewLen, flags: MremapFlags, new_addr: OrZero<NewAddr>
        };
    }
    Access {
        /// Writes `byte` to every byte.
        Memset = "memset" { addr: Addr, byte: Byte, len: Len };
        /// Writes zero to every byte.
        ExplicitBzero = "explicit_bzero" { addr: Addr, len: Len };
        /// One access to each page.
        Touch = "touch" { addr: Addr, len: Len, access: AccessWord };
        /// Reads one byte. Any value but `byte` is an unexpected result, as is a signal that no `=` expects.
        Check = "check" { addr: Addr, byte: Byte };
    }
    Process {
        /// fork(2). Children are numbered from 2, in the order of their forks.
        Fork = "fork" {};
        /// exit_group(2). Ends a process; its address space goes with the last process that shares it.
        ExitGroup = "exit_group" { status: Status };
    }
    Setting {
        /// Sets when the kernel uses huge pages of one size, as sysfs does.
        Thp = "thp" { size: ThpSize, mode: ModeWord };
    }
    Control {
        /// A write to /proc/PID/clear_refs. 4 clears soft-dirty.
        ClearRefs = "clear_refs" { what: ClearRefs };
        /// Registers a range for write protection with a userfaultfd that has these features and
        /// `UFFD_FEATURE_SIGBUS`.
        Uffd = "uffd" { addr: Addr, len: Len, features: UffdFeatures };
        /// `UFFDIO_UNREGISTER`
        UffdUnregister = "uffd_unregister" { addr: Addr, len: Len };
        /// `UFFDIO_WRITEPROTECT`
        UffdWp = "uffd_wp" { addr: Addr, len: Len, how as "switch": SwitchWord };
        /// `UFFDIO_POISON`. Accesses to pages that are not there end in SIGBUS.
        UffdPoison = "uffd_poison" { addr: Addr, len: Len };
        /// `ioctl(PAGEMAP_SCAN)`. Finds pages that have all categories of `mask`; returns how many regions they
        /// form, by their categories of `return`.
        PagemapScan = "pagemap_scan" {
            addr: Addr, len: Len, flags: PmScanFlags, mask: PageCategories, returned as "return": PageCategories,
            max_pages: OrZero<MaxPages>
        };
        /// Reclaims memory, as `MADV_PAGEOUT` does.
        Reclaim = "reclaim" { addr: Addr, len: Len };
        /// Splits the folio mapped at an address into folios of the given order.
        SplitFolio = "split_folio" { addr: Addr, order: Order };
    }
    Setting {
        /// Sets the number of memory nodes.
        Numa = "numa" { nodes: Nodes };
        /// Sets the node of the process's new pages, which its children inherit; 64 stands for the node of the CPU.
        NumaAlloc = "numa_alloc" { node: Node };
    }
    Control {
        /// One pass of NUMA hinting protection.
        NumaScan = "numa_scan" { addr: Addr, len: Len };
        /// swapon(2) of a disk in memory. From then on `MADV_PAGEOUT` writes pages to swap.
        Swapon = "swapon" { size: Bytes };
        /// Starts to migrate the folios of a range: every mapping of them becomes a migration entry.
        MigrateBegin = "migrate_begin" { addr: Addr, len: Len };
        /// Ends the migration: entries point to the new folios.
        MigrateEnd = "migrate_end" { addr: Addr, len: Len };
        /// Marks a page as failed, as `MADV_HWPOISON` does.
        Hwpoison = "hwpoison" { addr: Addr };
        /// Takes a page out of use before it fails, as `MADV_SOFT_OFFLINE` does. Its contents move to another
        /// page.
        SoftOffline = "soft_offline" { addr: Addr };
    }
    Look {
        /// Takes a named snapshot of a range.
        Dump = "dump" { addr: Addr, len: Len, name: Name };
        /// Says that the scenario is for pages of this size. Other machines are left out, or refuse it with
        /// EINVAL.
        Page = "page" { size: Bytes };
        /// Marks where the timed part begins and ends.
        Time = "time" { on as "switch": TimingWord };
    }
    Memory {
        /// mlock(2). There is no `RLIMIT_MEMLOCK`, here and below.
        Mlock = "mlock" { addr: Addr, len: Len };
        /// mlock2(2)
        Mlock2 = "mlock2" { addr: Addr, len: Len, flags: MlockFlags };
        /// munlock(2)
        Munlock = "munlock" { addr: Addr, len: Len };
        /// mlockall(2)
        Mlockall = "mlockall" { flags: MclFlags };
        /// munlockall(2)
        Munlockall = "munlockall" {};
        /// msync(2). Nothing is written back.
        Msync = "msync" { addr: Addr, len: Len, flags: MsFlags };
        /// pkey_alloc(2). Returns the key.
        PkeyAlloc = "pkey_alloc" { flags: Plain, rights: PkeyRights };
        /// pkey_free(2)
        PkeyFree = "pkey_free" { pkey: Pkey };
        /// pkey_mprotect(2). Its key permits what `pkey_alloc` said.
        PkeyMprotect = "pkey_mprotect" { addr: Addr, len: Len, prot: Prot, pkey: Pkey };
        /// mseal(2). Seals mappings against change.
        Mseal = "mseal" { addr: Addr, len: Len, flags: Plain };
    }
    Emulated {
        /// Moves private pages to the memory of a device. Large folios are split first.
        DevicePrivate = "device_private" { addr: Addr, len: Len };
        /// Gives a device exclusive access to a page, until the next access by the CPU.
        DeviceExclusive = "device_exclusive" { addr: Addr };
        /// brk(2), the system call: returns the new end of the heap; 0 asks for it.
        Brk = "brk" { addr: OrZero<NewAddr> };
        /// mincore(2), without its vector.
        Mincore = "mincore" { addr: Addr, len: Len };
        /// process_madvise(2) of a process on itself. Returns the number of bytes advised.
        ProcessMadvise = "process_madvise" { ranges: Ranges, advice: Advice, flags: Plain };
        /// `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)`. Without a name it removes the name.
        SetVmaAnonName = "set_vma_anon_name" { addr: Addr, len: Len, name: OrNone<Name> };
        /// `prctl(PR_SET_THP_DISABLE)`
        SetThpDisable = "set_thp_disable" { on: Plain, flags: OrZero<Plain> };
        /// `prctl(PR_GET_THP_DISABLE)`
        GetThpDisable = "get_thp_disable" {};
        /// shmget(2). Returns the segment.
        Shmget = "shmget" { key: Key, size: Bytes, flags: ShmgetFlags };
        /// shmat(2). Returns the address.
        Shmat = "shmat" { id: Segment, addr: Addr, flags: ShmFlags };
        /// shmdt(2)
        Shmdt = "shmdt" { addr: Addr };
        /// `shmctl(IPC_RMID)`
        ShmRmid = "shm_rmid" { id: Segment };
    }
    Emulated {
        /// clone(2) with `CLONE_VM`, as threads and vfork(2) use it. The child shares the address space until it
        /// calls execve or exits.
        CloneVm = "clone_vm" {};
        /// execve(2). The process gets an empty address space.
        Execve = "execve" {};
    }
    Given {
        /// Opens a file and returns its descriptor. With a size, accesses past its end get SIGBUS; without one,
        /// the size is unknown.
        Open = "open" { path: Path, mode: FileMode, size: OrNone<Bytes> };
        /// pwrite(2) of `len` bytes of one value.
        Pwrite = "pwrite" { fd: Fd, byte: Byte, len: Bytes, offset: Offset };
        /// A mapping from before the scenario begins, with no pages yet; its arguments are those of mmap. A name
        /// stands for memory of the kernel, as `[vdso]`; `MAP_GROWSDOWN` for the first stack.
        Adopt = "adopt" {
            addr: Addr, len: Len, prot: Prot, flags: MapFlags, fd: Fd, offset: Offset, name: OrNone<Name>
        };
        /// Sets where the heap begins and ends, as execve does. `brk(0)` returns the end.
        SetBrk = "set_brk" { start: NewAddr, end: NewAddr };
        /// Maps the first stack of a program: `size` bytes that end at `top` and grow on access.
        SetupStack = "setup_stack" { top: NewAddr, size: Bytes };
    }
}

impl Form {
    /// The form of the call of this name, if there is one.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        FORMS.iter().find(|form| form.name == name)
    }
}

/// The parameters of a form as a message shows them: `old_addr, old_len, new_len, flags[, new_addr]`.
#[derive(Debug)]
pub struct Params<'a>(pub &'a [Slot]);

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, slot) in self.0.iter().enumerate() {
            match (i, slot.optional) {
                (0, false) => write!(f, "{}", slot.name)?,
                (0, true) => write!(f, "[{}]", slot.name)?,
                (_, false) => write!(f, ", {}", slot.name)?,
                (_, true) => write!(f, "[, {}]", slot.name)?,
            }
        }
        Ok(())
    }
}

impl Call {
    /// What the table of calls says of it.
    #[must_use]
    pub fn form(&self) -> &'static Form {
        &FORMS[self.place() as usize]
    }

    /// The name before the parenthesis.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.form().name
    }

    /// The same call with other arguments: `change` is given each parameter and its argument.
    #[must_use]
    pub fn map(&self, mut change: impl FnMut(&Slot, Value) -> Value) -> Self {
        let form = self.form();
        let values = form.params.iter().zip(self.values()).map(|(slot, value)| change(slot, value)).collect();
        (form.build)(values).unwrap_or_else(|| self.clone())
    }

    fn argument(&self, kind: Kind) -> Option<u64> {
        let mut arguments = self.form().params.iter().zip(self.values());
        arguments.find(|(slot, _)| slot.kind == kind)?.1.number()
    }

    /// Where its range begins and how many bytes it has: none where it has an address only.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        let addr = self.argument(Kind::Addr)?;
        Some((addr, self.argument(Kind::Len).unwrap_or(0)))
    }

    /// All memory that it names, as addresses and lengths: its range, where that goes, and what stands in a list.
    #[must_use]
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let (new_addr, new_len) = (self.argument(Kind::NewAddr), self.argument(Kind::NewLen));
        let listed = self.values().into_iter().find_map(Ranges::take).unwrap_or_default();
        let main = self.range().map(|(addr, len)| match self.form().class {
            Class::Access => (addr, 1),
            _ => (addr, len.max(new_len.unwrap_or(0))),
        });
        let new = new_addr.map(|addr| (addr, new_len.unwrap_or(0)));
        main.into_iter().chain(new).chain(listed).collect()
    }

    /// The same call on another range. What its range would become grows and shrinks with it.
    #[must_use]
    pub fn with_range(&self, (addr, len): (u64, u64)) -> Self {
        self.map(|slot, value| match slot.kind {
            Kind::Addr => Value::Number(addr),
            Kind::Len | Kind::NewLen => Value::Number(len),
            _ => value,
        })
    }

    /// The call as a kernel is to get it: an address that is given is meant exactly, or not at all.
    #[must_use]
    pub fn placed(&self) -> Self {
        match *self {
            Self::Mmap { addr, len, prot, flags, fd, offset } => {
                Self::Mmap { addr, len, prot, flags: flags.placed(addr), fd, offset }
            }
            ref call => call.clone(),
        }
    }

    /// The same call with every address as `move_to` says.
    #[must_use]
    pub fn moved(&self, move_to: impl Fn(u64) -> u64) -> Self {
        self.map(|slot, value| match (slot.kind, value) {
            (Kind::Addr | Kind::NewAddr, Value::Number(addr)) => Value::Number(move_to(addr)),
            (_, Value::Ranges(ranges)) => {
                Value::Ranges(ranges.into_iter().map(|(addr, len)| (move_to(addr), len)).collect())
            }
            (_, value) => value,
        })
    }

    /// Whether it returns an address that moves with its own.
    #[must_use]
    pub const fn returns_address(&self) -> bool {
        matches!(self, Self::Mmap { .. } | Self::Mremap { .. } | Self::Brk { .. } | Self::Shmat { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_built_from_its_own_arguments() {
        for form in FORMS {
            let value = |slot: &Slot| match slot.kind {
                Kind::Int(_) => Value::Int(-1),
                Kind::Text(_) => Value::Text("name".to_owned()),
                Kind::ThpKey => Value::ThpKey(crate::ThpKey::Kb(64)),
                Kind::Ranges => Value::Ranges(vec![(4096, 4096)]),
                _ => Value::Number(1),
            };
            let values: Vec<_> = form.params.iter().map(value).collect();
            let call = (form.build)(values.clone()).expect(form.name);
            assert_eq!((call.name(), call.values()), (form.name, values));
        }
    }

    #[test]
    fn arguments_of_another_kind_build_nothing() {
        let build = Form::find("memset").expect("there is such a call").build;
        assert_eq!(build(vec![Value::Number(1), Value::Number(256), Value::Number(1)]), None);
        assert_eq!(build(vec![Value::Number(1), Value::Int(1), Value::Number(1)]), None);
        assert_eq!(build(vec![Value::Number(1)]), None);
    }

    #[test]
    fn what_may_be_left_out_comes_last() {
        for form in FORMS {
            let first = form.params.iter().position(|slot| slot.optional).unwrap_or(form.params.len());
            assert!(form.params[first..].iter().all(|slot| slot.optional), "{}", form.name);
        }
        let params = Form::find("mremap").expect("there is such a call").params;
        assert_eq!(Params(params).to_string(), "old_addr, old_len, new_len, flags[, new_addr]");
    }

    #[test]
    fn ranges_are_those_that_the_table_says() {
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        let call = Call::Mremap { old_addr: 0x1000, old_len: 4096, new_len: 8192, flags, new_addr: 0x9000 };
        assert_eq!(call.range(), Some((0x1000, 4096)));
        assert_eq!(call.ranges(), [(0x1000, 8192), (0x9000, 8192)]);
        assert_eq!(call.moved(|addr| addr + 1).ranges(), [(0x1001, 8192), (0x9001, 8192)]);
        let Call::Mremap { old_len, new_len, .. } = call.with_range((0, 16)) else { panic!("still mremap") };
        assert_eq!((old_len, new_len), (16, 16));
        assert_eq!(Call::Memset { addr: 8, byte: 0, len: 1 << 40 }.ranges(), [(8, 1)]);
        assert_eq!(Call::Hwpoison { addr: 4096 }.range(), Some((4096, 0)));
        assert_eq!(Call::Fork {}.range(), None);
    }
}
