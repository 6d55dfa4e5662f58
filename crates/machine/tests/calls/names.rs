//! Names of anonymous memory.

use super::{BASE, Calls as _, PAGE, PRIVATE, RW, SHARED, anon, everywhere, fails, maps, maps_in, open};
use ptelab_machine::{Errno, FileMode, MapFlags, Prot};

#[test]
fn names_split_and_keep_from_merging() {
    everywhere(|vm| {
        anon(vm, 0, 8, RW);
        assert_eq!(vm.set_anon_vma_name(1, BASE + 2 * PAGE, PAGE + 1, Some("a b")), Ok(()));
        let named = ["0-2 rw-p 0 ac", "2-4 rw-p 0 [anon:a b] ac", "4-8 rw-p 0 ac"];
        assert_eq!(maps(vm), named);
        let child = vm.fork(1).expect("memory");
        assert_eq!(maps_in(vm, child, BASE, 8 * PAGE), named);
        // mprotect there and back merges within one name only.
        vm.mprotect(1, BASE + 3 * PAGE, PAGE, Prot::READ).expect("mapped");
        vm.mprotect(1, BASE + 3 * PAGE, PAGE, RW).expect("mapped");
        assert_eq!(maps(vm), named);
        assert_eq!(vm.set_anon_vma_name(1, BASE, 2 * PAGE, Some("a b")), Ok(()));
        assert_eq!(maps(vm)[0], "0-4 rw-p 0 [anon:a b] ac");
        assert_eq!(vm.set_anon_vma_name(1, BASE, 8 * PAGE, None), Ok(()));
        assert_eq!(maps(vm), ["0-8 rw-p 0 ac"]);
    });
}

#[test]
fn names_are_checked() {
    everywhere(|vm| {
        anon(vm, 0, 1, RW);
        for bad in ["a[b", "$", "`", "\\", "]", "\t", "ü", &"x".repeat(80)] {
            assert_eq!(vm.set_anon_vma_name(1, BASE, PAGE, Some(bad)), fails(Errno::EINVAL), "{bad}");
        }
        assert_eq!(vm.set_anon_vma_name(1, BASE + 1, PAGE, None), fails(Errno::EINVAL));
        assert_eq!(vm.set_anon_vma_name(1, BASE, u64::MAX, None), fails(Errno::EINVAL));
        assert_eq!(vm.set_anon_vma_name(1, BASE, 0, Some("x")), Ok(()));
        assert_eq!(vm.set_anon_vma_name(1, BASE, PAGE, Some(&"x".repeat(79))), Ok(()));
        assert_eq!(vm.set_anon_vma_name(1, BASE, PAGE, Some("")), Ok(()));
        assert_eq!(maps(vm), ["0-1 rw-p 0 [anon:] ac"]);
    });
}

#[test]
fn only_anonymous_memory_has_names() {
    everywhere(|vm| {
        let file = open(vm, "/f", FileMode::READ, None);
        anon(vm, 0, 1, RW);
        vm.mmap(1, BASE + PAGE, PAGE, RW, SHARED | MapFlags::ANONYMOUS).expect("free");
        vm.mmap_file(1, BASE + 2 * PAGE, PAGE, RW, PRIVATE, (file, 0)).expect("free");
        anon(vm, 3, 1, RW);
        assert_eq!(vm.set_anon_vma_name(1, BASE, 4 * PAGE, Some("n")), fails(Errno::EBADF));
        assert_eq!(
            maps(vm),
            ["0-1 rw-p 0 [anon:n] ac", "1-2 rw-s 0 [anon_shmem:n]", "2-3 rw-p 0 /f ac", "3-4 rw-p 0 ac",]
        );
        vm.munmap(1, BASE + PAGE, 2 * PAGE).expect("a range");
        assert_eq!(vm.set_anon_vma_name(1, BASE, 5 * PAGE, Some("m")), fails(Errno::ENOMEM));
        assert_eq!(maps(vm), ["0-1 rw-p 0 [anon:m] ac", "3-4 rw-p 0 [anon:m] ac"]);
        vm.set_brk(1, BASE, BASE + PAGE).expect("process 1");
        assert_eq!(maps(vm)[0], "0-1 rw-p 0 [heap] ac");
    });
}
