//! Playing a scenario on a real kernel, and what it did.

use super::moving::AddrRange;
use super::recording::{RealCall, RealDump, Recording};
use super::walk::TableWord;
use super::{view, walk};
use crate::PLACES;
use crate::golden::{GoldenError, GoldenVma};
use crate::verdict::{self, Recorded};
use ptelab_machine::uapi::Class;
use ptelab_machine::{Backend, Call, CallError, Errno, MapFlags, MremapFlags, Outcome, SigCode, Snapshot};
use ptelab_real::{Look, Looked, RealError, RealKernel, RealPage, Root};
use ptelab_run::exec::Watch;
use ptelab_scenario::Scenario;
use std::ops::Range;

/// Plays a scenario, into a recording; says whether it came to its end, or was stopped. `port` reads the tables.
pub(super) fn record(
    kernel: &mut dyn RealKernel,
    port: &dyn Backend,
    scenario: &Scenario,
    recording: &mut Recording,
    watch: Watch<'_>,
) -> Result<bool, RealError> {
    let (mut batch, page) = (Batch::default(), port.about().shape.page_size());
    for step in scenario.steps() {
        if watch.stopped() {
            return Ok(false);
        }
        let pid = step.line.pid.unwrap_or(1);
        match &step.line.call {
            Call::Numa { .. } | Call::Page { .. } | Call::Time { .. } => {}
            Call::Dump { addr, len, name } => {
                if kernel.lives(pid) {
                    let start = addr - addr % page;
                    let end = addr.saturating_add(*len).next_multiple_of(page);
                    batch.dumps.push((name, Look { pid, pages: start..end, area: span(&recording.area) }));
                }
            }
            call => {
                if !batch.dumps.is_empty() {
                    batch.play(kernel, port, recording)?;
                }
                let (text, chosen) = (step.line.to_string(), kernel_chooses(call));
                recording.calls.push(RealCall { text, reply: NO_PROCESS, chosen });
                if kernel.lives(pid) {
                    batch.calls.push((recording.calls.len() - 1, pid, call));
                }
                if call.form().class == Class::Process || batch.calls.len() == BATCH {
                    batch.play(kernel, port, recording)?;
                }
            }
        }
        (watch.tick)(1);
    }
    batch.play(kernel, port, recording)?;
    Ok(true)
}

/// Calls that are asked for at once.
const BATCH: usize = 64;
const NO_PROCESS: Outcome = Outcome::Failed(CallError::Errno(Errno::ESRCH));

/// What is asked for at once: calls, and dumps after them.
#[derive(Default)]
struct Batch<'a> {
    /// Each with its place in the recording.
    calls: Vec<(usize, u32, &'a Call)>,
    dumps: Vec<(&'a str, Look)>,
}

impl Batch<'_> {
    /// Plays it, and is empty then.
    fn play(
        &mut self,
        kernel: &mut dyn RealKernel,
        port: &dyn Backend,
        recording: &mut Recording,
    ) -> Result<(), RealError> {
        let Self { calls, dumps } = std::mem::take(self);
        let asked: Vec<(u32, &Call)> = calls.iter().map(|&(_, pid, call)| (pid, call)).collect();
        let (names, looks): (Vec<&str>, Vec<Look>) = dumps.into_iter().unzip();
        let (replies, seen) = kernel.play(&asked, &looks)?;
        for ((n, ..), reply) in calls.into_iter().zip(replies) {
            recording.calls[n].reply = reply;
        }
        recording.played = recording.calls.len();
        for ((name, look), seen) in names.into_iter().zip(looks).zip(seen) {
            let words = words(kernel, port, &look, &seen.pages)?;
            let shift = port.about().shape.page_shift();
            let bytes = |page: &RealPage| page.frame.and_then(|frame| bytes(kernel, frame.pfn << shift));
            let bytes = seen.pages.iter().map(bytes);
            let bytes = bytes.collect();
            recording.dumps.push(dump(name, look, seen, (words, bytes), &recording.area));
        }
        Ok(())
    }
}

/// From the first address of ranges to the end of the last.
fn span(area: &[AddrRange]) -> Range<u64> {
    let start = area.iter().map(|range| range.start).min();
    start.unwrap_or(0)..area.iter().map(|range| range.end).max().unwrap_or(0)
}

/// How often tables are read that lead nowhere, or to other frames than the process has: a topmost table that was known may be one
/// of a process that has ended, whose pages are others' by now.
const READS: usize = 3;

/// The words of tables that map the pages, where they can be read.
fn words(
    kernel: &mut dyn RealKernel,
    port: &dyn Backend,
    look: &Look,
    pages: &[RealPage],
) -> Result<Option<Vec<TableWord>>, RealError> {
    let translate =
        |root: Root, addr, read: &dyn Fn(u64) -> Option<u64>| walk::translate(port, root, addr, read);
    let mut others = None;
    for _ in 0..READS {
        let Some(root) = kernel.root(look.pid, &translate)? else { return Ok(None) };
        let words = walk::walk(port, root, user_space(port, &look.pages), |at| kernel.entry(at));
        if words.as_ref().is_some_and(|words| walk::maps(port, words, look.pages.start, pages)) {
            return Ok(words);
        }
        others = words.or(others);
        kernel.forget_root(look.pid);
    }
    others.map(Some).ok_or(RealError::Nowhere(look.pid))
}

/// A range as far as the port has user space; above stand the kernel's own entries, or the tables end.
fn user_space(port: &dyn Backend, range: &Range<u64>) -> (u64, u64) {
    let end = port.snapshot(1, range.start, range.end - range.start).map(|seen| seen.end.get());
    (range.start, end.unwrap_or(range.end).min(range.end))
}

fn dump(
    name: &str,
    Look { pid, pages: range, .. }: Look,
    Looked { vmas, pages }: Looked,
    (words, bytes): (Option<Vec<TableWord>>, Vec<Option<[u8; 4]>>),
    area: &[AddrRange],
) -> RealDump {
    let vmas = vmas.into_iter().filter(|vma| {
        let range = AddrRange { start: vma.start, end: vma.end };
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
    let (start, len) = (range.start, range.end - range.start);
    RealDump { name: name.to_owned(), pid, start, len, vmas: vmas.collect(), pages, bytes, words }
}

/// What a frame holds at the places that are looked at.
fn bytes(kernel: &dyn RealKernel, frame: u64) -> Option<[u8; 4]> {
    let mut bytes = [0; 4];
    for (byte, place) in bytes.iter_mut().zip(PLACES) {
        *byte = kernel.byte(frame + place)?;
    }
    Some(bytes)
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
            (call, None) if !ptelab_real::asked(call) => {
                return Some(format!("{call} cannot be asked of a kernel"));
            }
            _ => {}
        }
    }
    leaving.and_then(|_| unseen())
}

/// Whether the kernel is free to choose where a call puts something.
fn kernel_chooses(call: &Call) -> bool {
    match *call {
        Call::Mmap { addr, flags, .. } => addr == 0 && !flags.contains(MapFlags::FIXED),
        Call::Mremap { old_len, new_len, flags, .. } => {
            let moves = new_len > old_len || flags.contains(MremapFlags::DONTUNMAP);
            moves && flags.contains(MremapFlags::MAYMOVE) && !flags.contains(MremapFlags::FIXED)
        }
        _ => false,
    }
}

impl Recorded for Recording {
    fn calls(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.text.as_str()).collect()
    }

    fn differing_call(&self, n: usize, outcome: Outcome) -> Option<String> {
        let RealCall { reply, chosen, .. } = &self.calls[n];
        let equal = match (outcome, *reply) {
            (Outcome::Value(_), Outcome::Value(_)) if *chosen => true,
            (Outcome::Mismatch(got), Outcome::Value(real)) => u64::from(got) == real,
            (Outcome::Failed(CallError::NoProcess(_)), reply) => reply == NO_PROCESS,
            // Where the CPU did not say why, it did not say where either.
            (Outcome::Failed(CallError::Signal(got)), Outcome::Failed(CallError::Signal(real))) => {
                got == real || real.code == SigCode::KERNEL && got.signal == real.signal
            }
            (got, real) => got == real,
        };
        (!equal).then(|| format!("{}, the kernel {}", reply_text(outcome), reply_text(*reply)))
    }

    fn dumps(&self) -> Vec<&str> {
        self.dumps.iter().map(|dump| dump.name.as_str()).collect()
    }

    fn differing_dump(
        &self,
        n: usize,
        vm: &dyn Backend,
        pid: u32,
        snapshot: &Snapshot,
    ) -> Result<Vec<String>, GoldenError> {
        let real = &self.dumps[n];
        let vmas = vm.vmas(pid, 0, u64::MAX).unwrap_or_default();
        let used = |start, end| self.area.iter().any(|range| range.intersects(&AddrRange { start, end }));
        let vmas = vmas.iter().filter(|vma| used(vma.start.get(), vma.end.get()));
        let vmas: Vec<GoldenVma> = vmas.map(GoldenVma::new).collect();
        let mut found = verdict::differing_vmas(&vmas, &real.vmas);
        found.extend(view::differences(snapshot, real));
        Ok(found)
    }
}

/// A result, with all that is known of a signal.
fn reply_text(reply: Outcome) -> String {
    match reply {
        Outcome::Failed(CallError::Signal(info)) => info.to_string(),
        reply => reply.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;
    use ptelab_machine::{Builder, SigInfo, Signal};
    use ptelab_real::Frame;

    const PAGE: u64 = 4096;

    const TEXT: &str = "mmap(0x40000000, 8K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        touch(0x40000000, 4K, WRITE)\n\
        mprotect(0x40000000, 4K, PROT_READ|PROT_WRITE)\n\
        touch(0x40000000, 4K, WRITE)\n\
        mprotect(0x40000001, 4K, PROT_READ)\n\
        dump(0x40000000, 8K, \"end\")\n";

    fn segv(code: i32, addr: u64) -> Outcome {
        Outcome::Failed(CallError::Signal(SigInfo { signal: Signal::SEGV, code: SigCode(code), addr }))
    }

    fn fails(errno: Errno) -> Outcome {
        Outcome::Failed(CallError::Errno(errno))
    }

    /// What a kernel without soft-dirty does.
    fn recording() -> Recording {
        let replies = [
            Outcome::Value(0x4000_0000),
            segv(2, 0x4000_0000),
            Outcome::Value(0),
            Outcome::Value(0),
            fails(Errno::EINVAL),
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
            bytes: Vec::new(),
            words: None,
        };
        let call = |(reply, text): (Outcome, &str)| RealCall { text: text.to_owned(), reply, chosen: false };
        let area = vec![AddrRange { start: 0x4000_0000, end: 0x4000_2000 }];
        Recording {
            calls: replies.into_iter().zip(TEXT.lines()).map(call).collect(),
            played: 0,
            dumps: vec![dump],
            area,
        }
    }

    fn verdict(recording: &Recording) -> Verdict {
        let scenario = ptelab_scenario::parse(TEXT).expect("it is well formed");
        let mut vm = Builder::new("x86_64").cpu("soft_dirty", false).build().expect("there is such a port");
        verdict::compare(recording, &mut *vm, &scenario, Verdict::default()).expect("it makes sense")
    }

    /// A kernel that knows topmost tables of arm64 with two levels, each with one page's word; the first of them is the process's.
    struct Known(Vec<(Root, u64)>);

    impl RealKernel for Known {
        fn play(&mut self, _: &[(u32, &Call)], _: &[Look]) -> Result<(Vec<Outcome>, Vec<Looked>), RealError> {
            Err(RealError::Died(1))
        }

        fn lives(&self, _: u32) -> bool {
            true
        }

        fn root(&mut self, _: u32, _: &ptelab_real::Translate<'_>) -> Result<Option<Root>, RealError> {
            Ok(self.0.last().map(|(root, _)| *root))
        }

        fn forget_root(&mut self, _: u32) {
            if self.0.len() > 1 {
                self.0.pop();
            }
        }

        fn entry(&self, addr: u64) -> Option<u64> {
            let (root, word) = self.0.iter().find(|(root, _)| (addr ^ root.addr) >> 16 == 0)?;
            Some(if addr & 0x8000 == 0 { root.addr | 0x8003 } else { *word })
        }

        fn byte(&self, _: u64) -> Option<u8> {
            None
        }
    }

    #[test]
    fn tables_of_a_process_that_has_ended_are_not_taken_for_those_of_one_that_lives() {
        let port = Builder::new("arm64").build().expect("there is such a port");
        let root = |addr| Root { addr, levels: 2 };
        let page = |pfn: u64| 0x0060_0000_0000_0f43 | pfn << 12;
        let look = Look { pid: 1, pages: 0x1000..0x2000, area: 0..0 };
        let frame = Frame { pfn: 77, head: 77, folio_pages: 1, mapcount: 1 };
        let pages = [RealPage { pagemap: 0x810, frame: Some(frame) }];
        let first = |known: &[(Root, u64)]| {
            let found = words(&mut Known(known.to_vec()), &*port, &look, &pages);
            found.expect("they are read").expect("there are some")[0].word
        };
        let (right, stale, empty) =
            ((root(0x10000), page(77)), (root(0x20000), page(78)), (root(0x30000), 0));
        assert_eq!(first(&[right, stale]), page(77));
        assert_eq!(first(&[right, empty]), page(77));
        assert_eq!(first(&[right, stale, empty]), page(77));
        // Where no tables map what the kernel says, that is what is found.
        assert_eq!(first(&[stale]), page(78));
    }

    #[test]
    fn tables_that_lead_nowhere_cost_one_program() {
        use crate::real::VerifyError;
        assert!(VerifyError::Real(RealError::Nowhere(1)).is_loss());
        assert!(!VerifyError::Real(RealError::Missing(String::new())).is_loss());
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
            |r| r.calls[0].reply = Outcome::Value(0x4000_1000),
            |r| r.calls[1].reply = segv(1, 0x4000_0000),
            |r| r.calls[1].reply = segv(2, 0x4000_0004),
            |r| r.calls[4].reply = fails(Errno::ENOMEM),
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
            RealCall { reply: Outcome::Value(0x7000_0000), chosen: true, ..moved.calls[0].clone() };
        assert!(verdict(&moved).is_equal());
        moved.calls[0].reply = fails(Errno::ENOMEM);
        assert!(!verdict(&moved).is_equal());
    }
}
