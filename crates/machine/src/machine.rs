//! One machine of one port: its processes, and the calls they make.

use crate::any::{AnyVm, Ports};
use crate::snapshot::Snapshot;
use enum_dispatch::enum_dispatch;
use ptelab_mm::{
    Config, Errno, FaultError, Kernel, MapFlags, Mm, MremapFlags, Prot, SettingError, Signal, ThpMode,
    VmaFacts,
};
use ptelab_pgtable::{
    Access, Arch, Counters, CountingHw, KernelRules, Level, PlainHw, Pte, PteView, Record, RecordingHw,
    TableMemory, VirtAddr,
};
use std::collections::BTreeMap;

/// A process: 1 is the first, children count on in the order of their forks.
pub type Pid = u32;

/// Why a call did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CallError {
    /// It returned an error number.
    #[error("{0}")]
    Errno(Errno),
    /// The access got a signal.
    #[error("{}", .0.name())]
    Signal(Signal),
    /// The access found no memory for its page. Linux would call its OOM killer.
    #[error("ENOMEM (the OOM killer)")]
    OutOfMemory,
    /// There is no such process, or it has ended.
    #[error("no process {0}")]
    NoProcess(Pid),
}

impl From<Errno> for CallError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<FaultError> for CallError {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Signal(signal) => Self::Signal(signal),
            FaultError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<SettingError> for CallError {
    fn from(error: SettingError) -> Self {
        Self::Errno(match error {
            SettingError::NoSuchSize => Errno::Enoent,
            SettingError::BadMode => Errno::Einval,
        })
    }
}

/// A machine of any port. Addresses and lengths are in bytes.
#[enum_dispatch]
pub trait Vm: std::fmt::Debug {
    /// Name of the port.
    fn arch(&self) -> &'static str;
    /// The kernel it runs.
    fn rules(&self) -> &'static KernelRules;
    /// Bytes in a page.
    fn page_size(&self) -> u64;
    /// Processes that live.
    fn processes(&self) -> Vec<Pid>;

    /// mmap(2) of anonymous memory; returns the address.
    fn mmap(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, CallError>;
    /// munmap(2).
    fn munmap(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// mprotect(2).
    fn mprotect(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot) -> Result<(), CallError>;
    /// madvise(2); `advice` as its number, so that unknown ones can be tried too.
    fn madvise(&mut self, pid: Pid, addr: u64, len: u64, advice: u64) -> Result<(), CallError>;
    /// mremap(2); returns the address.
    fn mremap(
        &mut self,
        pid: Pid,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new_addr: u64,
    ) -> Result<u64, CallError>;
    /// fork(2); returns the child.
    fn fork(&mut self, pid: Pid) -> Result<Pid, CallError>;
    /// The process ends.
    fn exit(&mut self, pid: Pid) -> Result<(), CallError>;

    /// One access a page.
    fn touch(&mut self, pid: Pid, addr: u64, len: u64, access: Access) -> Result<(), CallError>;
    /// Writes every byte of a range.
    fn memset(&mut self, pid: Pid, addr: u64, byte: u8, len: u64) -> Result<(), CallError>;
    /// Reads one byte.
    fn read_byte(&mut self, pid: Pid, addr: u64) -> Result<u8, CallError>;

    /// Writes to /proc/PID/clear_refs.
    fn clear_refs(&mut self, pid: Pid, what: u64) -> Result<(), CallError>;
    /// How many NUMA nodes there are.
    fn numa(&mut self, nodes: u8) -> Result<(), CallError>;
    /// Which node new pages go to, or the CPU's own.
    fn numa_alloc(&mut self, node: Option<u8>) -> Result<(), CallError>;
    /// One pass of NUMA-hinting protection; returns the pages looked at.
    fn numa_scan(&mut self, pid: Pid, addr: u64, len: u64) -> Result<u64, CallError>;
    /// The global switch of transparent huge pages.
    fn thp_enabled(&mut self, mode: ThpMode) -> Result<(), CallError>;
    /// The switch of one size.
    fn thp_size(&mut self, bytes: u64, mode: ThpMode) -> Result<(), CallError>;

    /// VMAs that intersect a range.
    fn vmas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<VmaFacts>, CallError>;
    /// VMAs and entries of a range.
    fn snapshot(&self, pid: Pid, addr: u64, len: u64) -> Result<Snapshot, CallError>;
    /// The entry for one address: its level, raw and in the neutral view.
    fn entry(&self, pid: Pid, addr: VirtAddr) -> Result<(Level, Pte, PteView), CallError>;
    /// The names of the bits of a word.
    fn describe(&self, pte: Pte, level: Level) -> String;
    /// A word in the neutral view.
    fn decode(&self, pte: Pte, level: Level) -> PteView;

    /// Memory in use for pages and tables, in bytes.
    fn memory_used(&self) -> u64;
    /// What was counted so far, on a counting machine.
    fn counters(&self) -> Option<Counters>;
    /// What was recorded since last asked, on a recording machine.
    fn take_records(&mut self) -> Vec<Record>;
}

/// A machine of one port, with its processes.
#[derive(Clone, Debug)]
pub struct Machine<A, H> {
    /// The machine and its kernel.
    pub kernel: Kernel<A, H>,
    processes: BTreeMap<Pid, Mm>,
    next_pid: Pid,
}

impl<A: Arch, H: TableMemory> Machine<A, H> {
    /// A machine that just booted, with process 1.
    ///
    /// # Panics
    /// Where the configured memory does not hold one page table; [`Builder`](crate::Builder) refuses that.
    pub fn new(arch: A, rules: &'static KernelRules, config: Config) -> Self {
        let mut kernel = Kernel::new(arch, rules, config);
        let init = kernel.new_mm().expect("memory holds the first table");
        Self { kernel, processes: BTreeMap::from([(1, init)]), next_pid: 2 }
    }

    fn process(&mut self, pid: Pid) -> Result<(&mut Kernel<A, H>, &mut Mm), CallError> {
        let mm = self.processes.get_mut(&pid).ok_or(CallError::NoProcess(pid))?;
        Ok((&mut self.kernel, mm))
    }

    /// The address space of a process.
    pub fn mm(&self, pid: Pid) -> Result<&Mm, CallError> {
        self.processes.get(&pid).ok_or(CallError::NoProcess(pid))
    }
}

impl<A: Arch, H: TableMemory> Vm for Machine<A, H> {
    fn arch(&self) -> &'static str {
        A::NAME
    }

    fn rules(&self) -> &'static KernelRules {
        self.kernel.rules
    }

    fn page_size(&self) -> u64 {
        A::PAGE_SIZE
    }

    fn processes(&self) -> Vec<Pid> {
        self.processes.keys().copied().collect()
    }

    fn mmap(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mmap(mm, VirtAddr::new(addr), len, prot, flags)?.get())
    }

    fn munmap(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.munmap(mm, VirtAddr::new(addr), len)?)
    }

    fn mprotect(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mprotect(mm, VirtAddr::new(addr), len, prot)?)
    }

    fn madvise(&mut self, pid: Pid, addr: u64, len: u64, advice: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.madvise(mm, VirtAddr::new(addr), len, advice)?)
    }

    fn mremap(
        &mut self,
        pid: Pid,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new_addr: u64,
    ) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        let (addr, new_addr) = (VirtAddr::new(addr), VirtAddr::new(new_addr));
        Ok(kernel.mremap(mm, addr, old_len, new_len, flags, new_addr)?.get())
    }

    fn fork(&mut self, pid: Pid) -> Result<Pid, CallError> {
        let (kernel, mm) = self.process(pid)?;
        let child = kernel.fork(mm)?;
        let pid = self.next_pid;
        self.next_pid += 1;
        self.processes.insert(pid, child);
        Ok(pid)
    }

    fn exit(&mut self, pid: Pid) -> Result<(), CallError> {
        let mm = self.processes.remove(&pid).ok_or(CallError::NoProcess(pid))?;
        self.kernel.exit_mmap(mm);
        Ok(())
    }

    fn touch(&mut self, pid: Pid, addr: u64, len: u64, access: Access) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.touch(mm, VirtAddr::new(addr), len, access)?)
    }

    fn memset(&mut self, pid: Pid, addr: u64, byte: u8, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.memset(mm, VirtAddr::new(addr), byte, len)?)
    }

    fn read_byte(&mut self, pid: Pid, addr: u64) -> Result<u8, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.read_byte(mm, VirtAddr::new(addr))?)
    }

    fn clear_refs(&mut self, pid: Pid, what: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.clear_refs(mm, what)?)
    }

    fn numa(&mut self, nodes: u8) -> Result<(), CallError> {
        if nodes == 0 || nodes > 64 {
            return Err(Errno::Einval.into());
        }
        self.kernel.nodes = nodes;
        Ok(())
    }

    fn numa_alloc(&mut self, node: Option<u8>) -> Result<(), CallError> {
        if node.is_some_and(|node| node >= self.kernel.nodes) {
            return Err(Errno::Einval.into());
        }
        self.kernel.alloc_node = node;
        Ok(())
    }

    fn numa_scan(&mut self, pid: Pid, addr: u64, len: u64) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.numa_scan(mm, VirtAddr::new(addr), len))
    }

    fn thp_enabled(&mut self, mode: ThpMode) -> Result<(), CallError> {
        Ok(self.kernel.thp.set_enabled(mode)?)
    }

    fn thp_size(&mut self, bytes: u64, mode: ThpMode) -> Result<(), CallError> {
        let pages = bytes >> A::PAGE_SHIFT;
        if !bytes.is_power_of_two() || pages == 0 {
            return Err(Errno::Enoent.into());
        }
        Ok(self.kernel.thp.set_order(pages.ilog2(), mode)?)
    }

    fn vmas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<VmaFacts>, CallError> {
        let end = VirtAddr::new(addr.saturating_add(len));
        Ok(self.kernel.smaps(self.mm(pid)?, VirtAddr::new(addr), end))
    }

    fn snapshot(&self, pid: Pid, addr: u64, len: u64) -> Result<Snapshot, CallError> {
        Ok(Snapshot::take(&self.kernel, self.mm(pid)?, VirtAddr::new(addr), len))
    }

    fn entry(&self, pid: Pid, addr: VirtAddr) -> Result<(Level, Pte, PteView), CallError> {
        let leaf = self.kernel.entry_at(self.mm(pid)?, addr);
        Ok((leaf.level, leaf.pte, self.kernel.arch.decode(leaf.pte, leaf.level)))
    }

    fn describe(&self, pte: Pte, level: Level) -> String {
        self.kernel.arch.describe(pte, level)
    }

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        self.kernel.arch.decode(pte, level)
    }

    fn memory_used(&self) -> u64 {
        (self.kernel.pages.used() + self.kernel.pages.tables()) << A::PAGE_SHIFT
    }

    fn counters(&self) -> Option<Counters> {
        self.kernel.hw.counters().copied()
    }

    fn take_records(&mut self) -> Vec<Record> {
        self.kernel.hw.take_records()
    }
}
