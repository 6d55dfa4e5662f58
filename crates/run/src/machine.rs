//! The machine as a test author meets it.

use crate::compare::{self, Comparison};
use crate::exec;
use crate::kernels;
use crate::select::SelectError;
use crate::show;
use ptelab_machine::{
    Backend, BuildError, Builder, CallError, Counters, HwKind, Level, Outcome, Pte, PteView, Snapshot,
    VirtAddr,
};
use ptelab_scenario::{Diagnostics, Line};
use std::fmt;

/// An emulated machine: scenario lines in, page tables out.
///
/// ```
/// # mod ptelab { pub use {ptelab_machine::*, ptelab_run::*}; }
/// use ptelab::Machine;
///
/// let mut m = Machine::builder("x86_64").build()?;
/// m.run(r#"
///     mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x40000000
///     touch(0x40000000, 4K, WRITE)
///     fork() = 2
/// "#)?;
/// let entry = m.entry(0x4000_0000)?;
/// assert!(entry.is_present() && !entry.is_writable() && entry.is_dirty());
/// assert_eq!(m.dump(0x4000_0000, 8 << 10)?.to_string(), "\
/// \x20 0x40000000-0x40002000 rw-p  rss 4K  rd wr mr mw me ac sd
/// \x20   0x40000000      1 x 4K  8400000000000825  r-- young dirty soft-dirty  folio 0 of 1, page 0, mapped 2
/// \x20   0x40001000      1 x 4K  -
/// ");
/// # Ok::<(), ptelab::Error>(())
/// ```
#[derive(Debug)]
pub struct Machine {
    vm: Box<dyn Backend>,
}

/// Settings of a [`Machine`] to be built.
#[derive(Clone, Debug)]
pub struct MachineBuilder(Builder);

/// What goes wrong with a machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no such kernel.
    #[error(transparent)]
    Kernel(#[from] SelectError),
    /// The scenario has mistakes.
    #[error(transparent)]
    Scenario(#[from] Diagnostics),
    /// A line did not have the result that it expects, or its process has ended.
    #[error("line {line}: {text}: got {outcome}")]
    Unexpected {
        /// Line of the scenario, from 1.
        line: u32,
        /// Its text.
        text: String,
        /// What it came to.
        outcome: Outcome,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl MachineBuilder {
    /// With the kernel of this name: a release as `6.17`, which has the nearest rules where it is not known
    /// ([`kernels`](crate::kernels::kernel) says whose), or a file of rules as `mine.toml`.
    ///
    /// # Errors
    /// An unknown kernel, or a file with mistakes.
    pub fn kernel(self, name: &str) -> Result<Self, Error> {
        Ok(Self(self.0.kernel(kernels::kernel(name)?.rules)))
    }

    /// With a CPU feature on or off, by the port's name for it.
    #[must_use]
    pub fn cpu(self, feature: &str, on: bool) -> Self {
        Self(self.0.cpu(feature, on))
    }

    /// With so much physical memory, in bytes (64 GiB unless told otherwise).
    #[must_use]
    pub fn memory(self, bytes: u64) -> Self {
        Self(self.0.memory(bytes))
    }

    /// Keeping count of what calls take.
    #[must_use]
    pub fn counting(self) -> Self {
        Self(self.0.hw(HwKind::Counting))
    }

    /// The machine, just booted, with process 1.
    ///
    /// # Errors
    /// An unknown port or feature, or an amount of memory that is out of range.
    pub fn build(&self) -> Result<Machine, Error> {
        Ok(Machine { vm: self.0.build()? })
    }
}

impl Machine {
    /// Settings for a machine of the port of this name: `arm64`, `x86_64`, `generic`.
    pub fn builder(port: &str) -> MachineBuilder {
        MachineBuilder(Builder::new(port))
    }

    /// Runs scenario lines; returns the result of each that ran, in order.
    ///
    /// # Errors
    /// All mistakes of the text, before anything runs; or the first line whose result is not the one it expects. A failed
    /// call that expects nothing is no error.
    pub fn run(&mut self, scenario: &str) -> Result<Vec<Outcome>, Error> {
        let scenario = ptelab_scenario::parse(scenario)?;
        let mut outcomes = Vec::new();
        for step in scenario.steps() {
            outcomes.push(self.run_line(step.line)?);
        }
        Ok(outcomes)
    }

    fn run_line(&mut self, line: &Line) -> Result<Outcome, Error> {
        let (outcome, _) = exec::run_line(&mut *self.vm, line);
        if exec::meets(outcome, line) {
            Ok(outcome)
        } else {
            Err(Error::Unexpected { line: line.line, text: line.to_string(), outcome })
        }
    }

    /// The machine itself, for typed calls and every query: [`Backend`].
    ///
    /// ```
    /// # mod ptelab { pub use {ptelab_machine::*, ptelab_run::*}; }
    /// use ptelab::{Access, Backend, Call, Machine, MapFlags, Outcome, Prot};
    ///
    /// let mut m = Machine::builder("x86_64").build()?;
    /// let (prot, flags) = (Prot::READ | Prot::WRITE, MapFlags::PRIVATE | MapFlags::ANONYMOUS);
    /// let mmap = Call::Mmap { addr: 0, len: 4 << 20, prot, flags, fd: -1, offset: 0 };
    /// let addr = m.backend().call(1, &mmap).result()?;
    /// m.backend().call(1, &Call::Touch { addr, len: 4096, access: Access::Write }).result()?;
    /// assert_eq!(m.backend().call(1, &Call::Check { addr, byte: 1 }), Outcome::Value(1));
    /// let wrong = Call::Mprotect { addr, len: 4096, prot: Prot::from_bits_retain(64) };
    /// assert_eq!(m.backend().call(1, &wrong).to_string(), "-1 EINVAL");
    /// # Ok::<(), ptelab::Error>(())
    /// ```
    pub fn backend(&mut self) -> &mut dyn Backend {
        &mut *self.vm
    }

    /// The state of a range of process 1. Its text is made for snapshot tests: equal states have equal texts.
    ///
    /// # Errors
    /// Where process 1 has ended.
    pub fn dump(&self, addr: u64, len: u64) -> Result<MachineDump, Error> {
        self.dump_of(1, addr, len)
    }

    /// The state of a range of any process.
    ///
    /// # Errors
    /// Where there is no such process.
    pub fn dump_of(&self, pid: u32, addr: u64, len: u64) -> Result<MachineDump, Error> {
        Ok(MachineDump(self.vm.snapshot(pid, addr, len)?))
    }

    /// The entry that maps an address of process 1.
    ///
    /// # Errors
    /// Where process 1 has ended.
    pub fn entry(&self, addr: u64) -> Result<Entry, Error> {
        let (level, raw, view) = self.vm.entry(1, VirtAddr::new(addr))?;
        Ok(Entry { level, raw, view, bits: self.vm.words().describe(raw, level) })
    }

    /// What differs between this machine and another in a range of process 1: in what every architecture has, between
    /// ports; word for word, on one port.
    ///
    /// ```
    /// # mod ptelab { pub use {ptelab_machine::*, ptelab_run::*}; }
    /// use ptelab::Machine;
    ///
    /// let scenario = r#"
    ///     thp("64kB", "always")
    ///     mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    ///     memset(0x40000000, 7, 64K)
    ///     mprotect(0x40000000, 64K, PROT_NONE)
    /// "#;
    /// let run = |kernel| {
    ///     let mut m = Machine::builder("arm64").kernel(kernel)?.build()?;
    ///     m.run(scenario)?;
    ///     Ok::<_, ptelab::Error>(m)
    /// };
    /// let (old, new) = (run("6.17")?, run("7.3")?);
    /// let differences = old.differences(&new, 0x4000_0000, 64 << 10)?;
    /// assert_eq!(differences.len(), 1, "6.17 sets CONT on entries that are not valid: {differences:?}");
    /// # Ok::<(), ptelab::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where process 1 of either has ended.
    pub fn differences(&self, other: &Self, addr: u64, len: u64) -> Result<Vec<String>, Error> {
        let (left, right) = (self.vm.snapshot(1, addr, len)?, other.vm.snapshot(1, addr, len)?);
        let comparison = if left.arch == right.arch { Comparison::Raw } else { Comparison::Neutral };
        Ok(compare::compare_snapshots(&left, &right, comparison))
    }

    /// What was counted since the machine booted, if it counts.
    ///
    /// ```
    /// # mod ptelab { pub use {ptelab_machine::*, ptelab_run::*}; }
    /// use ptelab::{Counter, Machine};
    ///
    /// let mut m = Machine::builder("arm64").kernel("6.16")?.counting().build()?;
    /// m.run(r#"
    ///     thp("64kB", "always")
    ///     mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    ///     memset(0x40000000, 7, 64K)
    /// "#)?;
    /// let before = m.counters().unwrap();
    /// m.run("mprotect(0x40000000, 64K, PROT_READ)")?;
    /// let taken = m.counters().unwrap() - before;
    /// assert_eq!(taken.get(Counter::Unfolds), 1, "an entry at a time: the block is unfolded, then folded again");
    /// assert_eq!(taken.get(Counter::Folds), 1);
    /// # Ok::<(), ptelab::Error>(())
    /// ```
    pub fn counters(&self) -> Option<Counters> {
        self.vm.counters()
    }
}

/// The state of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineDump(pub Snapshot);

impl fmt::Display for MachineDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&show::SnapshotText(&self.0), f)
    }
}

/// One entry: raw, decoded, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Level of the table it stands in.
    pub level: Level,
    /// The raw word.
    pub raw: Pte,
    /// What it says on any architecture.
    pub view: PteView,
    /// The names of its bits on this one.
    pub bits: String,
}

impl Entry {
    fn has(&self, attr: ptelab_machine::PteAttrs) -> bool {
        matches!(self.view, PteView::Present(mapping) if mapping.attrs.contains(attr))
    }

    /// Whether a page is mapped, accessible or not.
    pub const fn is_present(&self) -> bool {
        matches!(self.view, PteView::Present(_))
    }

    /// Whether Linux regards it as writable.
    pub fn is_writable(&self) -> bool {
        self.has(ptelab_machine::PteAttrs::WRITE)
    }

    /// Whether it was written.
    pub fn is_dirty(&self) -> bool {
        self.has(ptelab_machine::PteAttrs::DIRTY)
    }

    /// Whether it is part of a contiguous block.
    pub fn is_cont(&self) -> bool {
        self.has(ptelab_machine::PteAttrs::CONT)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}  {}  {}", self.raw.0, show::view_text(&self.view), self.bits)
    }
}
