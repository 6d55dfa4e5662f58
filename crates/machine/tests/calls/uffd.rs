//! userfaultfd's write protection, and PAGEMAP_SCAN: nothing is lost, whatever else happens to the memory.

use super::{
    ANON, BASE, Calls as _, OfKernel, PAGE, RW, anon, every_kernel, everywhere, fails, gets, machine, open,
};
use proptest::collection::vec;
use proptest::prelude::*;
use ptelab_machine::mm;
use ptelab_machine::mm::{Kernel, Mm};
use ptelab_machine::pgtable::PlainHw;
use ptelab_machine::pgtable::laws::PortFacts;
use ptelab_machine::{
    Access, Advice, Backend, Call, Errno, KernelRules, PageCategories, PageRegion, Pagemap, PmScan,
    PmScanFlags, Prot, SigCode, Signal, Switch, ThpMode, UffdFeatures, VirtAddr, ports,
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

/// The call only counts regions.
struct Scans;

impl OfKernel for Scans {
    fn test<P: PortFacts>(kernel: &mut Kernel<P, PlainHw>, mm: &mut Mm) {
        let page = |n: u64| VirtAddr::new(BASE + n * PAGE);
        mm::mmap(kernel, mm, page(0), 16 * PAGE, RW, ANON).expect("it is free");
        let features = UffdFeatures::WP | UffdFeatures::WP_ASYNC;
        mm::uffd_register(kernel, mm, page(0), 16 * PAGE, features).expect("it is anonymous memory");
        mm::touch(kernel, mm, page(0), 16 * PAGE, Access::Write).expect("writable");
        let written = PmScan { mask: WRITTEN, returned: WRITTEN | PRESENT, ..PmScan::default() };
        let protect = PmScan { flags: PmScanFlags::WP_MATCHING, ..written };
        let all = mm::pagemap_scan(kernel, mm, page(0), 16 * PAGE, &protect).expect("it may be protected");
        assert_eq!(all.regions, [region(0, 16, WRITTEN | PRESENT)]);
        mm::touch(kernel, mm, page(1), PAGE, Access::Write).expect("protection lifts itself");
        mm::touch(kernel, mm, page(5), 2 * PAGE, Access::Write).expect("protection lifts itself");
        let found = mm::pagemap_scan(kernel, mm, page(0), 16 * PAGE, &written).expect("valid");
        let expected = [region(1, 1, WRITTEN | PRESENT), region(5, 2, WRITTEN | PRESENT)];
        assert_eq!((&found.regions[..], found.walk_end), (&expected[..], page(16)));
        let two = PmScan { max_pages: 2, ..protect };
        let two = mm::pagemap_scan(kernel, mm, page(0), 16 * PAGE, &two).expect("valid");
        assert_eq!(two.regions, [region(1, 1, WRITTEN | PRESENT), region(5, 1, WRITTEN | PRESENT)]);
        assert_eq!(two.walk_end, page(6));
        let rest = mm::pagemap_scan(kernel, mm, page(0), 16 * PAGE, &written).expect("valid");
        assert_eq!(rest.regions, [region(6, 1, WRITTEN | PRESENT)]);
        let clean = PmScan { inverted: WRITTEN, ..written };
        let clean = mm::pagemap_scan(kernel, mm, page(0), 7 * PAGE, &clean).expect("valid");
        assert_eq!(clean.regions, [region(0, 6, PRESENT)]);
    }
}

#[test]
fn pagemap_scan_says_where_it_stopped() {
    every_kernel::<Scans>();
}

/// Pages that are found in one go, with the same categories, are one region.
#[test]
fn the_call_counts_regions() {
    everywhere(|vm| {
        anon(vm, 0, 16, RW);
        let features = UffdFeatures::WP | UffdFeatures::WP_ASYNC;
        vm.uffd_register(1, BASE, 16 * PAGE, features).expect("it is anonymous memory");
        vm.touch(1, BASE, 16 * PAGE, Access::Write).expect("writable");
        let (protect, returned) = (PmScanFlags::WP_MATCHING, WRITTEN | PRESENT);
        let scan = |vm: &mut dyn Backend, flags, max_pages| {
            let (addr, len, mask) = (BASE, 16 * PAGE, WRITTEN);
            vm.call(1, &Call::PagemapScan { addr, len, flags, mask, returned, max_pages }).result()
        };
        assert_eq!(scan(vm, protect, 0), Ok(1));
        assert_eq!(scan(vm, protect, 0), Ok(0));
        vm.touch(1, BASE + PAGE, PAGE, Access::Write).expect("protection lifts itself");
        vm.touch(1, BASE + 5 * PAGE, 2 * PAGE, Access::Write).expect("protection lifts itself");
        assert_eq!(scan(vm, PmScanFlags::empty(), 0), Ok(2));
        assert_eq!(scan(vm, protect, 1), Ok(1));
        assert_eq!(scan(vm, PmScanFlags::empty(), 0), Ok(1));
        assert_eq!(scan(vm, PmScanFlags::from_bits_retain(4), 0), fails(Errno::EINVAL));
    });
}

#[test]
fn files_are_protected_only_where_writes_resolve_themselves() {
    everywhere(|vm| {
        let mode = ptelab_machine::FileMode::READ | ptelab_machine::FileMode::WRITE;
        let file = open(vm, "/f", mode, Some(4 * PAGE));
        let from = (file, 0);
        vm.mmap_file(1, BASE, 4 * PAGE, RW, super::SHARED, from).expect("free");
        let wp = UffdFeatures::WP;
        assert_eq!(vm.uffd_register(1, BASE, 4 * PAGE, wp), fails(Errno::EINVAL));
        vm.uffd_register(1, BASE, 4 * PAGE, wp | UffdFeatures::WP_ASYNC).expect("any memory will do");
        assert_eq!(vm.uffd_poison(1, BASE, PAGE), fails(Errno::EINVAL));
        vm.uffd_wp(1, BASE, 4 * PAGE, Switch::On).expect("registered");
        vm.touch(1, BASE, PAGE, Access::Write).expect("protection lifts itself");
    });
}

/// What a random program does to pages.
#[derive(Clone, Copy, Debug)]
enum Step {
    Protect(Switch),
    Mprotect(Prot),
    Touch(Access),
    Advise(Advice),
    ClearRefs,
    Fork,
    Move,
}

fn step() -> impl Strategy<Value = (Step, u64, u64)> {
    let kind = prop_oneof![
        3 => Just(Step::Protect(Switch::On)),
        2 => Just(Step::Protect(Switch::Off)),
        2 => prop_oneof![Just(Prot::READ), Just(RW), Just(Prot::empty())].prop_map(Step::Mprotect),
        4 => prop_oneof![Just(Access::Read), Just(Access::Write)].prop_map(Step::Touch),
        2 => prop_oneof![Just(Advice::DONTNEED), Just(Advice::FREE), Just(Advice::COLD)].prop_map(Step::Advise),
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

    fn run(&mut self, vm: &mut dyn Backend, (step, first, n): (Step, u64, u64)) {
        let (addr, len) = (self.base + first * PAGE, n * PAGE);
        match step {
            Step::Protect(how) => {
                vm.uffd_wp(1, addr, len, how).expect("registered");
                Self::set(&mut self.protected, first, n, how == Switch::On);
            }
            Step::Mprotect(prot) => {
                vm.mprotect(1, addr, len, prot).expect("mapped");
                Self::set(&mut self.writable, first, n, prot.contains(Prot::WRITE));
                Self::set(&mut self.readable, first, n, prot.contains(Prot::READ));
            }
            Step::Touch(access) => (first..first + n).for_each(|page| self.touch(vm, page, access)),
            Step::Advise(advice) => {
                vm.madvise(1, addr, len, advice).expect("mapped");
                if advice == Advice::DONTNEED {
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

    fn touch(&self, vm: &mut dyn Backend, page: u64, access: Access) {
        let (i, addr) = (page as usize, self.base + page * PAGE);
        let signal = match access {
            Access::Read if !self.readable[i] => Some((Signal::SEGV, SigCode::ACCERR)),
            Access::Write if !self.writable[i] => Some((Signal::SEGV, SigCode::ACCERR)),
            Access::Write if self.protected[i] => Some((Signal::BUS, SigCode::ADRERR)),
            _ => None,
        };
        let expected = signal.map_or(Ok(()), |(signal, code)| gets(signal, code, addr));
        assert_eq!(vm.touch(1, addr, PAGE, access), expected, "page {page}, {access:?}");
    }

    fn bits(&self, vm: &dyn Backend, pid: u32) -> Vec<Pagemap> {
        let snapshot = vm.snapshot(pid, self.base, PAGES * PAGE).expect("it lives");
        let runs = snapshot.runs.iter();
        runs.flat_map(|run| vec![run.pagemap.unwrap_or_default(); run.n as usize]).collect()
    }

    fn check(&self, vm: &dyn Backend) {
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
        for port in ports() {
            for rules in KernelRules::ALL {
                let mut vm = machine(port.name, rules);
                vm.thp_size(1, 64, ThpMode::Always).expect("every port has it");
                anon(&mut *vm, 0, PAGES, RW);
                vm.touch(1, BASE, WHOLE_FOLIOS * PAGE, Access::Write).expect("writable");
                let features = UffdFeatures::WP | UffdFeatures::WP_UNPOPULATED | UffdFeatures::EVENT_REMAP;
                vm.uffd_register(1, BASE, PAGES * PAGE, features).expect("it is anonymous memory");
                let (no, yes) = ([false; PAGES as usize], [true; PAGES as usize]);
                let mut model = Model { base: BASE, protected: no, writable: yes, readable: yes };
                for &step in &steps {
                    model.run(&mut *vm, step);
                    model.check(&*vm);
                }
            }
        }
    }
}
