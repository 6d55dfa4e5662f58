//! Mappings of files, and of what was there before.

use super::{
    BASE, Calls as _, FIXED, PAGE, PRIVATE, RW, RX, SHARED, anon, everywhere, fails, gets, maps, maps_in,
    open,
};
use ptelab_machine::{
    Access, Advice, Backend, Errno, FileMode, MapFlags, MremapFlags, Pid, Prot, SigCode, Signal, VirtAddr,
};

const READ: FileMode = FileMode::READ;
const BOTH: FileMode = FileMode::READ.union(FileMode::WRITE);

fn map(vm: &mut dyn Backend, page: u64, pages: u64, prot: Prot, flags: MapFlags, file: i32, pgoff: u64) {
    let at = BASE + page * PAGE;
    assert_eq!(vm.mmap_file(1, at, pages * PAGE, prot, flags, (file, pgoff * PAGE)), Ok(at));
}

/// The page behind an address: /proc/kpagecount of it, and whether it is the process's own.
fn page(vm: &dyn Backend, pid: Pid, addr: u64) -> Option<(u32, Option<bool>)> {
    let snapshot = vm.snapshot(pid, addr, PAGE).expect("the process lives");
    let run = *snapshot.runs.iter().next()?;
    run.page.map(|page| (page.mapcount, page.exclusive))
}

/// What ld.so does with a library.
#[test]
fn a_library_is_mapped_as_ld_so_does_it() {
    everywhere(|vm| {
        let so = open(vm, "/usr/lib/libx.so", READ, None);
        map(vm, 0, 16, Prot::READ, PRIVATE, so, 0);
        map(vm, 2, 6, RX, PRIVATE, so, 2);
        map(vm, 8, 3, Prot::READ, PRIVATE, so, 8);
        map(vm, 11, 3, RW, PRIVATE, so, 10);
        anon(vm, 14, 2, RW);
        assert_eq!(vm.mprotect(1, BASE + 11 * PAGE, 2 * PAGE, Prot::READ), Ok(()));
        // What becomes read-only stays accounted, so it would not merge with what always was.
        assert_eq!(
            maps(vm),
            [
                "0-2 r--p 0 /usr/lib/libx.so",
                "2-8 r-xp 2 /usr/lib/libx.so",
                "8-11 r--p 8 /usr/lib/libx.so",
                "11-13 r--p 10 /usr/lib/libx.so ac",
                "13-14 rw-p 12 /usr/lib/libx.so ac",
                "14-16 rw-p 0 ac",
            ]
        );
    });
}

#[test]
fn adjacent_parts_of_one_open_file_merge() {
    everywhere(|vm| {
        let (first, second) = (open(vm, "/f", READ, None), open(vm, "/f", READ, None));
        map(vm, 0, 1, Prot::READ, PRIVATE, first, 0);
        map(vm, 1, 1, Prot::READ, PRIVATE, first, 1);
        map(vm, 2, 1, Prot::READ, PRIVATE, second, 2);
        map(vm, 3, 1, Prot::READ, PRIVATE, second, 4);
        assert_eq!(maps(vm), ["0-2 r--p 0 /f", "2-3 r--p 2 /f", "3-4 r--p 4 /f"]);
        assert_eq!(vm.mprotect(1, BASE, PAGE, RX), Ok(()));
        assert_eq!(maps(vm)[..2], ["0-1 r-xp 0 /f", "1-2 r--p 1 /f"]);
        assert_eq!(vm.mprotect(1, BASE, PAGE, Prot::READ), Ok(()));
        assert_eq!(maps(vm)[0], "0-2 r--p 0 /f");
    });
}

#[test]
fn a_private_write_copies_and_dontneed_brings_the_file_back() {
    everywhere(|vm| {
        let file = open(vm, "/f", BOTH, Some(3 * PAGE));
        assert_eq!(vm.pwrite(1, file, 7, 2 * PAGE, 0), Ok(()));
        map(vm, 0, 3, RW, PRIVATE, file, 0);
        // The read maps the page cache's page, and the one beside it, which is in the cache too.
        assert_eq!(vm.read_byte(1, BASE), Ok(7));
        assert_eq!(page(vm, 1, BASE), Some((1, Some(false))));
        assert_eq!(page(vm, 1, BASE + PAGE), Some((1, Some(false))));
        assert_eq!(page(vm, 1, BASE + 2 * PAGE), None);
        let child = vm.fork(1).expect("memory");
        // One write copies what is mapped, the other what is not.
        assert_eq!(vm.memset(1, BASE, 1, 1), Ok(()));
        assert_eq!(vm.memset(1, BASE + 2 * PAGE, 2, 1), Ok(()));
        for at in [BASE, BASE + 2 * PAGE] {
            assert_eq!(page(vm, 1, at), Some((1, Some(true))));
        }
        let bytes = |vm: &mut dyn Backend, pid| [0, 1, PAGE, 2 * PAGE].map(|at| vm.read_byte(pid, BASE + at));
        assert_eq!(bytes(vm, 1), [Ok(1), Ok(7), Ok(7), Ok(2)]);
        assert_eq!(bytes(vm, child), [Ok(7), Ok(7), Ok(7), Ok(0)]);
        assert_eq!(vm.madvise(1, BASE, 3 * PAGE, Advice::DONTNEED), Ok(()));
        assert_eq!(bytes(vm, 1), [Ok(7), Ok(7), Ok(7), Ok(0)]);
        assert_eq!(vm.madvise(1, BASE, 3 * PAGE, Advice::FREE), fails(Errno::EINVAL));
    });
}

/// fork copies the tables of private file memory only once it has pages of its own.
#[test]
fn fork_leaves_to_faults_what_they_can_fill() {
    everywhere(|vm| {
        let file = open(vm, "/f", BOTH, Some(PAGE));
        map(vm, 0, 1, RW, PRIVATE, file, 0);
        vm.read_byte(1, BASE).expect("in the file");
        let child = vm.fork(1).expect("memory");
        assert_eq!(page(vm, child, BASE), None);
        vm.memset(1, BASE, 5, 1).expect("writable");
        let child = vm.fork(1).expect("memory");
        assert_eq!(page(vm, child, BASE), Some((2, Some(false))));
        assert_eq!(vm.memset(child, BASE, 6, 1), Ok(()));
        assert_eq!((vm.read_byte(1, BASE), vm.read_byte(child, BASE)), (Ok(5), Ok(6)));
    });
}

#[test]
fn shared_writes_reach_the_file_and_are_noticed() {
    everywhere(|vm| {
        let file = open(vm, "/f", BOTH, None);
        map(vm, 0, 1, RW, SHARED, file, 3);
        map(vm, 1, 1, Prot::READ, PRIVATE, file, 3);
        assert_eq!(vm.read_byte(1, BASE), Ok(0));
        let writable = |vm: &dyn Backend| {
            let (_, _, view) = vm.entry(1, VirtAddr::new(BASE)).expect("process 1");
            format!("{view:?}").contains("WRITE")
        };
        // Its file system must hear of the first write.
        assert!(!writable(vm), "{}", vm.arch());
        assert_eq!(vm.memset(1, BASE, 9, 1), Ok(()));
        assert!(writable(vm), "{}", vm.arch());
        assert_eq!(vm.read_byte(1, BASE + PAGE), Ok(9));
        // mprotect there and back keeps the page, and whether it may be written at once, as it is dirty.
        assert_eq!(vm.mprotect(1, BASE, PAGE, Prot::READ), Ok(()));
        assert_eq!(vm.mprotect(1, BASE, PAGE, RW), Ok(()));
        assert!(writable(vm), "{}", vm.arch());
        assert_eq!(vm.munmap(1, BASE, PAGE), Ok(()));
        assert_eq!(vm.read_byte(1, BASE + PAGE), Ok(9));
        map(vm, 2, 1, Prot::READ, SHARED, file, 3);
        assert_eq!(vm.read_byte(1, BASE + 2 * PAGE), Ok(9));
    });
}

#[test]
fn past_the_end_of_a_file_is_a_bus_error() {
    everywhere(|vm| {
        let file = open(vm, "/f", BOTH, Some(2 * PAGE + 1));
        map(vm, 0, 4, RW, PRIVATE, file, 0);
        assert_eq!(vm.touch(1, BASE + 2 * PAGE, PAGE, Access::Read), Ok(()));
        let bus = gets(Signal::BUS, SigCode::ADRERR, BASE + 3 * PAGE);
        assert_eq!(vm.touch(1, BASE + 3 * PAGE, PAGE, Access::Read), bus);
        assert_eq!(vm.touch(1, BASE + 3 * PAGE, PAGE, Access::Write), bus);
        assert_eq!(vm.pwrite(1, file, 1, 1, 3 * PAGE), Ok(()));
        assert_eq!(vm.touch(1, BASE + 3 * PAGE, PAGE, Access::Read), Ok(()));
        let unknown = open(vm, "/g", READ, None);
        map(vm, 4, 1, RW, PRIVATE, unknown, 1 << 30);
        assert_eq!(vm.touch(1, BASE + 4 * PAGE, PAGE, Access::Write), Ok(()));
    });
}

/// Errors of a 6.18 kernel.
#[test]
fn a_file_must_be_open_for_what_is_asked() {
    everywhere(|vm| {
        let (read, both) = (open(vm, "/f", READ, None), open(vm, "/f", BOTH, None));
        let write = open(vm, "/f", FileMode::WRITE, None);
        let pipe = open(vm, "pipe:[1]", BOTH | FileMode::NO_MMAP, None);
        let noexec = open(vm, "/g", READ | FileMode::NOEXEC, None);
        let validate = MapFlags::from_bits_retain(3);
        let bits = MapFlags::from_bits_retain;
        for (prot, flags, file, offset, errno) in [
            (RW, SHARED, read, 0, Errno::EACCES),
            (Prot::READ, PRIVATE, write, 0, Errno::EACCES),
            (Prot::READ, PRIVATE, read, 0x7fff_ffff_ffff_f000, Errno::EOVERFLOW),
            (Prot::READ, PRIVATE, read, 1, Errno::EINVAL),
            (Prot::READ, PRIVATE | MapFlags::ANONYMOUS, read, 1, Errno::EINVAL),
            (Prot::READ, PRIVATE | MapFlags::ANONYMOUS, -1, 1, Errno::EINVAL),
            (Prot::READ, PRIVATE, -1, 1, Errno::EINVAL),
            (Prot::READ, PRIVATE, -1, 0, Errno::EBADF),
            (RW, validate | MapFlags::FIXED_NOREPLACE, both, 0, Errno::EOPNOTSUPP),
            (RW, bits(8) | FIXED, both, 0, Errno::EINVAL),
            (RW, PRIVATE | MapFlags::GROWSDOWN, both, 0, Errno::EINVAL),
            (RW, PRIVATE | MapFlags::HUGETLB, both, 0, Errno::EINVAL),
            (Prot::READ, PRIVATE, pipe, 0, Errno::ENODEV),
            (RX, PRIVATE, noexec, 0, Errno::EPERM),
            (Prot::READ, PRIVATE, 99, 0, Errno::EBADF),
        ] {
            let got = vm.mmap_file(1, BASE, PAGE, prot, flags, (file, offset));
            assert_eq!(got, fails(errno), "{prot:?} {flags:?} {file}");
        }
        assert_eq!(vm.mmap_file(1, BASE, PAGE, RW, validate | FIXED, (both, 0)), Ok(BASE));
    });
}

#[test]
fn a_shared_mapping_of_a_read_only_file_stays_so() {
    everywhere(|vm| {
        let read = open(vm, "/f", READ, None);
        map(vm, 0, 1, Prot::READ, SHARED, read, 0);
        assert_eq!(maps(vm), ["0-1 r--s 0 /f"]);
        let flags = vm.vmas(1, BASE, PAGE).expect("process 1")[0].flags.smaps();
        assert_eq!(flags.trim_end_matches(" sd"), "rd mr me ms");
        assert_eq!(vm.mprotect(1, BASE, PAGE, RW), fails(Errno::EACCES));
        // It can be duplicated by mremap, as what is shared can.
        let (to, moves) = (BASE + 4 * PAGE, MremapFlags::MAYMOVE | MremapFlags::FIXED);
        assert_eq!(vm.mremap(1, BASE, 0, PAGE, moves, to), Ok(to));
        assert_eq!(maps(vm).len(), 2);
    });
}

#[test]
fn mremap_takes_files_along() {
    everywhere(|vm| {
        let file = open(vm, "/f", READ, None);
        map(vm, 0, 2, RW, PRIVATE, file, 5);
        vm.memset(1, BASE, 3, 1).expect("writable");
        let (to, moves) = (BASE + 8 * PAGE, MremapFlags::MAYMOVE | MremapFlags::FIXED);
        assert_eq!(vm.mremap(1, BASE, 2 * PAGE, 4 * PAGE, moves, to), Ok(to));
        assert_eq!(maps(vm), ["8-12 rw-p 5 /f ac"]);
        assert_eq!((vm.read_byte(1, to), vm.read_byte(1, to + PAGE)), (Ok(3), Ok(0)));
    });
}

#[test]
fn what_was_there_is_adopted_line_by_line() {
    everywhere(|vm| {
        let exe = open(vm, "/bin/x", READ, None);
        let (anonymous, none) = (PRIVATE | MapFlags::ANONYMOUS, (-1, 0));
        let lines = [
            ((0, 1), Prot::READ, PRIVATE, (exe, 0), None),
            ((1, 1), Prot::READ, PRIVATE, (exe, PAGE), None),
            ((2, 1), RW, PRIVATE, (exe, 2 * PAGE), None),
            ((3, 1), RW, anonymous, none, None),
            ((5, 2), Prot::READ, anonymous, none, Some("[vvar]")),
            ((7, 1), RX, anonymous, none, Some("[vdso]")),
            ((8, 1), RW, anonymous | MapFlags::GROWSDOWN, none, None),
        ];
        for ((page, pages), prot, flags, from, name) in lines {
            let range = (BASE + page * PAGE, pages * PAGE);
            assert_eq!(vm.adopt(1, range, prot, flags, from, name), Ok(()));
            assert_eq!(vm.adopt(1, range, prot, flags, from, name), fails(Errno::EEXIST));
        }
        let adopted = [
            "0-1 r--p 0 /bin/x",
            "1-2 r--p 1 /bin/x",
            "2-3 rw-p 2 /bin/x ac",
            "3-4 rw-p 0 ac",
            "5-7 r--p 0 [vvar] pf io de dd",
            "7-8 r-xp 0 [vdso] de",
            "8-9 rw-p 0 [stack] gd ac",
        ];
        assert_eq!(maps(vm), adopted);
        let child = vm.fork(1).expect("memory");
        assert_eq!(maps_in(vm, child, BASE, 1 << 30), adopted);
        for range in [(1, PAGE - 1), (PAGE, 0), (PAGE, u64::MAX - 2 * PAGE + 1), (PAGE, u64::MAX)] {
            assert_eq!(vm.adopt(1, range, RW, anonymous, none, None), fails(Errno::EINVAL), "{range:x?}");
        }
        assert_eq!(vm.adopt(1, (PAGE, PAGE), RW, PRIVATE, (exe, 1), None), fails(Errno::EINVAL));
    });
}
