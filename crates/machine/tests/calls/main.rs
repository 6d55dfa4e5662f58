//! What calls do to the VMAs and pages of processes, on every port.

mod brk;
mod files;
mod hardware;
mod migration;
mod mlock;
mod names;
mod numa;
mod places;
mod processes;
mod stack;
mod sync;
mod uffd;

use ptelab_machine::mm::Kernel;
use ptelab_machine::pgtable::PlainHw;
use ptelab_machine::pgtable::laws::PortFacts;
use ptelab_machine::{
    Access, Advice, Backend, Builder, Call, CallError, Config, CpuConfig, Errno, FileMode, KernelRules,
    MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags, Outcome, Pid, PkeyRights, PortVisitor, Prot,
    ShmFlags, SigCode, SigInfo, Signal, Switch, ThpKey, ThpMode, UffdFeatures, mm, ports, visit_port,
};
use std::marker::PhantomData;

pub(crate) const PAGE: u64 = 4096;
pub(crate) const BASE: u64 = 0x5000_0000;
pub(crate) const RW: Prot = Prot::READ.union(Prot::WRITE);
pub(crate) const RX: Prot = Prot::READ.union(Prot::EXEC);
pub(crate) const FIXED: MapFlags = MapFlags::FIXED;
pub(crate) const PRIVATE: MapFlags = MapFlags::PRIVATE.union(MapFlags::FIXED);
pub(crate) const SHARED: MapFlags = MapFlags::SHARED.union(MapFlags::FIXED);
pub(crate) const ANON: MapFlags = PRIVATE.union(MapFlags::ANONYMOUS);

/// What a call's number is: a call that returns nothing returns 0.
trait Returned {
    fn of(number: u64) -> Self;
}

impl Returned for () {
    fn of(number: u64) {
        assert_eq!(number, 0);
    }
}

macro_rules! returned {
    ($($number:ty)*) => {
        $(impl Returned for $number {
            fn of(number: u64) -> Self {
                number.try_into().expect("what it returns is of this type")
            }
        })*
    };
}

returned! { u8 i32 u32 u64 }

fn returned<T: Returned>(outcome: Outcome) -> Result<T, CallError> {
    outcome.result().map(T::of)
}

macro_rules! calls {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty = $call:ident { $($fields:tt)* };)*) => {
        /// Calls, as short as C has them.
        pub(crate) trait Calls {
            $(fn $name(&mut self, pid: Pid, $($arg: $type),*) -> Result<$out, CallError>;)*
        }

        impl Calls for dyn Backend + '_ {
            $(fn $name(&mut self, pid: Pid, $($arg: $type),*) -> Result<$out, CallError> {
                returned(self.call(pid, &Call::$call { $($fields)* }))
            })*
        }
    };
}

calls! {
    mmap(addr: u64, len: u64, prot: Prot, flags: MapFlags) -> u64 =
        Mmap { addr, len, prot, flags, fd: -1, offset: 0 };
    mmap_file(addr: u64, len: u64, prot: Prot, flags: MapFlags, from: (i32, u64)) -> u64 =
        Mmap { addr, len, prot, flags, fd: from.0, offset: from.1 };
    munmap(addr: u64, len: u64) -> () = Munmap { addr, len };
    mprotect(addr: u64, len: u64, prot: Prot) -> () = Mprotect { addr, len, prot };
    madvise(addr: u64, len: u64, advice: Advice) -> () = Madvise { addr, len, advice };
    mremap(old_addr: u64, old_len: u64, new_len: u64, flags: MremapFlags, new_addr: u64) -> u64 =
        Mremap { old_addr, old_len, new_len, flags, new_addr };
    brk(addr: u64) -> u64 = Brk { addr };
    mlock(addr: u64, len: u64) -> () = Mlock { addr, len };
    mlock2(addr: u64, len: u64, flags: MlockFlags) -> () = Mlock2 { addr, len, flags };
    munlock(addr: u64, len: u64) -> () = Munlock { addr, len };
    mlockall(flags: MclFlags) -> () = Mlockall { flags };
    munlockall() -> () = Munlockall {};
    msync(addr: u64, len: u64, flags: MsFlags) -> () = Msync { addr, len, flags };
    process_madvise(ranges: &[(u64, u64)], advice: Advice, flags: u64) -> u64 =
        ProcessMadvise { ranges: ranges.to_vec(), advice, flags };
    pkey_alloc(flags: u64, rights: PkeyRights) -> i32 = PkeyAlloc { flags, rights };
    pkey_free(pkey: i32) -> () = PkeyFree { pkey };
    pkey_mprotect(addr: u64, len: u64, prot: Prot, pkey: i32) -> () = PkeyMprotect { addr, len, prot, pkey };
    mseal(addr: u64, len: u64, flags: u64) -> () = Mseal { addr, len, flags };
    set_anon_vma_name(addr: u64, len: u64, name: Option<&str>) -> () =
        SetVmaAnonName { addr, len, name: name.map(str::to_owned) };
    set_thp_disable(on: u64, flags: u64) -> () = SetThpDisable { on, flags };
    thp_disable() -> u64 = GetThpDisable {};
    shmget(key: u32, size: u64, flags: ShmFlags) -> i32 = Shmget { key, size, flags };
    shmat(id: i32, addr: u64, flags: ShmFlags) -> u64 = Shmat { id, addr, flags };
    shmdt(addr: u64) -> () = Shmdt { addr };
    shm_rmid(id: i32) -> () = ShmRmid { id };
    memset(addr: u64, byte: u8, len: u64) -> () = Memset { addr, byte, len };
    touch(addr: u64, len: u64, access: Access) -> () = Touch { addr, len, access };
    read_byte(addr: u64) -> u8 = Check { addr, byte: 0 };
    fork() -> Pid = Fork {};
    clone_vm() -> Pid = CloneVm {};
    execve() -> () = Execve {};
    exit() -> () = ExitGroup { status: 0 };
    clear_refs(what: u8) -> () = ClearRefs { what };
    uffd_register(addr: u64, len: u64, features: UffdFeatures) -> () = Uffd { addr, len, features };
    uffd_wp(addr: u64, len: u64, how: Switch) -> () = UffdWp { addr, len, how };
    uffd_poison(addr: u64, len: u64) -> () = UffdPoison { addr, len };
    migrate_begin(addr: u64, len: u64) -> () = MigrateBegin { addr, len };
    migrate_end(addr: u64, len: u64) -> () = MigrateEnd { addr, len };
    thp_size(kb: u64, mode: ThpMode) -> () = Thp { size: ThpKey::Kb(kb), mode };
    numa(nodes: u8) -> () = Numa { nodes };
    numa_alloc(node: u8) -> () = NumaAlloc { node };
    numa_scan(addr: u64, len: u64) -> () = NumaScan { addr, len };
    pwrite(fd: i32, byte: u8, len: u64, offset: u64) -> () = Pwrite { fd, byte, len, offset };
    adopt(range: (u64, u64), prot: Prot, flags: MapFlags, from: (i32, u64), name: Option<&str>) -> () = Adopt {
        addr: range.0, len: range.1, prot, flags, fd: from.0, offset: from.1, name: name.map(str::to_owned)
    };
    set_brk(start: u64, end: u64) -> () = SetBrk { start, end };
    setup_stack(top: u64, size: u64) -> () = SetupStack { top, size };
}

const MEMORY: u64 = 64 << 20;

/// Does something on a machine of every port and every kernel.
pub(crate) fn everywhere(test: impl Fn(&mut dyn Backend)) {
    for port in ports() {
        for rules in KernelRules::ALL {
            test(&mut *machine(port.name, rules));
        }
    }
}

pub(crate) fn machine(port: &str, rules: &'static KernelRules) -> Box<dyn Backend> {
    Builder::new(port).kernel(rules).memory(MEMORY).build().expect("the port exists")
}

/// What is asked of a kernel itself, as no call says it.
pub(crate) trait OfKernel {
    fn test<P: PortFacts>(kernel: &mut Kernel<P, PlainHw>, mm: &mut mm::Mm);
}

/// Does it on every port and every kernel.
pub(crate) fn every_kernel<T: OfKernel>() {
    struct On<T>(&'static KernelRules, PhantomData<T>);

    impl<T: OfKernel> PortVisitor for On<T> {
        type Out = ();

        fn visit<P: PortFacts>(self) {
            let (arch, config) =
                (P::new(&CpuConfig::default(), self.0), Config { memory: MEMORY, ..Config::DEFAULT });
            let mut kernel = Kernel::new(arch, self.0, config);
            let mut mm = kernel.new_mm().expect("memory holds a table");
            T::test(&mut kernel, &mut mm);
        }
    }

    for port in ports() {
        for rules in KernelRules::ALL {
            visit_port(port.name, On::<T>(rules, PhantomData)).expect("the port is the project's own");
        }
    }
}

/// The lines of maps of a range, each with the flags that every VMA has, or that only some ports have, left out.
pub(crate) fn maps_in(vm: &dyn Backend, pid: Pid, start: u64, len: u64) -> Vec<String> {
    let line = |vma: &ptelab_machine::VmaFacts| {
        let common = ["rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "sd"];
        let flags = vma.flags.smaps();
        let flags: Vec<&str> = flags.split(' ').filter(|name| !common.contains(name)).collect();
        let (from, to) = ((vma.start.get() - start) / PAGE, (vma.end.get() - start) / PAGE);
        let text = format!("{from}-{to} {} {} {} {}", vma.perms(), vma.pgoff, vma.backing, flags.join(" "));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    vm.vmas(pid, start, len).expect("the process lives").iter().map(line).collect()
}

/// The same from [`BASE`] on, of process 1.
pub(crate) fn maps(vm: &dyn Backend) -> Vec<String> {
    maps_in(vm, 1, BASE, 1 << 30)
}

pub(crate) fn anon(vm: &mut dyn Backend, page: u64, pages: u64, prot: Prot) {
    let at = BASE + page * PAGE;
    assert_eq!(vm.mmap(1, at, pages * PAGE, prot, ANON), Ok(at));
}

pub(crate) const fn fails<T>(errno: Errno) -> Result<T, CallError> {
    Err(CallError::Errno(errno))
}

/// Opens a file; returns its number.
pub(crate) fn open(vm: &mut dyn Backend, path: &str, mode: FileMode, size: Option<u64>) -> i32 {
    let outcome = vm.call(1, &Call::Open { path: path.to_owned(), mode, size });
    returned(outcome).expect("process 1")
}

/// An access at `addr` that got a signal.
pub(crate) const fn gets<T>(signal: Signal, code: SigCode, addr: u64) -> Result<T, CallError> {
    Err(CallError::Signal(SigInfo { signal, code, addr }))
}
