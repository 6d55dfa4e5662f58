//! Playing a scenario on a real kernel, and what it did.

use super::moving::Range;
use super::view;
use crate::exec::{self, Outcome, Watch};
use crate::golden::{GoldenError, GoldenVma};
use crate::verdict::{self, Recorded};
use ptelab_kernel::command::{Call as Ask, Command, Reply, SigInfo};
use ptelab_kernel::{RealError, RealKernel, RealPage, TableWord};
use ptelab_machine::{Advice, AnyVm, CallError, MapFlags, MremapFlags, Signal, Snapshot};
use ptelab_scenario::{Access, Call, Errno, Scenario, Switch, ThpKey};

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

/// How a call is made on a real kernel.
enum Way {
    /// Its player makes it.
    Command(Command),
    /// A setting of huge pages.
    Setting(ThpKey, &'static str),
    /// /proc/PID/clear_refs.
    ClearRefs(u64),
    /// Whatever makes the kernel scan for NUMA hints.
    NumaScan,
    /// Nothing is to be done.
    Nothing,
}

fn play(kernel: &mut dyn RealKernel, pid: u32, call: &Call) -> Result<Reply, RealError> {
    match way(call) {
        Some(Way::Command(command)) => kernel.call(pid, command),
        Some(Way::Setting(size, mode)) => kernel.set_thp(&thp_file(size), mode),
        Some(Way::ClearRefs(what)) => kernel.clear_refs(pid, what),
        Some(Way::NumaScan) => kernel.numa_scan(pid).map(|()| Reply::Value(0)),
        Some(Way::Nothing) => Ok(Reply::Value(0)),
        None => Err(RealError::Missing(format!("a way to ask a kernel for {call}"))),
    }
}

/// Why no real kernel can be asked for a scenario, if none can.
pub(super) fn why_not(scenario: &Scenario) -> Option<String> {
    let unseen = || Some("what is between migrate_begin and migrate_end is not seen from outside".to_owned());
    let mut leaving = None;
    for step in scenario.steps() {
        let line = step.line;
        match (&line.call, leaving.take()) {
            (&Call::MigrateEnd { addr, len }, Some(begun)) if begun == (line.pid, addr, len) => {}
            (_, Some(_)) | (Call::MigrateEnd { .. }, None) => return unseen(),
            (&Call::MigrateBegin { addr, len }, None) => leaving = Some((line.pid, addr, len)),
            (call, None) if way(call).is_none() => {
                return Some(format!("{call} cannot be asked of a kernel"));
            }
            _ => {}
        }
    }
    leaving.and_then(|_| unseen())
}

fn way(call: &Call) -> Option<Way> {
    let (ask, args) = match *call {
        Call::Thp { size, mode } => return Some(Way::Setting(size, mode.name())),
        Call::ClearRefs { what } => return Some(Way::ClearRefs(what.into())),
        Call::NumaScan { .. } => return Some(Way::NumaScan),
        Call::Numa { .. } | Call::Dump { .. } | Call::Time { .. } | Call::MigrateBegin { .. } => {
            return Some(Way::Nothing);
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
        Call::Swapon { size } => (Ask::Swapon, vec![size]),
        Call::MigrateEnd { addr, len } => (Ask::MovePages, vec![addr, len]),
        Call::Hwpoison { addr } => (Ask::Hwpoison, vec![addr]),
        Call::Uffd { addr, len, features } => (Ask::Uffd, vec![addr, len, features]),
        Call::UffdUnregister { addr, len } => (Ask::UffdUnregister, vec![addr, len]),
        Call::UffdWp { addr, len, how } => (Ask::UffdWp, vec![addr, len, (how == Switch::On).into()]),
        Call::UffdPoison { addr, len } => (Ask::UffdPoison, vec![addr, len]),
        Call::PagemapScan { addr, len, flags, mask, returned, max_pages } => {
            (Ask::PagemapScan, vec![addr, len, flags, mask, returned, max_pages])
        }
        Call::Reclaim { addr, len } => (Ask::Madvise, vec![addr, len, Advice::Pageout as u64]),
        Call::SplitFolio { addr, order } => (Ask::SplitFolio, vec![addr, order.into()]),
        Call::DevicePrivate { .. } | Call::DeviceExclusive { .. } => return None,
    };
    Some(Way::Command(Command::new(ask, &args)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;
    use ptelab_kernel::Frame;
    use ptelab_machine::Builder;

    const TEXT: &str = "mmap(0x40000000, 8K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        touch(0x40000000, 4K, WRITE)\n\
        mprotect(0x40000000, 4K, PROT_READ|PROT_WRITE)\n\
        touch(0x40000000, 4K, WRITE)\n\
        mprotect(0x40000001, 4K, PROT_READ)\n\
        dump(0x40000000, 8K, \"end\")\n";

    /// What a kernel without soft-dirty does.
    fn recording() -> Recording {
        let replies = [
            Reply::Value(0x4000_0000),
            Reply::Signal(SigInfo { signal: 11, code: 2, addr: 0x4000_0000 }),
            Reply::Value(0),
            Reply::Value(0),
            Reply::Errno(22),
        ];
        let vma = |start: u64, perms: &str, rss_kb, vmflags: &str| GoldenVma {
            start: format!("{start:#x}"),
            end: format!("{:#x}", start + PAGE),
            perms: perms.to_owned(),
            rss_kb,
            anon_huge_kb: 0,
            vmflags: vmflags.to_owned(),
        };
        let frame = Frame { pfn: 77, head: 77, folio_pages: 1, mapcount: 1 };
        let dump = RealDump {
            name: "end".to_owned(),
            pid: 1,
            start: 0x4000_0000,
            len: 2 * PAGE,
            vmas: vec![
                vma(0x4000_0000, "rw-p", 4, "rd wr mr mw me ac"),
                vma(0x4000_1000, "r--p", 0, "rd mr mw me"),
            ],
            pages: vec![RealPage { pagemap: 0x810, frame: Some(frame) }, RealPage::default()],
            words: None,
        };
        let call = |reply| RealCall { text: String::new(), reply, chosen: false };
        let area = vec![Range { start: 0x4000_0000, end: 0x4000_2000 }];
        Recording { calls: replies.map(call).to_vec(), dumps: vec![dump], area }
    }

    fn verdict(recording: &Recording) -> Verdict {
        let scenario = ptelab_scenario::parse(TEXT).expect("it is well formed");
        let mut vm = Builder::new("x86_64").cpu("soft_dirty", false).build().expect("there is such a port");
        verdict::compare(recording, &mut vm, &scenario, Verdict::default()).expect("it makes sense")
    }

    #[test]
    fn what_is_equal_is_found_equal() {
        let verdict = verdict(&recording());
        assert!(verdict.is_equal(), "{:?}", verdict.differences);
        assert_eq!((verdict.calls, verdict.dumps), (5, 1));
    }

    #[test]
    fn what_differs_is_found_to_differ() {
        let spoils: [fn(&mut Recording); 9] = [
            |r| r.calls[0].reply = Reply::Value(0x4000_1000),
            |r| r.calls[1].reply = Reply::Signal(SigInfo { signal: 11, code: 1, addr: 0x4000_0000 }),
            |r| r.calls[1].reply = Reply::Signal(SigInfo { signal: 11, code: 2, addr: 0x4000_0004 }),
            |r| r.calls[4].reply = Reply::Errno(12),
            |r| r.dumps[0].vmas[0].vmflags.push_str(" nh"),
            |r| r.dumps[0].pages[0].pagemap = 0x800,
            |r| r.dumps[0].pages[0].frame = Some(Frame { pfn: 77, head: 76, folio_pages: 2, mapcount: 1 }),
            |r| r.dumps[0].pages[1].pagemap = 0x400,
            |r| drop(r.dumps.pop()),
        ];
        for (n, spoil) in spoils.iter().enumerate() {
            let mut spoiled = recording();
            spoil(&mut spoiled);
            assert!(!verdict(&spoiled).is_equal(), "spoil {n}");
        }
    }

    #[test]
    fn who_sees_no_frames_compares_the_rest() {
        let mut blind = recording();
        blind.dumps[0].pages[0].frame = None;
        assert!(verdict(&blind).is_equal());
        blind.dumps[0].pages[0].pagemap = 0x800;
        assert!(!verdict(&blind).is_equal());
    }

    #[test]
    fn a_place_that_the_kernel_chooses_is_not_compared() {
        let mut moved = recording();
        moved.calls[0] =
            RealCall { reply: Reply::Value(0x7000_0000), chosen: true, ..moved.calls[0].clone() };
        assert!(verdict(&moved).is_equal());
        moved.calls[0].reply = Reply::Errno(12);
        assert!(!verdict(&moved).is_equal());
    }
}
