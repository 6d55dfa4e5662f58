//! Stacks, and the gap below them.

use super::{
    ANON, BASE, Calls as _, OfKernel, PAGE, RW, anon, every_kernel, everywhere, fails, gets, maps, maps_in,
};
use ptelab_machine::mm;
use ptelab_machine::mm::{Kernel, Mm};
use ptelab_machine::pgtable::PlainHw;
use ptelab_machine::pgtable::laws::PortFacts;
use ptelab_machine::{Access, Advice, Errno, MapFlags, Prot, SigCode, Signal, VirtAddr};

const TOP: u64 = BASE + 4096 * PAGE;

#[test]
fn a_stack_grows_on_access_up_to_its_limit() {
    everywhere(|vm| {
        assert_eq!(vm.setup_stack(1, TOP, 33 * PAGE), Ok(()));
        assert_eq!(maps(vm), ["4063-4096 rw-p 0 [stack] gd ac"]);
        assert_eq!(vm.touch(1, TOP - 40 * PAGE, 1, Access::Write), Ok(()));
        assert_eq!(maps(vm), ["4056-4096 rw-p 0 [stack] gd ac"]);
        let below = TOP - (8 << 20) - 1;
        assert_eq!(vm.touch(1, below, 1, Access::Read), gets(Signal::SEGV, SigCode::MAPERR, below));
        assert_eq!(vm.touch(1, TOP - (8 << 20), 1, Access::Read), Ok(()));
        assert_eq!(maps(vm), ["2048-4096 rw-p 0 [stack] gd ac"]);
        assert_eq!(vm.munmap(1, BASE, 4096 * PAGE), Ok(()));
    });
}

/// As a 6.18 kernel does it: 256 pages stay free above accessible memory; PROT_NONE may be nearer.
#[test]
fn the_guard_gap_is_kept_from_what_can_be_accessed() {
    everywhere(|vm| {
        anon(vm, 300, 1, RW);
        let gd = ANON | MapFlags::GROWSDOWN;
        let top = BASE + 600 * PAGE;
        assert_eq!(vm.mmap(1, top, PAGE, RW, gd), Ok(top));
        let near = top - 44 * PAGE;
        assert_eq!(vm.touch(1, near, 1, Access::Write), gets(Signal::SEGV, SigCode::MAPERR, near));
        assert_eq!(vm.touch(1, top - 43 * PAGE, 1, Access::Write), Ok(()));
        assert_eq!(vm.mprotect(1, BASE + 300 * PAGE, PAGE, Prot::empty()), Ok(()));
        assert_eq!(vm.touch(1, top - 200 * PAGE, 1, Access::Write), Ok(()));
        assert_eq!(maps(vm)[1], "400-601 rw-p 0 gd ac");
    });
}

/// Calls have no hints: where they name an address they mean it.
struct Hints;

impl OfKernel for Hints {
    fn test<P: PortFacts>(kernel: &mut Kernel<P, PlainHw>, mm: &mut Mm) {
        let hinted = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        let mut mmap =
            |addr, flags| mm::mmap(kernel, mm, VirtAddr::new(addr), PAGE, RW, flags).map(VirtAddr::get);
        let top = BASE + 600 * PAGE;
        assert_eq!(mmap(top, ANON | MapFlags::GROWSDOWN), Ok(top));
        let near = top - 256 * PAGE;
        assert_ne!(mmap(near, hinted), Ok(near));
        assert_eq!(mmap(near - PAGE, hinted), Ok(near - PAGE));
        assert_eq!(mmap(near, ANON), Ok(near));
    }
}

#[test]
fn hints_and_free_places_keep_the_gap_and_fixed_ones_do_not() {
    every_kernel::<Hints>();
    everywhere(|vm| {
        let hinted = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        let high = vm.mmap(1, 0, PAGE, RW, hinted | MapFlags::GROWSDOWN).expect("a free place");
        assert_eq!(vm.mmap(1, 0, PAGE, RW, hinted), Ok(high - 257 * PAGE));
    });
}

#[test]
fn a_stack_is_where_nothing_is() {
    everywhere(|vm| {
        anon(vm, 0, 1, RW);
        assert_eq!(vm.setup_stack(1, BASE + PAGE, PAGE), fails(Errno::EEXIST));
        assert_eq!(vm.setup_stack(1, BASE, 1), fails(Errno::EINVAL));
        assert_eq!(vm.setup_stack(1, BASE, BASE + PAGE), fails(Errno::EINVAL));
        assert_eq!(vm.setup_stack(1, u64::MAX, PAGE), fails(Errno::EINVAL));
        assert_eq!(maps_in(vm, 1, 0, u64::MAX).len(), 1);
    });
}

/// Stacks of threads want no huge pages, which keeps them apart from their neighbours.
#[test]
fn kinds_of_memory_have_their_flags() {
    everywhere(|vm| {
        let kinds = [
            (ANON | MapFlags::STACK, "0-1 rw-p 0 ac nh"),
            (ANON, "1-2 rw-p 0 ac"),
            (ANON | MapFlags::NORESERVE, "2-3 rw-p 0 nr"),
            (ANON | MapFlags::LOCKED, "3-4 rw-p 0 lo ac"),
            (
                MapFlags::from_bits_retain(0x8) | MapFlags::ANONYMOUS | MapFlags::FIXED,
                "4-5 rw-p 0 nr wf dd dp",
            ),
        ];
        for (page, (flags, _)) in (0..).zip(kinds) {
            let at = BASE + page * PAGE;
            assert_eq!(vm.mmap(1, at, PAGE, RW, flags), Ok(at));
        }
        assert_eq!(maps(vm), kinds.map(|(_, line)| line));
        let resident: Vec<u64> =
            vm.vmas(1, BASE, 5 * PAGE).expect("process 1").iter().map(|vma| vma.rss / PAGE).collect();
        assert_eq!(resident, [0, 0, 0, 1, 0]);
        // What was droppable stays so.
        assert_eq!(vm.madvise(1, BASE + 4 * PAGE, PAGE, Advice::KEEPONFORK), fails(Errno::EINVAL));
        assert_eq!(vm.madvise(1, BASE + 4 * PAGE, PAGE, Advice::DODUMP), fails(Errno::EINVAL));
        assert_eq!(vm.mlock(1, BASE + 4 * PAGE, PAGE), Ok(()));
        assert_eq!(maps(vm)[4], "4-5 rw-p 0 nr wf dd dp");
    });
}

/// Results of kernels without a pool of huge pages.
#[test]
fn senseless_flags_are_refused() {
    everywhere(|vm| {
        let droppable = MapFlags::from_bits_retain(0x8) | MapFlags::ANONYMOUS | MapFlags::FIXED;
        let validate = MapFlags::from_bits_retain(0x3) | MapFlags::ANONYMOUS | MapFlags::FIXED;
        let huge = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::HUGETLB;
        let sized = |log: u64| huge | MapFlags::from_bits_retain(log << 26);
        // Where the largest huge pages would be aligned, and where none are.
        let (aligned, unaligned) = (1 << 40, (1 << 40) + PAGE);
        for (flags, errno) in [(huge, Errno::ENOMEM), (sized(17), Errno::EINVAL), (sized(30), Errno::ENOMEM)]
        {
            assert_eq!(vm.mmap(1, aligned, PAGE, RW, flags), fails(errno), "{flags:?}");
            assert_eq!(vm.mmap(1, unaligned, PAGE, RW, flags), fails(Errno::EINVAL), "{flags:?}");
        }
        for (flags, errno) in [
            (droppable | MapFlags::LOCKED, Errno::EINVAL),
            (droppable | MapFlags::GROWSDOWN, Errno::EINVAL),
            (validate, Errno::EINVAL),
            (PRIVATE_NO_FILE, Errno::EBADF),
        ] {
            assert_eq!(vm.mmap(1, BASE, PAGE, RW, flags), fails(errno), "{flags:?}");
        }
    });
}

const PRIVATE_NO_FILE: MapFlags = MapFlags::PRIVATE;
