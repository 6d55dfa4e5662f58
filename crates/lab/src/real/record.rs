//! Playing a scenario on a real kernel, and what it did.

use super::moving::Range;
use super::view;
use crate::exec::{self, Outcome, Watch};
use crate::golden::{GoldenError, GoldenVma};
use crate::verdict::{self, Recorded};
use ptelab_kernel::command::{Call as Ask, Command, Reply, SigInfo};
use ptelab_kernel::{RealError, RealKernel, RealPage, TableWord};
use ptelab_machine::{AnyVm, CallError, MapFlags, MremapFlags, Signal, Snapshot, Vm};
use ptelab_scenario::{Access, Call, Errno, Scenario, ThpKey};

/// Bytes in a page: what is not 4K is not played.
pub(super) const PAGE: u64 = 4096;
/// `SI_KERNEL`: the CPU did not say why, nor where.
const SI_KERNEL: i32 = 0x80;

/// What a real kernel did in a scenario.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    pub(super) calls: Vec<RealCall>,
    pub(super) dumps: Vec<RealDump>,
    /// The memory whose VMAs are compared.
    pub(super) area: Vec<Range>,
}

#[derive(Clone, Debug)]
pub(super) struct RealCall {
    pub(super) text: String,
    pub(super) reply: Reply,
    /// Whether the kernel was free to choose the address that it returned.
    pub(super) chosen: bool,
}

/// What /proc said at a dump, and the tables.
#[derive(Clone, Debug)]
pub(super) struct RealDump {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) vmas: Vec<GoldenVma>,
    pub(super) pages: Vec<RealPage>,
    /// Where they can be read.
    pub(super) words: Option<Vec<TableWord>>,
}

/// Plays a scenario; nothing where it was stopped.
pub(super) fn record(
    kernel: &mut dyn RealKernel,
    scenario: &Scenario,
    area: Vec<Range>,
    watch: Watch<'_>,
) -> Result<Option<Recording>, RealError> {
    let mut recording = Recording { area, ..Recording::default() };
    for step in scenario.steps() {
        if watch.stopped() {
            return Ok(None);
        }
        let pid = step.line.pid.unwrap_or(1);
        match &step.line.call {
            Call::Numa { .. } | Call::Time { .. } => {}
            Call::Dump { addr, len, name } => {
                if kernel.lives(pid) {
                    recording.dumps.push(dump(kernel, pid, name, (*addr, *len), &recording.area)?);
                }
            }
            call => {
                let reply = if kernel.lives(pid) { play(kernel, pid, call)? } else { NO_PROCESS };
                let chosen = kernel_chooses(call);
                recording.calls.push(RealCall { text: step.line.to_string(), reply, chosen });
            }
        }
        (watch.tick)(1);
    }
    Ok(Some(recording))
}

/// `ESRCH`
const NO_PROCESS: Reply = Reply::Errno(3);

/// The memory's VMAs and pages.
fn dump(
    kernel: &mut dyn RealKernel,
    pid: u32,
    name: &str,
    (addr, len): (u64, u64),
    area: &[Range],
) -> Result<RealDump, RealError> {
    let start = addr - addr % PAGE;
    let end = addr.saturating_add(len).next_multiple_of(PAGE);
    let pages = ptelab_kernel::pages(kernel, pid, start, end - start, PAGE)?;
    let vmas = ptelab_kernel::vmas(kernel, pid)?;
    let vmas = vmas.into_iter().filter(|vma| {
        let range = Range { start: vma.start, end: vma.end };
        area.iter().any(|used| used.intersects(&range))
    });
    let vmas = vmas.map(|vma| GoldenVma {
        start: format!("{:#x}", vma.start),
        end: format!("{:#x}", vma.end),
        perms: vma.perms,
        rss_kb: vma.rss >> 10,
        anon_huge_kb: vma.anon_huge >> 10,
        vmflags: vma.vmflags,
    });
    let vmas = vmas.collect();
    let words = kernel.table_words(pid, start, end)?;
    Ok(RealDump { name: name.to_owned(), pid, start, len: end - start, vmas, pages, words })
}

fn play(kernel: &mut dyn RealKernel, pid: u32, call: &Call) -> Result<Reply, RealError> {
    let (ask, args) = match *call {
        Call::Thp { size, mode } => return kernel.set_thp(&thp_file(size), mode.name()),
        Call::ClearRefs { what } => return kernel.clear_refs(pid, what.into()),
        Call::NumaScan { .. } => {
            kernel.numa_scan(pid)?;
            return Ok(Reply::Value(0));
        }
        Call::Mmap { addr, len, prot, flags, fd, offset } => {
            let flags = exec::placed(addr, flags).bits();
            (Ask::Mmap, vec![addr, len, prot, flags, fd as u64, offset])
        }
        Call::Munmap { addr, len } => (Ask::Munmap, vec![addr, len]),
        Call::Mprotect { addr, len, prot } => (Ask::Mprotect, vec![addr, len, prot]),
        Call::Madvise { addr, len, advice } => (Ask::Madvise, vec![addr, len, advice]),
        Call::Mremap { old_addr, old_len, new_len, flags, new_addr } => {
            (Ask::Mremap, vec![old_addr, old_len, new_len, flags, new_addr])
        }
        Call::Memset { addr, byte, len } => (Ask::Memset, vec![addr, byte.into(), len]),
        Call::ExplicitBzero { addr, len } => (Ask::Memset, vec![addr, 0, len]),
        Call::Touch { addr, len, access } => (Ask::Touch, vec![addr, len, (access == Access::Write).into()]),
        Call::Check { addr, .. } => (Ask::Read, vec![addr]),
        Call::Fork => (Ask::Fork, Vec::new()),
        Call::ExitGroup { status } => (Ask::Exit, vec![status as u64]),
        Call::NumaAlloc { node } => (Ask::SetMempolicy, vec![node.into()]),
        Call::Numa { .. } | Call::Dump { .. } | Call::Time { .. } => {
            return Ok(Reply::Value(0));
        }
    };
    kernel.call(pid, Command::new(ask, &args))
}

/// The file of a THP setting, from `/sys/kernel/mm/transparent_hugepage`.
pub(super) fn thp_file(key: ThpKey) -> String {
    match key {
        ThpKey::Enabled => "enabled".to_owned(),
        ThpKey::Kb(_) => format!("hugepages-{key}/enabled"),
    }
}

/// Whether the kernel is free to choose where a call puts something.
fn kernel_chooses(call: &Call) -> bool {
    match *call {
        Call::Mmap { addr, flags, .. } => {
            addr == 0 && !MapFlags::from_bits_retain(flags).contains(MapFlags::FIXED)
        }
        Call::Mremap { old_len, new_len, flags, .. } => {
            let flags = MremapFlags::from_bits_retain(flags);
            let moves = new_len > old_len || flags.contains(MremapFlags::DONTUNMAP);
            moves && flags.contains(MremapFlags::MAYMOVE) && !flags.contains(MremapFlags::FIXED)
        }
        _ => false,
    }
}

impl Recorded for Recording {
    fn calls(&self) -> usize {
        self.calls.len()
    }

    fn call_text(&self, n: usize) -> &str {
        &self.calls[n].text
    }

    fn differing_call(&self, n: usize, vm: &AnyVm, outcome: Outcome) -> Option<String> {
        let RealCall { reply, chosen, .. } = &self.calls[n];
        let equal = match (outcome, *reply) {
            (Outcome::Value(_), Reply::Value(_)) if *chosen => true,
            (Outcome::Value(got), Reply::Value(real)) => got == real,
            (Outcome::Mismatch(got), Reply::Value(real)) => u64::from(got) == real,
            (Outcome::Failed(CallError::NoProcess(_)), reply) => reply == NO_PROCESS,
            (Outcome::Failed(CallError::Errno(errno)), Reply::Errno(real)) => errno as i32 == real,
            (Outcome::Failed(CallError::Signal(_)), Reply::Signal(real)) => {
                let expected = vm.last_signal().map(signal_info);
                expected.is_some_and(|expected| {
                    expected == real || real.code == SI_KERNEL && expected.signal == real.signal
                })
            }
            _ => false,
        };
        let why = match (outcome, vm.last_signal().map(signal_info)) {
            (Outcome::Failed(CallError::Signal(_)), Some(info)) => reply_text(Reply::Signal(info)),
            _ => outcome.to_string(),
        };
        (!equal).then(|| format!("{why}, the kernel {}", reply_text(*reply)))
    }

    fn dumps(&self) -> usize {
        self.dumps.len()
    }

    fn dump_name(&self, n: usize) -> &str {
        &self.dumps[n].name
    }

    fn differing_dump(
        &self,
        n: usize,
        vm: &AnyVm,
        pid: u32,
        snapshot: &Snapshot,
    ) -> Result<Vec<String>, GoldenError> {
        let real = &self.dumps[n];
        let vmas = vm.vmas(pid, 0, u64::MAX).unwrap_or_default();
        let used = |start, end| self.area.iter().any(|range| range.intersects(&Range { start, end }));
        let vmas = vmas.iter().filter(|vma| used(vma.start.get(), vma.end.get()));
        let vmas: Vec<GoldenVma> = vmas.map(GoldenVma::new).collect();
        let mut found = verdict::differing_vmas(&vmas, &real.vmas);
        found.extend(view::differences(snapshot, real));
        Ok(found)
    }
}

/// `SIGBUS`, `SIGSEGV`: the same on all ports.
const fn signal_number(signal: Signal) -> i32 {
    match signal {
        Signal::Bus => 7,
        Signal::Segv => 11,
    }
}

const fn signal_info(info: ptelab_machine::SigInfo) -> SigInfo {
    SigInfo { signal: signal_number(info.signal), code: info.code.number(), addr: info.addr.get() }
}

/// The name of an error number; the number where it has none.
pub(super) fn errno_name(errno: i32) -> String {
    let known = u16::try_from(errno).ok().and_then(Errno::from_number);
    known.map_or_else(|| format!("errno {errno}"), |errno| errno.name().to_owned())
}

/// The name of a signal that an access can get; the number of another.
pub(super) fn signal_name(signal: i32) -> String {
    let known = [Signal::Bus, Signal::Segv].into_iter().find(|&known| signal_number(known) == signal);
    known.map_or_else(|| format!("signal {signal}"), |known| known.name().to_owned())
}

fn reply_text(reply: Reply) -> String {
    match reply {
        Reply::Value(value) => Outcome::Value(value).to_string(),
        Reply::Errno(errno) => format!("-1 {}", errno_name(errno)),
        Reply::Signal(SigInfo { signal, code, addr }) => {
            format!("{} (si_code {code}, at {addr:#x})", signal_name(signal))
        }
    }
}
