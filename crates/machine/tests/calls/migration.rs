//! Migrating pages, and accesses to them.

use crate::{ANON, BASE, Calls as _, PAGE, RW, SHARED, everywhere, fails};
use ptelab_machine::{Call, CallError, Errno, MapFlags, Outcome};

/// A page of shared memory that migrates is locked: a process that did not map it before waits too, and its neighbours are mapped
/// without it.
#[test]
fn who_faults_on_a_shared_page_that_migrates_waits() {
    everywhere(|vm| {
        vm.mmap(1, BASE, 2 * PAGE, RW, SHARED | MapFlags::ANONYMOUS).expect("it is free");
        vm.memset(1, BASE, 7, 2 * PAGE).expect("it is writable");
        let child = vm.fork(1).expect("there is memory");
        vm.migrate_begin(1, BASE, PAGE).expect("it is mapped");
        assert_eq!(vm.memset(child, BASE, 1, PAGE), Err(CallError::Migrating));
        assert_eq!(vm.read_byte(child, BASE + PAGE), Ok(7));
        assert_eq!(vm.read_byte(child, BASE), Err(CallError::Migrating));
        vm.migrate_end(1, BASE, PAGE).expect("it migrates");
        vm.memset(child, BASE, 2, PAGE).expect("it is writable");
        assert_eq!(vm.read_byte(1, BASE), Ok(2));
    });
}

/// A page that is taken out of use before it fails keeps its contents in every process that maps it.
#[test]
fn a_page_that_goes_offline_moves() {
    everywhere(|vm| {
        vm.mmap(1, BASE, 4 * PAGE, RW, ANON).expect("it is free");
        vm.memset(1, BASE, 7, 2 * PAGE).expect("it is writable");
        let child = vm.fork(1).expect("there is memory");
        let before = vm.entry(child, ptelab_machine::VirtAddr::new(BASE)).expect("it lives");
        let zero_page = if vm.rules().name == "7.3" { Errno::ENOTRECOVERABLE } else { Errno::EIO };
        let mut offline = |addr| vm.call(1, &Call::SoftOffline { addr });
        assert_eq!(offline(BASE), Outcome::Value(0));
        let refused =
            [(BASE + 1, Errno::EINVAL), (BASE + 2 * PAGE, zero_page), (BASE + 4 * PAGE, Errno::EFAULT)];
        for (addr, errno) in refused {
            assert_eq!(offline(addr).result(), fails(errno), "{addr:#x}");
        }
        assert_ne!(vm.entry(child, ptelab_machine::VirtAddr::new(BASE)), Ok(before), "another frame");
        assert_eq!(vm.read_byte(child, BASE), Ok(7));
        assert_eq!(vm.read_byte(1, BASE), Ok(7));
    });
}
