//! Pages on their way, and those who want them.

use crate::{BASE, Calls as _, PAGE, RW, SHARED, everywhere};
use ptelab_machine::{CallError, MapFlags};

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
