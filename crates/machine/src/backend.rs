//! What plays calls and shows tables.

use crate::machine::PortMachine;
use crate::ports::Ports;
use crate::shape::Shape;
use crate::snapshot::{Cell, Snapshot};
use crate::words::Words;
use enum_dispatch::enum_dispatch;
use ptelab_mm::{Backing, Table, VmaFacts};
use ptelab_pgtable::{Counters, KernelRules, Level, Pte, PteView, Record, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Call, CallError, Outcome, Pid};

/// Where a VMA lies, and its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Flags.
    pub flags: VmFlags,
}

/// What a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Name of the port.
    pub arch: &'static str,
    /// The kernel it runs.
    pub rules: &'static KernelRules,
    /// How tables and pages are laid out.
    pub shape: Shape,
    /// Whether it records every primitive and event.
    pub records: bool,
}

/// Memory in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// For pages and tables.
    pub memory: u64,
    /// In swap.
    pub swap: u64,
}

/// What plays calls and shows tables. Addresses and lengths are in bytes.
///
/// # Errors
/// A query fails where there is no such process.
#[enum_dispatch]
#[expect(clippy::missing_errors_doc, reason = "queries fail for one reason, which stands above")]
pub trait Backend: std::fmt::Debug + Send {
    /// What it is.
    fn about(&self) -> About;
    /// Makes a call in a process, and says what it came to.
    fn call(&mut self, pid: Pid, call: &Call) -> Outcome;
    /// The same without making it: the result that the call would have.
    fn foresee(&self, pid: Pid, call: &Call) -> Outcome;

    /// Processes that live.
    fn processes(&self) -> Vec<Pid>;
    /// VMAs that intersect a range.
    fn vmas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<VmaFacts>, CallError>;
    /// VMAs that intersect a range, without what is resident in them.
    fn areas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<Area>, CallError>;
    /// What every VMA that intersects a range is of, in the order of [`areas`](Self::areas).
    fn backings(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<Backing>, CallError>;
    /// Bytes that a process has mapped.
    fn mapped(&self, pid: Pid) -> Result<u64, CallError>;
    /// How many VMAs a process has.
    fn map_count(&self, pid: Pid) -> Result<u64, CallError>;
    /// The address at which a process maps a place in a file, by the file's path and in bytes, if it does.
    fn find_file(&self, pid: Pid, path: &str, offset: u64) -> Result<Option<u64>, CallError>;
    /// VMAs and entries of a range.
    fn snapshot(&self, pid: Pid, addr: u64, len: u64) -> Result<Snapshot, CallError>;
    /// The entries of a range, one by one and in order: what a [`snapshot`](Self::snapshot) groups, for frequent callers.
    fn cells(&self, pid: Pid, addr: u64, len: u64, each: &mut dyn FnMut(Cell)) -> Result<(), CallError>;
    /// The entry for one address: its level, raw and in the neutral view.
    fn entry(&self, pid: Pid, addr: VirtAddr) -> Result<(Level, Pte, PteView), CallError>;
    /// The tables of a process, each before those under it.
    fn tables(&self, pid: Pid) -> Result<Vec<Table>, CallError>;
    /// The vector of mincore(2); it fails as the call does.
    fn mincore(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<u8>, CallError>;
    /// What words mean.
    fn words(&self) -> &dyn Words;
    /// Memory in use.
    fn usage(&self) -> Usage;
    /// What was counted so far, where it counts.
    fn counters(&self) -> Option<Counters>;
    /// What was recorded since last asked, where it records.
    fn take_records(&mut self) -> Vec<Record>;
}

impl dyn Backend + '_ {
    /// Name of the port.
    pub fn arch(&self) -> &'static str {
        self.about().arch
    }

    /// The kernel it runs.
    pub fn rules(&self) -> &'static KernelRules {
        self.about().rules
    }

    /// How tables and pages are laid out.
    pub fn shape(&self) -> Shape {
        self.about().shape
    }

    /// Bytes in a page.
    pub fn page_size(&self) -> u64 {
        self.shape().entry_size(Level::Pte)
    }
}
