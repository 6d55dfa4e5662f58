//! msync, mincore, process_madvise, protection keys, System V memory.

use super::{BASE, Calls as _, PAGE, PRIVATE, RW, anon, everywhere, fails, gets, machine, maps, open};
use ptelab_machine::{
    Access, Advice, Backend, Builder, Errno, FileMode, KernelRules, MsFlags, PkeyRights, Prot, ShmFlags,
    SigCode, Signal, ports,
};

/// A key that takes no access away.
const ANY: PkeyRights = PkeyRights::empty();

/// Results of a 6.18 kernel over a page, a hole, a page and a locked page.
#[test]
fn msync_checks_as_linux_does() {
    everywhere(|vm| {
        anon(vm, 0, 1, RW);
        anon(vm, 2, 2, RW);
        vm.mlock(1, BASE + 3 * PAGE, PAGE).expect("mapped");
        let (none, both) = (MsFlags::empty(), MsFlags::ASYNC | MsFlags::SYNC);
        for (page, offset, pages, flags, result) in [
            (0, 0, 4, MsFlags::ASYNC, fails(Errno::ENOMEM)),
            (0, 0, 4, MsFlags::SYNC, fails(Errno::ENOMEM)),
            (0, 0, 4, none, fails(Errno::ENOMEM)),
            (0, 0, 4, MsFlags::INVALIDATE, fails(Errno::EBUSY)),
            (0, 0, 1, both, fails(Errno::EINVAL)),
            (0, 1, 1, MsFlags::SYNC, fails(Errno::EINVAL)),
            (0, 0, 0, MsFlags::from_bits_retain(8), fails(Errno::EINVAL)),
            (2, 0, 3, none, fails(Errno::ENOMEM)),
            (2, 0, 2, MsFlags::SYNC, Ok(())),
            (1, 0, 0, MsFlags::SYNC, Ok(())),
        ] {
            let got = vm.msync(1, BASE + page * PAGE + offset, pages * PAGE, flags);
            assert_eq!(got, result, "{page} {pages} {flags:?}");
        }
    });
}

#[test]
fn mincore_sees_pages_and_the_page_cache() {
    everywhere(|vm| {
        anon(vm, 0, 3, RW);
        vm.touch(1, BASE, PAGE, Access::Read).expect("mapped");
        vm.touch(1, BASE + 2 * PAGE, PAGE, Access::Write).expect("mapped");
        assert_eq!(vm.mincore(1, BASE, 2 * PAGE + 1), Ok(vec![1, 0, 1]));
        assert_eq!(vm.mincore(1, BASE + 1, PAGE), fails(Errno::EINVAL));
        assert_eq!(vm.mincore(1, BASE, 4 * PAGE), fails(Errno::ENOMEM));
        assert_eq!(vm.mincore(1, BASE, u64::MAX), fails(Errno::ENOMEM));
        assert_eq!(vm.mincore(1, BASE, 0), Ok(vec![]));
        let file = open(vm, "/f", FileMode::READ | FileMode::WRITE, None);
        vm.mmap_file(1, BASE + 4 * PAGE, 2 * PAGE, Prot::READ, PRIVATE, (file, 0)).expect("free");
        vm.pwrite(1, file, 1, 1, PAGE).expect("open for writing");
        assert_eq!(vm.mincore(1, BASE + 4 * PAGE, 2 * PAGE), Ok(vec![0, 1]));
    });
}

#[test]
fn to_mincore_a_guard_region_is_nothing() {
    for port in ports() {
        let vm = &mut *machine(port.name, KernelRules::DEFAULT);
        anon(vm, 0, 1, RW);
        vm.touch(1, BASE, PAGE, Access::Write).expect("mapped");
        assert_eq!(vm.madvise(1, BASE, PAGE, Advice::GUARD_INSTALL), Ok(()));
        assert_eq!(vm.mincore(1, BASE, PAGE), Ok(vec![0]));
    }
}

#[test]
fn process_madvise_counts_what_it_advised() {
    everywhere(|vm| {
        anon(vm, 0, 2, RW);
        anon(vm, 3, 1, RW);
        let (dontneed, unknown) = (Advice::DONTNEED, Advice::from_raw(77));
        let ranges = [(BASE, PAGE), (BASE + PAGE, 2 * PAGE), (BASE + 3 * PAGE, PAGE)];
        assert_eq!(vm.process_madvise(1, &ranges, dontneed, 0), Ok(PAGE));
        assert_eq!(vm.process_madvise(1, &ranges[1..], dontneed, 0), fails(Errno::ENOMEM));
        assert_eq!(vm.process_madvise(1, &ranges[..1], dontneed, 1), fails(Errno::EINVAL));
        assert_eq!(vm.process_madvise(1, &ranges[..1], unknown, 0), fails(Errno::EINVAL));
        assert_eq!(vm.process_madvise(1, &[], unknown, 0), Ok(0));
        assert_eq!(vm.process_madvise(1, &[(BASE, 5)], dontneed, 0), Ok(5));
        assert_eq!(vm.process_madvise(1, &[(BASE, u64::MAX)], dontneed, 0), fails(Errno::EINVAL));
        assert_eq!(vm.process_madvise(1, &vec![(BASE, 0); 1025], dontneed, 0), fails(Errno::EINVAL));
    });
}

#[test]
fn keys_permit_what_they_were_given_out_for() {
    let mut vm = machine("x86_64", KernelRules::DEFAULT);
    anon(&mut *vm, 0, 2, RW);
    assert_eq!(vm.memset(1, BASE, 7, PAGE), Ok(()));
    let denied = |at| gets(Signal::SEGV, SigCode::PKUERR, at);
    let keys = [ANY, PkeyRights::DISABLE_WRITE, PkeyRights::DISABLE_ACCESS];
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (rights, key) in keys.into_iter().zip(1..) {
        assert_eq!(vm.pkey_alloc(1, 0, rights), Ok(key));
        assert_eq!(vm.pkey_mprotect(1, BASE, 2 * PAGE, RW, key), Ok(()));
        for at in [BASE, BASE + PAGE] {
            reads.push(vm.touch(1, at, PAGE, Access::Read) == denied(at));
            writes.push(vm.touch(1, at, PAGE, Access::Write) == denied(at));
        }
    }
    assert_eq!(reads, [false, false, false, false, true, true]);
    assert_eq!(writes, [false, false, true, true, true, true]);
    // Given back, a key denies what it did; given out again, what it is told to.
    assert_eq!((vm.pkey_free(1, 3), vm.touch(1, BASE, PAGE, Access::Read)), (Ok(()), denied(BASE)));
    assert_eq!((vm.pkey_alloc(1, 0, ANY), vm.touch(1, BASE, PAGE, Access::Write)), (Ok(3), Ok(())));
}

#[test]
fn keys_are_given_out_in_order_and_taken_back() {
    let mut vm = machine("x86_64", KernelRules::DEFAULT);
    anon(&mut *vm, 0, 1, RW);
    assert_eq!(vm.pkey_alloc(1, 1, ANY), fails(Errno::EINVAL));
    assert_eq!(vm.pkey_alloc(1, 0, PkeyRights::from_bits_retain(4)), fails(Errno::EINVAL));
    assert_eq!(vm.pkey_alloc(1, 0, PkeyRights::DISABLE_ACCESS | PkeyRights::DISABLE_WRITE), Ok(1));
    // The hidden key of memory that may only be executed is the next, and nobody's to name.
    assert_eq!(vm.mprotect(1, BASE, PAGE, Prot::EXEC), Ok(()));
    let key = |vm: &dyn Backend| vm.vmas(1, BASE, PAGE).expect("process 1")[0].flags.pkey();
    assert_eq!(key(&*vm), 2);
    assert_eq!(vm.pkey_mprotect(1, BASE, PAGE, RW, 2), fails(Errno::EINVAL));
    assert_eq!(vm.pkey_free(1, 2), fails(Errno::EINVAL));
    assert_eq!(vm.pkey_alloc(1, 0, ANY), Ok(3));
    assert_eq!(vm.pkey_mprotect(1, BASE, PAGE, RW, 1), Ok(()));
    assert_eq!(key(&*vm), 1);
    assert_eq!(vm.touch(1, BASE, PAGE, Access::Read), gets(Signal::SEGV, SigCode::PKUERR, BASE));
    // mprotect leaves the key that was chosen.
    assert_eq!(vm.pkey_mprotect(1, BASE, PAGE, Prot::READ, -1), Ok(()));
    assert_eq!(key(&*vm), 1);
    assert_eq!(vm.pkey_mprotect(1, BASE, PAGE, RW, 0), Ok(()));
    assert_eq!(vm.touch(1, BASE, PAGE, Access::Read), Ok(()));
    assert_eq!((vm.pkey_free(1, 1), vm.pkey_free(1, 1)), (Ok(()), fails(Errno::EINVAL)));
    assert_eq!(vm.pkey_alloc(1, 0, ANY), Ok(1));
    for key in 4..16 {
        assert_eq!(vm.pkey_alloc(1, 0, ANY), Ok(key));
    }
    assert_eq!(vm.pkey_alloc(1, 0, ANY), fails(Errno::ENOSPC));
    assert_eq!(vm.pkey_free(1, 16), fails(Errno::EINVAL));
    assert_eq!(vm.pkey_free(1, -1), fails(Errno::EINVAL));
}

/// What a 6.18 kernel says on an x86 CPU without keys, what arm64 says without POE, and an architecture that has none.
#[test]
fn without_keys_each_port_says_so_in_its_way() {
    let mut none = Builder::new("x86_64").cpu("pku", false).build().expect("a port");
    assert_eq!(none.pkey_alloc(1, 0, ANY), fails(Errno::EINVAL));
    assert_eq!(none.pkey_free(1, 0), fails(Errno::EINVAL));
    anon(&mut *none, 0, 1, RW);
    assert_eq!(none.pkey_mprotect(1, BASE, PAGE, RW, 0), fails(Errno::EINVAL));
    assert_eq!(none.pkey_mprotect(1, BASE, PAGE, RW, -1), Ok(()));
    assert_eq!(none.pkey_mprotect(1, BASE + PAGE, PAGE, RW, -1), fails(Errno::ENOMEM));
    let mut arm64 = Builder::new("arm64").cpu("poe", false).build().expect("a port");
    anon(&mut *arm64, 0, 1, RW);
    assert_eq!(arm64.pkey_alloc(1, 0, ANY), fails(Errno::ENOSPC));
    assert_eq!(arm64.pkey_mprotect(1, BASE, PAGE, RW, 0), Ok(()));
    let mut generic = machine("generic", KernelRules::DEFAULT);
    assert_eq!(generic.pkey_alloc(1, 0, ANY), fails(Errno::ENOSYS));
    assert_eq!(generic.pkey_free(1, 0), fails(Errno::ENOSYS));
    assert_eq!(generic.pkey_mprotect(1, BASE, PAGE, RW, -1), fails(Errno::ENOSYS));
}

/// Results of a 6.18 kernel.
#[test]
fn segments_are_attached_and_detached() {
    everywhere(|vm| {
        let id = vm.shmget(1, 0, 3 * PAGE + 1, ShmFlags::CREAT).expect("room");
        assert_eq!(vm.shmat(1, id, BASE, ShmFlags::empty()), Ok(BASE));
        assert_eq!(vm.shmat(1, id, BASE + 4 * PAGE, ShmFlags::RDONLY), Ok(BASE + 4 * PAGE));
        assert_eq!(vm.shmat(1, id, BASE + 8 * PAGE, ShmFlags::EXEC), Ok(BASE + 8 * PAGE));
        assert_eq!(
            maps(vm),
            [
                "0-4 rw-s 0 /SYSV00000000 (deleted)",
                "4-8 r--s 0 /SYSV00000000 (deleted)",
                "8-12 rwxs 0 /SYSV00000000 (deleted)",
            ]
        );
        assert_eq!(vm.memset(1, BASE + PAGE, 9, 1), Ok(()));
        assert_eq!(vm.read_byte(1, BASE + 5 * PAGE), Ok(9));
        assert_eq!(vm.mprotect(1, BASE + 4 * PAGE, PAGE, RW), fails(Errno::EACCES));
        // A VMA whose end its segment must hear of does not vanish in its neighbour.
        vm.mprotect(1, BASE + PAGE, PAGE, Prot::READ).expect("mapped");
        vm.mprotect(1, BASE + PAGE, PAGE, RW).expect("mapped");
        assert_eq!(maps(vm)[..3].len(), 3);
        assert_eq!(maps(vm)[1], "1-2 rw-s 1 /SYSV00000000 (deleted)");
        assert_eq!(vm.set_anon_vma_name(1, BASE, PAGE, Some("x")), fails(Errno::EBADF));
        let odd = BASE + 32 * PAGE + 1;
        for (addr, flags) in
            [(BASE + 2 * PAGE, ShmFlags::empty()), (odd, ShmFlags::empty()), (0, ShmFlags::REMAP)]
        {
            assert_eq!(vm.shmat(1, id, addr, flags), fails(Errno::EINVAL));
        }
        assert_eq!(vm.shmat(1, id, odd, ShmFlags::RND), Ok(odd - 1));
        assert_eq!(vm.shmdt(1, BASE + PAGE), fails(Errno::EINVAL));
        assert_eq!((vm.shmdt(1, BASE), vm.shmdt(1, BASE)), (Ok(()), fails(Errno::EINVAL)));
        assert_eq!(vm.shmdt(1, BASE + 4 * PAGE), Ok(()));
        assert_eq!(vm.shmdt(1, BASE + 8 * PAGE + 1), fails(Errno::EINVAL));
        assert_eq!(
            maps(vm),
            ["8-12 rwxs 0 /SYSV00000000 (deleted)", "32-36 rw-s 0 /SYSV00000000 (deleted)",]
        );
        assert_eq!(vm.shm_rmid(1, id), Ok(()));
        assert_eq!(vm.read_byte(1, BASE + 9 * PAGE), Ok(9));
        // Until its last mapping goes, it can be mapped by its number.
        assert_eq!(vm.shm_rmid(1, id), Ok(()));
        assert_eq!(vm.shmat(1, id, BASE + 64 * PAGE, ShmFlags::empty()), Ok(BASE + 64 * PAGE));
        for at in [8, 32, 64] {
            assert_eq!(vm.shmdt(1, BASE + at * PAGE), Ok(()));
        }
        assert_eq!(vm.shmat(1, id, 0, ShmFlags::empty()), fails(Errno::EINVAL));
        assert_eq!(vm.shm_rmid(1, id), fails(Errno::EINVAL));
    });
}

#[test]
fn segments_are_found_by_their_key() {
    everywhere(|vm| {
        let make = ShmFlags::CREAT;
        assert_eq!(vm.shmget(1, 5, 0, make), fails(Errno::EINVAL));
        assert_eq!(vm.shmget(1, 5, 10, ShmFlags::empty()), fails(Errno::ENOENT));
        let id = vm.shmget(1, 5, 10, make).expect("room");
        assert_eq!(vm.shmget(1, 5, 10, make), Ok(id));
        assert_eq!(vm.shmget(1, 5, 0, ShmFlags::empty()), Ok(id));
        assert_eq!(vm.shmget(1, 5, 11, ShmFlags::empty()), fails(Errno::EINVAL));
        assert_eq!(vm.shmget(1, 5, 10, make | ShmFlags::EXCL), fails(Errno::EEXIST));
        assert_eq!(vm.shmget(1, 6, 10, make | ShmFlags::HUGETLB), fails(Errno::ENOMEM));
        assert_eq!(vm.shmget(1, 6, u64::MAX, make), fails(Errno::ENOMEM));
        assert_ne!(vm.shmget(1, 0, 10, make), vm.shmget(1, 0, 10, make));
    });
}
