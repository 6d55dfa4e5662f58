//! The heap.

use super::{BASE, Calls as _, PAGE, RW, anon, everywhere, maps, maps_in};
use ptelab_machine::{Access, Prot};

#[test]
fn the_heap_grows_merges_and_shrinks() {
    everywhere(|vm| {
        assert_eq!(vm.set_brk(1, BASE, BASE), Ok(()));
        assert_eq!(vm.brk(1, 0), Ok(BASE));
        assert_eq!(vm.brk(1, BASE + 10), Ok(BASE + 10));
        assert_eq!(maps(vm), ["0-1 rw-p 0 [heap] ac"]);
        assert_eq!(vm.touch(1, BASE, 1, Access::Write), Ok(()));
        assert_eq!(vm.brk(1, BASE + 4 * PAGE), Ok(BASE + 4 * PAGE));
        assert_eq!(maps(vm), ["0-4 rw-p 0 [heap] ac"]);
        assert_eq!(vm.brk(1, BASE + PAGE + 1), Ok(BASE + PAGE + 1));
        assert_eq!(maps(vm), ["0-2 rw-p 0 [heap] ac"]);
        // Below its start it does not go.
        assert_eq!(vm.brk(1, BASE - 1), Ok(BASE + PAGE + 1));
        assert_eq!(vm.brk(1, BASE), Ok(BASE));
        assert_eq!(maps(vm), [""; 0]);
    });
}

/// A page stays free before the next mapping, and the whole guard gap before a stack.
#[test]
fn the_heap_keeps_its_distance() {
    everywhere(|vm| {
        vm.set_brk(1, BASE, BASE).expect("process 1");
        anon(vm, 4, 1, Prot::READ);
        assert_eq!(vm.brk(1, BASE + 4 * PAGE), Ok(BASE));
        assert_eq!(vm.brk(1, BASE + 3 * PAGE), Ok(BASE + 3 * PAGE));
        assert_eq!(vm.munmap(1, BASE + 4 * PAGE, PAGE), Ok(()));
        assert_eq!(vm.setup_stack(1, BASE + 301 * PAGE, PAGE), Ok(()));
        assert_eq!(vm.brk(1, BASE + 44 * PAGE), Ok(BASE + 3 * PAGE));
        assert_eq!(vm.brk(1, BASE + 43 * PAGE), Ok(BASE + 43 * PAGE));
    });
}

/// Memory behind the heap joins it only by its own making; memory before its start never does by growth.
#[test]
fn growth_does_not_merge_with_what_is_not_heap() {
    everywhere(|vm| {
        anon(vm, 0, 1, RW);
        vm.set_brk(1, BASE + PAGE, BASE + PAGE).expect("process 1");
        assert_eq!(vm.brk(1, BASE + 2 * PAGE), Ok(BASE + 2 * PAGE));
        assert_eq!(maps(vm), ["0-1 rw-p 0 ac", "1-2 rw-p 0 [heap] ac"]);
        // mmap merges with it, and the whole is shown as the heap.
        anon(vm, 2, 1, RW);
        assert_eq!(maps(vm), ["0-1 rw-p 0 ac", "1-3 rw-p 0 [heap] ac"]);
        assert_eq!(vm.mprotect(1, BASE + 2 * PAGE, PAGE, Prot::READ), Ok(()));
        assert_eq!(maps(vm).last().map(String::as_str), Some("2-3 r--p 0"));
    });
}

#[test]
fn a_child_has_its_parents_heap_and_a_program_none() {
    everywhere(|vm| {
        vm.set_brk(1, BASE, BASE).expect("process 1");
        vm.brk(1, BASE + PAGE).expect("process 1");
        let child = vm.fork(1).expect("memory");
        assert_eq!(vm.brk(child, BASE + 2 * PAGE), Ok(BASE + 2 * PAGE));
        assert_eq!(maps_in(vm, child, BASE, PAGE), ["0-2 rw-p 0 [heap] ac"]);
        assert_eq!(vm.brk(1, 0), Ok(BASE + PAGE));
        assert_eq!(vm.execve(child), Ok(()));
        assert_eq!(vm.brk(child, 0), Ok(0));
    });
}
