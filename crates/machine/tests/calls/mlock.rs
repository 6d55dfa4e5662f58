//! Locked memory, with the results of a 6.18 kernel.

use super::{BASE, Calls as _, PAGE, RW, anon, everywhere, fails, maps};
use ptelab_machine::mm::Rules;
use ptelab_machine::{Advice, Backend, Errno, MclFlags, MlockFlags, MremapFlags, Prot};

fn resident(vm: &dyn Backend) -> u64 {
    vm.vmas(1, BASE, 1 << 30).expect("process 1").iter().map(|vma| vma.rss / PAGE).sum()
}

#[test]
fn locks_split_fault_in_and_merge_again() {
    everywhere(|vm| {
        anon(vm, 0, 8, RW);
        assert_eq!(vm.mlock(1, BASE + PAGE + 2048, 1), Ok(()));
        assert_eq!(vm.mlock2(1, BASE + 4 * PAGE, PAGE, MlockFlags::ONFAULT), Ok(()));
        let locked =
            ["0-1 rw-p 0 ac", "1-2 rw-p 0 lo ac", "2-4 rw-p 0 ac", "4-5 rw-p 0 lo lf ac", "5-8 rw-p 0 ac"];
        assert_eq!(maps(vm), locked);
        assert_eq!(resident(vm), 1);
        assert_eq!(vm.mlock2(1, BASE, PAGE, MlockFlags::from_bits_retain(2)), fails(Errno::EINVAL));
        assert_eq!(vm.mlock(1, BASE, 0), Ok(()));
        assert_eq!(vm.mlock(1, BASE, u64::MAX - PAGE), fails(Errno::EINVAL));
        for advice in [Advice::DONTNEED, Advice::FREE, Advice::COLD] {
            assert_eq!(vm.madvise(1, BASE + PAGE, PAGE, advice), fails(Errno::EINVAL));
        }
        assert_eq!(vm.madvise(1, BASE + PAGE, PAGE, Advice::DONTNEED_LOCKED), Ok(()));
        assert_eq!(vm.munlock(1, BASE, 8 * PAGE), Ok(()));
        let unlocked: &[&str] = if vm.rules().has(Rules::used_merges_with_unused) {
            &["0-8 rw-p 0 ac"]
        } else {
            &["0-1 rw-p 0 ac", "1-2 rw-p 0 ac", "2-8 rw-p 0 ac"]
        };
        assert_eq!(maps(vm), unlocked);
    });
}

#[test]
fn holes_stop_it_and_what_is_before_them_is_locked() {
    everywhere(|vm| {
        anon(vm, 0, 3, RW);
        anon(vm, 4, 4, RW);
        assert_eq!(vm.mlock(1, BASE, 8 * PAGE), fails(Errno::ENOMEM));
        assert_eq!(maps(vm), ["0-3 rw-p 0 lo ac", "4-8 rw-p 0 ac"]);
        assert_eq!(resident(vm), 0);
        assert_eq!(vm.mlock(1, BASE + 3 * PAGE, 2 * PAGE), fails(Errno::ENOMEM));
        assert_eq!(vm.munlock(1, BASE, 8 * PAGE), fails(Errno::ENOMEM));
        assert_eq!(maps(vm)[0], "0-3 rw-p 0 ac");
    });
}

#[test]
fn what_cannot_be_accessed_is_locked_but_not_there() {
    everywhere(|vm| {
        anon(vm, 0, 2, Prot::empty());
        assert_eq!(vm.mlock(1, BASE, PAGE), fails(Errno::ENOMEM));
        assert_eq!(maps(vm), ["0-1 ---p 0 lo", "1-2 ---p 0"]);
        assert_eq!(vm.mprotect(1, BASE, 2 * PAGE, RW), Ok(()));
        assert_eq!(maps(vm), ["0-1 rw-p 0 lo ac", "1-2 rw-p 0 ac"]);
        assert_eq!(resident(vm), 1);
    });
}

#[test]
fn everything_and_what_will_be() {
    everywhere(|vm| {
        anon(vm, 0, 2, RW);
        assert_eq!(vm.mlockall(1, MclFlags::empty()), fails(Errno::EINVAL));
        assert_eq!(vm.mlockall(1, MclFlags::ONFAULT), fails(Errno::EINVAL));
        assert_eq!(vm.mlockall(1, MclFlags::from_bits_retain(8)), fails(Errno::EINVAL));
        assert_eq!(vm.mlockall(1, MclFlags::CURRENT), Ok(()));
        assert_eq!((maps(vm), resident(vm)), (vec!["0-2 rw-p 0 lo ac".into()], 2));
        assert_eq!(vm.mlockall(1, MclFlags::FUTURE | MclFlags::ONFAULT), Ok(()));
        anon(vm, 4, 1, RW);
        assert_eq!(maps(vm), ["0-2 rw-p 0 lo ac", "4-5 rw-p 0 lo lf ac"]);
        assert_eq!(vm.munlockall(1), Ok(()));
        anon(vm, 2, 2, RW);
        assert_eq!(maps(vm), ["0-5 rw-p 0 ac"]);
    });
}

#[test]
fn a_heap_and_a_move_of_locked_memory_are_faulted_in() {
    everywhere(|vm| {
        vm.set_brk(1, BASE, BASE).expect("process 1");
        vm.mlockall(1, MclFlags::FUTURE).expect("flags that make sense");
        assert_eq!(vm.brk(1, BASE + 2 * PAGE), Ok(BASE + 2 * PAGE));
        assert_eq!((maps(vm), resident(vm)), (vec!["0-2 rw-p 0 [heap] lo ac".into()], 2));
        assert_eq!(vm.mremap(1, BASE, 2 * PAGE, 5 * PAGE, MremapFlags::empty(), 0), Ok(BASE));
        assert_eq!(resident(vm), 5);
        // A child has nothing locked, now or later.
        let child = vm.fork(1).expect("memory");
        assert_eq!(vm.brk(child, 0), Ok(BASE + 2 * PAGE));
        assert_eq!(super::maps_in(vm, child, BASE, PAGE), ["0-5 rw-p 0 [heap] ac"]);
    });
}
