//! What calls do to the VMAs and pages of processes, on every port.

mod brk;
mod files;
mod migration;
mod mlock;
mod names;
mod numa;
mod processes;
mod stack;
mod sync;
mod uffd;

use ptelab_machine::{AnyVm, Builder, CallError, Errno, KernelRules, MapFlags, PORTS, Pid, Prot};

pub(crate) const PAGE: u64 = 4096;
pub(crate) const BASE: u64 = 0x5000_0000;
pub(crate) const RW: Prot = Prot::READ.union(Prot::WRITE);
pub(crate) const RX: Prot = Prot::READ.union(Prot::EXEC);
pub(crate) const FIXED: MapFlags = MapFlags::FIXED;
pub(crate) const PRIVATE: MapFlags = MapFlags::PRIVATE.union(MapFlags::FIXED);
pub(crate) const SHARED: MapFlags = MapFlags::SHARED.union(MapFlags::FIXED);
pub(crate) const ANON: MapFlags = PRIVATE.union(MapFlags::ANONYMOUS);

/// Does something on a machine of every port and every kernel.
pub(crate) fn everywhere(test: impl Fn(&mut AnyVm)) {
    for port in PORTS {
        for rules in KernelRules::ALL {
            test(&mut machine(port.name, rules));
        }
    }
}

pub(crate) fn machine(port: &str, rules: &'static KernelRules) -> AnyVm {
    Builder::new(port).kernel(rules).memory(64 << 20).build().expect("the port exists")
}

/// The lines of maps of a range, each with the flags that every VMA has, or that only some ports have, left out.
pub(crate) fn maps_in(vm: &AnyVm, pid: Pid, start: u64, len: u64) -> Vec<String> {
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
pub(crate) fn maps(vm: &AnyVm) -> Vec<String> {
    maps_in(vm, 1, BASE, 1 << 30)
}

pub(crate) fn anon(vm: &mut AnyVm, page: u64, pages: u64, prot: Prot) {
    let at = BASE + page * PAGE;
    assert_eq!(vm.mmap(1, at, pages * PAGE, prot, ANON), Ok(at));
}

pub(crate) const fn fails<T>(errno: Errno) -> Result<T, CallError> {
    Err(CallError::Errno(errno))
}
