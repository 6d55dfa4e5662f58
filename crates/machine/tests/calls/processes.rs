//! Which processes share an address space, and what programs inherit.

use super::{BASE, Calls as _, PAGE, RW, anon, everywhere, fails, machine, maps, maps_in};
use ptelab_machine::mm::{Absent, Rules};
use ptelab_machine::{
    Advice, Backend, Builder, Call, CallError, Errno, KernelRules, Level, MapFlags, MremapFlags, Outcome,
    ThpMode, VirtAddr,
};

#[test]
fn threads_share_until_the_last_ends() {
    everywhere(|vm| {
        let empty = vm.usage().memory;
        anon(vm, 0, 1, RW);
        let thread = vm.clone_vm(1).expect("process 1");
        assert_eq!(vm.processes(), [1, thread]);
        assert_eq!(vm.memset(thread, BASE, 5, 1), Ok(()));
        assert_eq!(vm.read_byte(1, BASE), Ok(5));
        assert_eq!(vm.exit(1), Ok(()));
        assert_eq!(vm.read_byte(1, BASE), Err(CallError::NoProcess(1)));
        assert_eq!(vm.read_byte(thread, BASE), Ok(5));
        // What a thread forks is its own.
        let child = vm.fork(thread).expect("memory");
        assert_eq!(vm.memset(thread, BASE, 6, 1), Ok(()));
        assert_eq!(vm.read_byte(child, BASE), Ok(5));
        assert_eq!((vm.exit(thread), vm.exit(child)), (Ok(()), Ok(())));
        assert!(vm.usage().memory < empty, "the last table went too");
        assert_eq!(vm.clone_vm(1), Err(CallError::NoProcess(1)));
    });
}

#[test]
fn vfork_shares_until_exec() {
    everywhere(|vm| {
        anon(vm, 0, 1, RW);
        let child = vm.clone_vm(1).expect("process 1");
        anon(vm, 1, 1, RW);
        assert_eq!(maps_in(vm, child, BASE, 2 * PAGE), ["0-2 rw-p 0 ac"]);
        assert_eq!(vm.execve(child), Ok(()));
        assert_eq!(maps_in(vm, child, 0, u64::MAX), [""; 0]);
        assert_eq!(maps(vm), ["0-2 rw-p 0 ac"]);
        assert_eq!(vm.memset(1, BASE, 1, 2 * PAGE), Ok(()));
        let used = vm.usage().memory;
        assert_eq!(vm.execve(1), Ok(()));
        assert!(vm.usage().memory < used - 2 * PAGE);
        assert_eq!(vm.execve(9), Err(CallError::NoProcess(9)));
    });
}

const PR_THP_DISABLE_EXCEPT_ADVISED: u64 = 1 << 1;

#[test]
fn a_process_without_huge_pages_has_children_without() {
    let mut vm = machine("x86_64", KernelRules::DEFAULT);
    vm.thp_size(1, 64, ThpMode::Always).expect("a size");
    let mut at = BASE;
    let mut folio = |vm: &mut dyn Backend, pid, advice| {
        at += 1 << 20;
        assert_eq!(vm.mmap(pid, at, 64 << 10, RW, super::ANON), Ok(at));
        vm.madvise(pid, at, 64 << 10, advice).expect("mapped");
        vm.memset(pid, at, 1, 1).expect("writable");
        let snapshot = vm.snapshot(pid, at, PAGE).expect("it lives");
        snapshot.runs.iter().next().and_then(|run| run.page).map(|page| page.folio_pages)
    };
    let (normal, hugepage) = (Advice::NORMAL, Advice::HUGEPAGE);
    assert_eq!(folio(&mut *vm, 1, normal), Some(16));
    assert_eq!(vm.set_thp_disable(1, 1, 0), Ok(()));
    let child = vm.fork(1).expect("memory");
    assert_eq!(vm.execve(child), Ok(()));
    assert_eq!(vm.thp_disable(child), Ok(1));
    assert_eq!((folio(&mut *vm, child, normal), folio(&mut *vm, child, hugepage)), (Some(1), Some(1)));
    assert_eq!(vm.set_thp_disable(child, 1, PR_THP_DISABLE_EXCEPT_ADVISED), Ok(()));
    assert_eq!((folio(&mut *vm, child, normal), folio(&mut *vm, child, hugepage)), (Some(1), Some(16)));
    assert_eq!(vm.set_thp_disable(1, 0, 0), Ok(()));
    assert_eq!(folio(&mut *vm, 1, normal), Some(16));
    let mut old = machine("x86_64", KernelRules::DEFAULT.with(Rules::thp_disable_except_advised, false));
    assert_eq!(old.set_thp_disable(1, 1, PR_THP_DISABLE_EXCEPT_ADVISED), fails(Errno::EINVAL));
}

/// As it was asked of 6.12 and 7.3 on s390x without EDAT-1.
#[test]
fn advice_on_huge_pages_is_taken_where_the_machine_has_none() {
    let port = Builder::new("x86_64").without(Absent::HUGE_LEAVES);
    let mut vm = port.build().expect("there is such a port");
    let huge = 2 << 20;
    assert_eq!(vm.mmap(1, BASE, 2 * huge, RW, super::ANON), Ok(BASE));
    assert_eq!(vm.madvise(1, BASE, huge, Advice::HUGEPAGE), Ok(()));
    assert_eq!(maps_in(&*vm, 1, BASE, 2 * huge), ["0-512 rw-p 0 ac hg", "512-1024 rw-p 0 ac"]);
    assert_eq!(vm.memset(1, BASE, 7, huge), Ok(()));
    assert_eq!(vm.madvise(1, BASE, huge, Advice::COLLAPSE), fails(Errno::EINVAL));
    assert_eq!(vm.madvise(1, BASE + 2 * huge, huge, Advice::COLLAPSE), fails(Errno::ENOMEM));
    assert_eq!(vm.thp_size(1, 64, ThpMode::Always), fails(Errno::ENOENT));
}

/// A block of shared memory is not collapsed here, and is not said to be what kernels refuse where they do not.
#[test]
fn what_is_not_emulated_is_not_refused_as_a_kernel_would() {
    let shared = MapFlags::SHARED | MapFlags::ANONYMOUS;
    everywhere(|vm| {
        let (huge, page) = (vm.shape().entry_size(Level::Pmd), vm.page_size());
        assert_eq!(vm.mmap(1, 2 * huge, huge, RW, shared), Ok(2 * huge));
        let collapse = |vm: &mut dyn Backend, at: u64, len: u64| vm.madvise(1, at, len, Advice::COLLAPSE);
        assert_eq!(collapse(vm, 2 * huge, huge), fails(Errno::EINVAL), "nothing is in it");
        assert_eq!(vm.memset(1, 2 * huge, 7, page), Ok(()));
        let whole = collapse(vm, 2 * huge, huge);
        if vm.rules().has(Rules::collapse_refuses_shared) {
            assert_eq!(whole, fails(Errno::EINVAL));
        } else {
            assert!(matches!(whole, Err(CallError::NotEmulated(_))), "{whole:?}");
            assert_eq!(collapse(vm, 2 * huge, page), Ok(()), "no block is whole in it");
        }
    });
}

/// As a 6.18 kernel has it: a copy of what was never faulted in joins the mapping that it was copied from.
#[test]
fn an_untouched_source_takes_its_copy_in() {
    everywhere(|vm| {
        anon(vm, 4, 3, RW);
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED | MremapFlags::DONTUNMAP;
        let (from, to) = (BASE + 4 * PAGE, BASE + 7 * PAGE);
        assert_eq!(vm.mremap(1, from, 3 * PAGE, 3 * PAGE, flags, to), Ok(to));
        assert_eq!(maps(vm).len(), 1);
        assert_eq!(vm.memset(1, from, 1, PAGE), Ok(()));
        assert_eq!(vm.mremap(1, from, PAGE, PAGE, flags, BASE + 3 * PAGE), Ok(BASE + 3 * PAGE));
        assert_eq!(maps(vm).len(), 2);
        assert_eq!((vm.read_byte(1, from), vm.read_byte(1, BASE + 3 * PAGE)), (Ok(0), Ok(1)));
    });
}

/// A move leaves a guard soft-dirty, of which a child knows nothing.
#[test]
fn a_child_has_guards_and_not_what_was_noted_of_them() {
    let mut vm = machine("x86_64", KernelRules::DEFAULT);
    let (elsewhere, fixed) = (BASE + (1 << 20), MremapFlags::MAYMOVE | MremapFlags::FIXED);
    anon(&mut *vm, 0, 1, RW);
    assert_eq!(vm.madvise(1, BASE, PAGE, Advice::GUARD_INSTALL), Ok(()));
    let guard = vm.entry(1, VirtAddr::new(BASE)).expect("it lives");
    assert_eq!(vm.mremap(1, BASE, PAGE, PAGE, fixed, elsewhere), Ok(elsewhere));
    assert_ne!(vm.entry(1, VirtAddr::new(elsewhere)), Ok(guard));
    let child = vm.fork(1).expect("memory");
    assert_eq!(vm.entry(child, VirtAddr::new(elsewhere)), Ok(guard));
}

#[test]
fn reclaim_splits_what_swap_has_no_room_for() {
    for port in ["arm64", "x86_64"] {
        let mut vm = machine(port, KernelRules::DEFAULT);
        vm.thp_size(1, 64, ThpMode::Always).expect("a size");
        assert_eq!(vm.mmap(1, BASE, 64 << 10, RW, super::ANON), Ok(BASE));
        assert_eq!(vm.memset(1, BASE, 7, 64 << 10), Ok(()));
        assert_eq!(vm.call(1, &Call::Reclaim { addr: BASE, len: 64 << 10 }), Outcome::Value(0));
        let snapshot = vm.snapshot(1, BASE, 64 << 10).expect("it lives");
        assert!(snapshot.runs.iter().all(|run| run.page.is_some_and(|page| page.folio_pages == 1)), "{port}");
    }
}
