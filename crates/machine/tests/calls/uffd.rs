//! userfaultfd's write protection, and PAGEMAP_SCAN: nothing is lost, whatever else happens to the memory.

use super::{BASE, PAGE, RW, anon, everywhere, fails, machine};
use proptest::collection::vec;
use proptest::prelude::*;
use ptelab_machine::{
    Access, AnyVm, CallError, Errno, KernelRules, PORTS, PageCategories, PageRegion, Pagemap, PmScan,
    PmScanFlags, Prot, Signal, ThpMode, UffdFeatures, VirtAddr, WriteProtect,
};

const WRITTEN: PageCategories = PageCategories::WRITTEN;
const PRESENT: PageCategories = PageCategories::PRESENT;
/// Pages in the area of the random programs: a huge page's worth would be one leaf.
const PAGES: u64 = 40;
/// Of these the pages that are there from the start, in 64K folios. No page of them is all zeros: 6.16 loses the protection of
/// such a page where its folio is split.
const WHOLE_FOLIOS: u64 = 32;

fn region(page: u64, pages: u64, categories: PageCategories) -> PageRegion {
    let start = VirtAddr::new(BASE + page * PAGE);
    PageRegion { start, end: start.add(pages * PAGE), categories }
}

#[test]
fn pagemap_scan_says_where_it_stopped() {
    everywhere(|vm| {
        anon(vm, 0, 16, RW);
        let features = UffdFeatures::WP | UffdFeatures::WP_ASYNC;
        vm.uffd_register(1, BASE, 16 * PAGE, features).expect("it is anonymous memory");
        vm.touch(1, BASE, 16 * PAGE, Access::Write).expect("writable");
        let written = PmScan { mask: WRITTEN, returned: WRITTEN | PRESENT, ..PmScan::default() };
        let protect = PmScan { flags: PmScanFlags::WP_MATCHING, ..written };
        let all = vm.pagemap_scan(1, BASE, 16 * PAGE, &protect).expect("it may be protected");
        assert_eq!(all.regions, [region(0, 16, WRITTEN | PRESENT)]);
        vm.touch(1, BASE + PAGE, PAGE, Access::Write).expect("protection lifts itself");
        vm.touch(1, BASE + 5 * PAGE, 2 * PAGE, Access::Write).expect("protection lifts itself");
        let found = vm.pagemap_scan(1, BASE, 16 * PAGE, &written).expect("valid");
        let expected = [region(1, 1, WRITTEN | PRESENT), region(5, 2, WRITTEN | PRESENT)];
        assert_eq!((&found.regions[..], found.walk_end.get()), (&expected[..], BASE + 16 * PAGE));
        let two = vm.pagemap_scan(1, BASE, 16 * PAGE, &PmScan { max_pages: 2, ..protect }).expect("valid");
        assert_eq!(two.regions, [region(1, 1, WRITTEN | PRESENT), region(5, 1, WRITTEN | PRESENT)]);
        assert_eq!(two.walk_end.get(), BASE + 6 * PAGE);
        let rest = vm.pagemap_scan(1, BASE, 16 * PAGE, &written).expect("valid");
        assert_eq!(rest.regions, [region(6, 1, WRITTEN | PRESENT)]);
        let clean = PmScan { inverted: WRITTEN, ..written };
        let clean = vm.pagemap_scan(1, BASE, 7 * PAGE, &clean).expect("valid");
        assert_eq!(clean.regions, [region(0, 6, PRESENT)]);
    });
}

#[test]
fn files_are_protected_only_where_writes_resolve_themselves() {
    everywhere(|vm| {
        let mode = ptelab_machine::FileMode::READ | ptelab_machine::FileMode::WRITE;
        let file = vm.open("/f", mode, Some(4 * PAGE));
        let from = (file, 0);
        vm.mmap_file(1, BASE, 4 * PAGE, RW, super::SHARED, from).expect("free");
        let wp = UffdFeatures::WP;
        assert_eq!(vm.uffd_register(1, BASE, 4 * PAGE, wp), fails(Errno::Einval));
        vm.uffd_register(1, BASE, 4 * PAGE, wp | UffdFeatures::WP_ASYNC).expect("any memory will do");
        assert_eq!(vm.uffd_poison(1, BASE, PAGE), fails(Errno::Einval));
        vm.uffd_wp(1, BASE, 4 * PAGE, WriteProtect::On).expect("registered");
        vm.touch(1, BASE, PAGE, Access::Write).expect("protection lifts itself");
    });
}

/// What a random program does to pages.
#[derive(Clone, Copy, Debug)]
enum Step {
    Protect(WriteProtect),
    Mprotect(Prot),
    Touch(Access),
    Advise(u64),
    ClearRefs,
    Fork,
    Move,
}

const DONTNEED: u64 = 4;
const FREE: u64 = 8;
const COLD: u64 = 20;

fn step() -> impl Strategy<Value = (Step, u64, u64)> {
    let kind = prop_oneof![
        3 => Just(Step::Protect(WriteProtect::On)),
        2 => Just(Step::Protect(WriteProtect::Off)),
        2 => prop_oneof![Just(Prot::READ), Just(RW), Just(Prot::empty())].prop_map(Step::Mprotect),
        4 => prop_oneof![Just(Access::Read), Just(Access::Write)].prop_map(Step::Touch),
        2 => prop_oneof![Just(DONTNEED), Just(FREE), Just(COLD)].prop_map(Step::Advise),
        1 => Just(Step::ClearRefs),
        1 => Just(Step::Fork),
        1 => Just(Step::Move),
    ];
    (kind, 0..PAGES, 1..=PAGES).prop_map(|(kind, first, n)| (kind, first, n.min(PAGES - first)))
}

/// The area, and what should be true of it.
struct Model {
    base: u64,
    protected: [bool; PAGES as usize],
    writable: [bool; PAGES as usize],
    readable: [bool; PAGES as usize],
}

impl Model {
    fn set(flags: &mut [bool], first: u64, n: u64, on: bool) {
        flags[first as usize..(first + n) as usize].fill(on);
    }

    fn run(&mut self, vm: &mut AnyVm, (step, first, n): (Step, u64, u64)) {
        let (addr, len) = (self.base + first * PAGE, n * PAGE);
        match step {
            Step::Protect(how) => {
                vm.uffd_wp(1, addr, len, how).expect("registered");
                Self::set(&mut self.protected, first, n, how == WriteProtect::On);
            }
            Step::Mprotect(prot) => {
                vm.mprotect(1, addr, len, prot).expect("mapped");
                Self::set(&mut self.writable, first, n, prot.contains(Prot::WRITE));
                Self::set(&mut self.readable, first, n, prot.contains(Prot::READ));
            }
            Step::Touch(access) => (first..first + n).for_each(|page| self.touch(vm, page, access)),
            Step::Advise(advice) => {
                vm.madvise(1, addr, len, advice).expect("mapped");
                if advice == DONTNEED {
                    Self::set(&mut self.protected, first, n, false);
                }
            }
            Step::ClearRefs => vm.clear_refs(1, 4).expect("known"),
            Step::Fork => {
                let child = vm.fork(1).expect("there is memory");
                let unprotected = self.bits(vm, child).iter().all(|bits| !bits.contains(Pagemap::UFFD_WP));
                assert!(unprotected, "the child has protection");
                vm.exit(child).expect("it lives");
            }
            Step::Move => {
                let to = self.base + (1 << 30);
                for page in 0..PAGES {
                    let from = self.base + page * PAGE;
                    let flags = ptelab_machine::MremapFlags::MAYMOVE | ptelab_machine::MremapFlags::FIXED;
                    vm.mremap(1, from, PAGE, PAGE, flags, to + page * PAGE).expect("free");
                }
                self.base = to;
            }
        }
    }

    fn touch(&self, vm: &mut AnyVm, page: u64, access: Access) {
        let i = page as usize;
        let expected = match access {
            Access::Read if !self.readable[i] => Err(Signal::Segv),
            Access::Write if !self.writable[i] => Err(Signal::Segv),
            Access::Write if self.protected[i] => Err(Signal::Bus),
            _ => Ok(()),
        };
        let got = vm.touch(1, self.base + page * PAGE, PAGE, access);
        assert_eq!(got, expected.map_err(CallError::Signal), "page {page}, {access:?}");
    }

    fn bits(&self, vm: &AnyVm, pid: u32) -> Vec<Pagemap> {
        let snapshot = vm.snapshot(pid, self.base, PAGES * PAGE).expect("it lives");
        let runs = snapshot.runs.iter();
        runs.flat_map(|run| vec![run.pagemap.unwrap_or_default(); run.n as usize]).collect()
    }

    fn check(&self, vm: &AnyVm) {
        let seen: Vec<bool> = self.bits(vm, 1).iter().map(|bits| bits.contains(Pagemap::UFFD_WP)).collect();
        assert_eq!(seen, self.protected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A page is protected from when it was asked for until it was lifted or its contents were dropped, and exactly then a
    /// write ends in SIGBUS.
    #[test]
    fn protection_is_never_lost(steps in vec(step(), 1..30)) {
        for port in PORTS {
            for rules in KernelRules::ALL {
                let mut vm = machine(port.name, rules);
                vm.thp_size(64 << 10, ThpMode::Always).expect("every port has it");
                anon(&mut vm, 0, PAGES, RW);
                vm.touch(1, BASE, WHOLE_FOLIOS * PAGE, Access::Write).expect("writable");
                let features = UffdFeatures::WP | UffdFeatures::WP_UNPOPULATED | UffdFeatures::EVENT_REMAP;
                vm.uffd_register(1, BASE, PAGES * PAGE, features).expect("it is anonymous memory");
                let (no, yes) = ([false; PAGES as usize], [true; PAGES as usize]);
                let mut model = Model { base: BASE, protected: no, writable: yes, readable: yes };
                for &step in &steps {
                    model.run(&mut vm, step);
                    model.check(&vm);
                }
            }
        }
    }
}
