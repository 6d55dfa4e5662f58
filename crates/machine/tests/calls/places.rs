//! Where mappings go, and what stays.

use super::{ANON, BASE, Calls as _, PAGE, RW, anon, everywhere, fails, maps};
use ptelab_machine::{Advice, Backend, Errno, MapFlags, MremapFlags, Prot};

const FREE: MapFlags = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);
/// Pages that stay free below a stack.
const GUARD: u64 = 256;

/// The start of the highest gap of `len` bytes below `top`, looked for from the top.
fn highest(vm: &dyn Backend, mut top: u64, len: u64) -> u64 {
    let areas = vm.areas(1, 0, u64::MAX).expect("it is process 1");
    for area in areas.iter().rev() {
        if area.end.get() <= top && top - area.end.get() >= len {
            break;
        }
        let gap = if area.flags.contains(ptelab_machine::VmFlags::GROWSDOWN) { GUARD * PAGE } else { 0 };
        top = top.min(area.start.get() - gap);
    }
    top - len
}

/// Which gaps were searched in vain is remembered, and forgotten where something goes.
#[test]
fn mappings_go_to_the_highest_gap() {
    everywhere(|vm| {
        let top = vm.mmap(1, 0, PAGE, RW, FREE).expect("there is room") + PAGE;
        let mut random = 1_u64;
        let mut next = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        let mut mapped = Vec::new();
        for _ in 0..600 {
            match next(8) {
                0..5 => {
                    let len = [1, 3, 16][next(3) as usize] * PAGE;
                    let stack = if next(20) == 0 { MapFlags::GROWSDOWN } else { MapFlags::empty() };
                    let expected = highest(vm, top, len);
                    assert_eq!(vm.mmap(1, 0, len, RW, FREE | stack), Ok(expected));
                    mapped.push((expected, len));
                }
                5 => {
                    let (at, len) = mapped[next(mapped.len() as u64) as usize];
                    let _ = vm.mprotect(1, at, len, Prot::READ);
                }
                _ if mapped.is_empty() => {}
                _ => {
                    let (at, len) = mapped.swap_remove(next(mapped.len() as u64) as usize);
                    let part = if next(2) == 0 { len } else { PAGE };
                    assert_eq!(vm.munmap(1, at + len - part, part), Ok(()));
                }
            }
        }
    });
}

/// What is sealed stays mapped, as it is (`tools/testing/selftests/mm/mseal_test.c`).
#[test]
fn what_is_sealed_stays() {
    everywhere(|vm| {
        anon(vm, 0, 4, RW);
        assert_eq!(vm.mseal(1, BASE + 1, PAGE, 0), fails(Errno::EINVAL));
        assert_eq!(vm.mseal(1, BASE, PAGE, 1), fails(Errno::EINVAL));
        assert_eq!(vm.mseal(1, BASE + 3 * PAGE, 2 * PAGE, 0), fails(Errno::ENOMEM));
        assert_eq!((vm.mseal(1, BASE, 0, 0), vm.mseal(1, BASE + PAGE, PAGE, 0)), (Ok(()), Ok(())));
        assert_eq!(maps(vm), ["0-1 rw-p 0 ac", "1-2 rw-p 0 ac sl", "2-4 rw-p 0 ac"]);
        let moves = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        assert_eq!(vm.munmap(1, BASE, 4 * PAGE), fails(Errno::EPERM));
        assert_eq!(vm.mprotect(1, BASE + PAGE, PAGE, Prot::READ), fails(Errno::EPERM));
        assert_eq!(vm.mmap(1, BASE + PAGE, PAGE, RW, ANON), fails(Errno::EPERM));
        assert_eq!(vm.mremap(1, BASE + PAGE, PAGE, PAGE, moves, BASE + 16 * PAGE), fails(Errno::EPERM));
        // What can be written can be discarded by writing, too.
        assert_eq!(vm.madvise(1, BASE + PAGE, PAGE, Advice::DONTNEED), Ok(()));
        assert_eq!(vm.mprotect(1, BASE + 2 * PAGE, PAGE, Prot::READ), Ok(()));
        assert_eq!(vm.mseal(1, BASE + 2 * PAGE, PAGE, 0), Ok(()));
        assert_eq!(vm.madvise(1, BASE + 2 * PAGE, PAGE, Advice::DONTNEED), fails(Errno::EPERM));
        assert_eq!(vm.munmap(1, BASE + 3 * PAGE, PAGE), Ok(()));
    });
}
