//! Whatever goes to swap, moves, is lent to a device, is forked or remapped: contents stay, who wrote what stays noticed, no
//! exclusive page is mapped by two, and in the end nothing is left over. Held against a model that knows bytes only.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ptelab::{
    AnyVm, Builder, CallError, KernelRules, MapFlags, MremapFlags, PORTS, Pagemap, Pid, Prot, PteView,
    SoftFlags, ThpMode,
};
use std::collections::BTreeMap;

const PAGE: u64 = 4096;
const PAGES: u64 = 48;
const BASE: u64 = 0x4000_0000;
/// Where a mapping is moved to, and back: not aligned alike.
const OTHER: u64 = 0x5000_3000;
const RW: Prot = Prot::READ.union(Prot::WRITE);
const PAGEOUT: u64 = 21;
/// Where in its page the byte stands that is looked at; touch() writes the first.
const OFFSET: u64 = 9;

#[derive(Clone, Debug)]
enum Op {
    Write(bool, u64, u64, u8),
    Read(bool, u64, u64),
    Pageout(bool, u64, u64),
    Migrate(bool, u64, u64, Box<Op>),
    Device(bool, u64, u64),
    Lend(bool, u64),
    Protect(bool, u64, u64, bool),
    Fork,
    Move(bool),
    ClearSoftDirty(bool),
}

fn simple() -> impl Strategy<Value = Op> {
    let range = (0..PAGES, prop_oneof![1..8u64, Just(16), Just(PAGES)]);
    let range = range.prop_map(|(at, n)| (at, n.min(PAGES - at)));
    (any::<bool>(), range, any::<u8>(), 0..13u8).prop_map(|(child, (at, n), byte, kind)| match kind {
        0..=2 => Op::Write(child, at, n, byte),
        3 => Op::Read(child, at, n),
        4..=6 => Op::Pageout(child, at, n),
        7 => Op::Device(child, at, n),
        8 => Op::Lend(child, at),
        9 => Op::Protect(child, at, n, byte % 2 == 0),
        10 => Op::Fork,
        11 => Op::Move(child),
        _ => Op::ClearSoftDirty(child),
    })
}

fn op() -> impl Strategy<Value = Op> {
    let migrate = (any::<bool>(), 0..PAGES, 1..20u64, simple())
        .prop_map(|(child, at, n, during)| Op::Migrate(child, at, n.min(PAGES - at), Box::new(during)));
    prop_oneof![4 => simple(), 1 => migrate]
}

/// What is known of one process: where its memory is, its bytes, and which pages were written since `clear_refs`.
#[derive(Clone)]
struct Process {
    pid: Pid,
    base: u64,
    bytes: BTreeMap<u64, u8>,
    written: Vec<bool>,
}

struct Run {
    vm: AnyVm,
    all: Vec<Process>,
    /// Linux itself loses track of writes: entries of devices forget soft-dirty where they are shared or protected, and what is
    /// writable stays so where soft-dirty is cleared while it migrates.
    forgets: bool,
}

impl Run {
    fn new(port: &str, rules: &'static KernelRules, kb: u64) -> Self {
        let mut vm = Builder::new(port).kernel(rules).memory(64 << 20).build().expect("the port exists");
        vm.thp_size(kb << 10, ThpMode::Always).expect("the size exists");
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
        vm.mmap(1, BASE, PAGES * PAGE, RW, flags).expect("memory is free");
        vm.swapon(8 << 20).expect("it is large enough");
        let init =
            Process { pid: 1, base: BASE, bytes: BTreeMap::new(), written: vec![false; PAGES as usize] };
        Self { vm, all: vec![init], forgets: false }
    }

    fn index(&self, child: bool) -> usize {
        usize::from(child && self.all.len() > 1)
    }

    /// Runs one step. Calls may be refused: what moves cannot be moved, and accesses to it would wait.
    fn step(&mut self, op: &Op) {
        match *op {
            Op::Write(child, at, n, byte) => {
                let i = self.index(child);
                for page in at..at + n {
                    let p = &self.all[i];
                    if self.vm.memset(p.pid, p.base + page * PAGE, byte, PAGE).is_ok() {
                        let p = &mut self.all[i];
                        p.bytes.insert(page, byte);
                        p.written[page as usize] = true;
                    }
                }
            }
            Op::Read(child, at, n) => {
                let p = &self.all[self.index(child)];
                let _ = self.vm.touch(p.pid, p.base + at * PAGE, n * PAGE, ptelab::Access::Read);
            }
            Op::Pageout(child, at, n) => {
                let p = &self.all[self.index(child)];
                assert_eq!(self.vm.madvise(p.pid, p.base + at * PAGE, n * PAGE, PAGEOUT), Ok(()));
            }
            Op::Migrate(child, at, n, ref during) => {
                let (pid, base) = {
                    let p = &self.all[self.index(child)];
                    (p.pid, p.base)
                };
                let begun = self.vm.migrate_begin(pid, base + at * PAGE, n * PAGE);
                self.forgets |= matches!(**during, Op::ClearSoftDirty(_));
                self.step(during);
                // The step may have moved it all.
                let base = self.all.iter().find(|p| p.pid == pid).expect("it lives").base;
                let ended = self.vm.migrate_end(pid, base, PAGES * PAGE);
                assert!(begun.is_err() || ended == Ok(()), "{begun:?} {ended:?}");
                assert!(begun.is_ok() || ended == Err(CallError::NotMigrating));
            }
            Op::Device(child, at, n) => {
                let p = &self.all[self.index(child)];
                self.forgets |= self.vm.device_private(p.pid, p.base + at * PAGE, n * PAGE).is_ok();
            }
            Op::Lend(child, at) => {
                let i = self.index(child);
                let p = &self.all[i];
                if self.vm.device_exclusive(p.pid, p.base + at * PAGE).is_ok() {
                    self.all[i].bytes.entry(at).or_insert(0);
                }
            }
            Op::Protect(child, at, n, write) => {
                let p = &self.all[self.index(child)];
                let prot = if write { RW } else { Prot::READ };
                assert_eq!(self.vm.mprotect(p.pid, p.base + at * PAGE, n * PAGE, prot), Ok(()));
            }
            Op::Fork if self.all.len() == 1 => {
                let pid = self.vm.fork(1).expect("memory is enough");
                self.all.push(Process { pid, ..self.all[0].clone() });
            }
            Op::Fork => {}
            Op::Move(child) => {
                let i = self.index(child);
                let p = &mut self.all[i];
                let to = if p.base == BASE { OTHER } else { BASE };
                // Moving a range of several VMAs came with 6.17.
                let (len, flags) = (PAGES * PAGE, MremapFlags::MAYMOVE | MremapFlags::FIXED);
                if self.vm.mprotect(p.pid, p.base, len, RW).is_ok()
                    && self.vm.mremap(p.pid, p.base, len, len, flags, to).is_ok()
                {
                    p.base = to;
                }
            }
            Op::ClearSoftDirty(child) => {
                let i = self.index(child);
                assert_eq!(self.vm.clear_refs(self.all[i].pid, 4), Ok(()));
                self.all[i].written.fill(false);
            }
        }
    }

    fn check_soft_dirty(&self) {
        if self.vm.arch() != "x86_64" || self.forgets {
            return;
        }
        for p in &self.all {
            let snapshot = self.vm.snapshot(p.pid, p.base, PAGES * PAGE).expect("it lives");
            for run in &snapshot.runs {
                let first = run.addr.since(snapshot.start) / PAGE;
                let pages = run.n * snapshot.runs.pages_per_entry(run.level);
                let noticed = run.pagemap.is_some_and(|bits| bits.contains(Pagemap::SOFT_DIRTY));
                let lost =
                    (first..(first + pages).min(PAGES)).find(|&page| p.written[page as usize] && !noticed);
                assert_eq!(lost, None, "a write was lost from soft-dirty: {run:?}");
            }
        }
    }

    /// Pages are exclusive to one process, and swap slots too.
    fn check_exclusive(&self) {
        for p in &self.all {
            let snapshot = self.vm.snapshot(p.pid, p.base, PAGES * PAGE).expect("it lives");
            for run in &snapshot.runs {
                if let Some(page) = run.page {
                    let lone = page.mapcount <= 1;
                    assert!(page.exclusive != Some(true) || lone, "an exclusive page is shared: {run:?}");
                }
                if let Some(PteView::Soft(leaf)) = run.view
                    && leaf.flags.contains(SoftFlags::EXCLUSIVE)
                {
                    let elsewhere = self.all.iter().filter(|other| other.pid != p.pid);
                    let shares = elsewhere.filter(|other| self.has_slot(other, leaf.ty, leaf.offset)).count();
                    assert_eq!(shares, 0, "an exclusive slot is shared: {run:?}");
                }
            }
        }
    }

    fn has_slot(&self, p: &Process, device: u8, slot: u64) -> bool {
        let snapshot = self.vm.snapshot(p.pid, p.base, PAGES * PAGE).expect("it lives");
        let names =
            |view| matches!(view, Some(PteView::Soft(leaf)) if leaf.ty == device && leaf.offset == slot);
        snapshot.runs.iter().any(|run| names(run.view))
    }

    fn finish(mut self) {
        self.check_soft_dirty();
        self.check_exclusive();
        for p in &self.all {
            for page in 0..PAGES {
                let want = p.bytes.get(&page).copied().unwrap_or(0);
                let at = p.base + page * PAGE + OFFSET;
                assert_eq!(self.vm.read_byte(p.pid, at), Ok(want), "page {page} of process {}", p.pid);
            }
        }
        let used = |vm: &AnyVm| (vm.swap_used(), vm.memory_used());
        for p in &self.all {
            assert_eq!(self.vm.munmap(p.pid, p.base, PAGES * PAGE), Ok(()));
        }
        let tables = self.all.len() as u64 * PAGE;
        assert_eq!(used(&self.vm), (0, tables), "something is left over");
    }
}

#[test]
fn nothing_is_lost() {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let size = prop_oneof![Just(16u64), Just(64)];
    let done = runner.run(&(size, prop::collection::vec(op(), 1..30)), |(kb, ops)| {
        for port in PORTS {
            for rules in [&KernelRules::V6_16, &KernelRules::V7_3] {
                let mut run = Run::new(port.name, rules, kb);
                for op in &ops {
                    run.step(op);
                }
                run.finish();
            }
        }
        Ok(())
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}
