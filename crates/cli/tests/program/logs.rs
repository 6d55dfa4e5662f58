//! Logs of every form, and other files that calls are taken from.

use crate::{file, fixture, parsed, ptelab, refused, stderr, stdout};
use serde_json::Value;

const EXEC: &str = "execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n";

fn replayed(args: &[&str]) -> Value {
    let output = ptelab(&[&["replay"], args, &["--json"]].concat());
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
    parsed(&output)
}

/// Files of `strace -ff -ttt`, by the name that -o was given, or one by one, come to what a log of `-f` comes to.
#[test]
fn files_of_threads_are_one_log() {
    let at = |time: u32, text: &str| format!("179550898{time}.5 {text}");
    let map = "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n";
    let clone =
        "clone(child_stack=0x7f0000002000, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 21\n";
    let unmap = "munmap(0x7f0000000000, 8192) = 0\n";
    let first = [at(1, EXEC), at(2, map), at(3, clone), at(5, map), at(6, "exit_group(0) = ?\n")].concat();
    let second = [at(4, unmap), at(6, "+++ exited with 0 +++\n")].concat();
    let whole = file("threads.20", first.as_bytes());
    let other = file("threads.21", second.as_bytes());
    for args in [&[&whole[..], &other][..], &[whole.strip_suffix(".20").expect("it ends so")]] {
        let json = replayed(args);
        assert_eq!((&json["calls"], &json["equal"]), (&5.into(), &5.into()), "{json}");
        assert_eq!(json["processes"].as_array().map(Vec::len), Some(1), "{json}");
        assert_eq!(json["not_judged_count"], 0, "{json}");
    }
    // One of them alone says of whom it lacks the lines.
    let text = stdout(&ptelab(&["replay", &whole]));
    assert!(text.contains("no lines of 1 task that it shows being made (21)"), "{text}");
    let untimed = file("untimed.21", unmap.as_bytes());
    let output = ptelab(&["replay", &whole, &untimed]);
    assert!(stderr(&output).contains("has no times"), "{}", stderr(&output));
}

/// Where stacks are in the log, what calls take is told by the place that makes them.
#[test]
fn places_of_calls_are_told() {
    let log = format!(
        "{EXEC}mmap(0x40000000, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n \
         > /lib/libc.so.6(mmap+0x26) [0x1]\n > /usr/bin/x(reserve+0x10) [0x2]\n\
         mprotect(0x40000000, 65536, PROT_READ) = 0\n > /lib/libc.so.6(mprotect+0x7) [0x3]\n > /usr/bin/x(seal+0x20) [0x4]\n"
    );
    let json = replayed(&[&file("stacks.strace", log.as_bytes())]);
    let sites = json["machines"][0]["sites"].as_array().expect("a list").clone();
    let places: Vec<&str> = sites.iter().filter_map(|site| site["place"].as_str()).collect();
    assert_eq!(places, ["/usr/bin/x(reserve+0x10)", "/usr/bin/x(seal+0x20)"], "{json}");
    assert!(sites[1]["steps"].as_u64() > Some(16), "{json}");
}

/// What pagemap showed is used, and nothing else.
#[test]
fn pages_are_taken_from_a_saved_pagemap() {
    let log = format!(
        "{EXEC}mmap(0x40000000, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n"
    );
    let log = file("pagemap.strace", log.as_bytes());
    let types = "voffset\toffset\tlen\tflags\n40001\t1a2b3\t2\t__RUDlA____Ma_b______\n";
    for pages in [types, "0x40001000+8192\n"] {
        let json = replayed(&[&log, "--pagemap", &file("pages.txt", pages.as_bytes())]);
        assert_eq!(
            (&json["used"], &json["processes"][0]["resident"]),
            (&"pagemap".into(), &8192.into()),
            "{json}"
        );
    }
    let output = ptelab(&["replay", &log, "--pagemap", &file("no-pages.txt", b"0x40001000+8192\nno\n")]);
    assert!(stderr(&output).contains("line 2: `no`"), "{}", stderr(&output));
}

/// What the log's system refused for what the log does not show does nothing, is told, and is no difference.
#[test]
fn what_was_refused_for_unseen_reasons_is_told() {
    let log = format!(
        "{EXEC}mmap(0x40000000, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n\
         mlock(0x40000000, 65536) = -1 ENOMEM (Cannot allocate memory)\n\
         prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x40000000, 65536, \"a\") = -1 EINVAL (Invalid argument)\n\
         munmap(0x40000001, 4096) = 0\n"
    );
    let log = file("limits.strace", log.as_bytes());
    let output = ptelab(&["replay", &log]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let head = "5 lines: 5 calls, 2 with the log's result, 2 refused by the log's system, 1 with another\n";
    assert!(text.starts_with(head), "{text}");
    assert!(text.contains("1 call refused by what a log does not show: RLIMIT_MEMLOCK"), "{text}");
}

/// The maps of one process of several, by its number.
#[test]
fn maps_are_of_the_process_that_is_asked_for() {
    let map = |pid: u32, at: u64| {
        format!(
            "{pid} mmap({at:#x}, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = {at:#x}\n"
        )
    };
    let open = |pid: u32| format!("{pid} openat(AT_FDCWD, \"/proc/self/maps\", O_RDONLY) = 3\n");
    let log = [
        &format!("7 {EXEC}"),
        "7 fork() = 8\n",
        &map(7, 0x4000_0000),
        &map(8, 0x5000_0000),
        &open(7),
        &open(8),
    ];
    let log = file("two.strace", log.map(String::from).concat().as_bytes());
    let maps = file("first.maps", b"40000000-40001000 r--p 00000000 00:00 0\n");
    for (args, code) in [(&["--pid", "7"][..], 0), (&["--pid", "8"], 1), (&[], 1)] {
        let output = ptelab(&[&["replay", &log, "--maps", &maps], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stdout(&output));
    }
}

/// A process that runs becomes a scenario that builds its mappings and uses its pages.
#[test]
#[cfg(target_os = "linux")]
fn a_running_process_is_a_scenario_to_start_from() {
    let started = file("start.scn", b"");
    let pid = std::process::id().to_string();
    let output = ptelab(&["from-pid", &pid, "-o", &started]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(&started).expect("it is written");
    assert!(text.contains("adopt(0x") && text.contains("# [heap]"), "{text}");
    let output = ptelab(&["run", &started, "--arch", "x86_64", "--kernel", "7.3"]);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    assert!(!shown.contains("failed:"), "{shown}");
    let output = ptelab(&["from-pid", "2", "-o", &started]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
}

/// A program of syzkaller runs as a scenario, without what is not about memory, which is counted.
#[test]
fn a_program_of_syzkaller_runs() {
    let program = "r0 = socket$inet(0x2, 0x1, 0x0)\n\
        madvise(&(0x7f0000000000/0x600000)=nil, 0x600003, 0x19)\n\
        mremap(&(0x7f0000a94000/0x2000)=nil, 0x2000, 0x800000, 0x3, &(0x7f0000130000/0x800000)=nil)\n";
    let path = file("program.syz", program.as_bytes());
    let output = ptelab(&["run", &path, "--arch", "x86_64"]);
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 call left out (socket 1)"), "{}", stderr(&output));
    let output = ptelab(&["replay", &path]);
    assert!(stderr(&output).contains("ptelab run"), "{}", stderr(&output));
}

/// What cut contiguous blocks is told with the first call that did, and what would help.
#[test]
fn advice_has_its_evidence() {
    let log = format!(
        "{EXEC}mmap(0x40000000, 131072, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n\
         mprotect(0x40000000, 4096, PROT_NONE) = 0\nmprotect(0x40010000, 8192, PROT_READ) = 0\n"
    );
    let log = file("cuts.strace", log.as_bytes());
    let text =
        stdout(&ptelab(&["replay", &log, "--arch", "arm64", "--kernel", "7.3", "--thp", "64kB=always"]));
    assert!(
        text.contains("1 guard page cut 1 contiguous block, first line 3: mprotect(0x40000000"),
        "{text}"
    );
    assert!(text.contains("1 mprotect cut 1 contiguous block, first line 4: mprotect(0x40010000"), "{text}");
    let whole = stdout(&ptelab(&["replay", &log, "--arch", "arm64", "--kernel", "7.3"]));
    assert!(!whole.contains("What may help"), "{whole}");
}

/// Tasks of a log that is cut at its beginning may be threads of one process, until something shows that they are not: a heap
/// elsewhere, a mapping where another has one, an end that the others outlive.
#[test]
fn processes_of_a_log_without_a_beginning_are_told_apart() {
    let map = "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) =";
    let log = format!(
        "20 {map} 0x7f0000000000\n21 {map} 0x7f0000010000\n22 {map} 0x7f0000020000\n\
         20 brk(NULL) = 0x550000000000\n20 brk(0x550000021000) = 0x550000021000\n\
         21 brk(NULL) = 0x560000000000\n21 {map} 0x7f0000000000\n20 {map} 0x7f0000010000\n\
         21 munmap(0x7f0000010000, 8192) = 0\n21 exit_group(0) = ?\n22 munmap(0x7f0000000000, 8192) = 0\n\
         20 {map} 0x7f0000000000\n22 exit_group(0) = ?\n20 munmap(0x7f0000010000, 8192) = 0\n"
    );
    let json = replayed(&[&file("cut-off.strace", log.as_bytes())]);
    assert_eq!((&json["calls"], &json["equal"]), (&12.into(), &12.into()), "{json}");
    assert_eq!(json["not_judged_count"], 0, "{json}");
    assert_eq!(json["processes"].as_array().map(Vec::len), Some(2), "{json}");
}

/// A log that stops in the middle of an address does not say where something went.
#[test]
fn an_address_that_is_cut_off_is_not_taken() {
    let map = "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) =";
    for (last, not_judged) in [("0x7f8", 1), ("0x7f0000010000", 0)] {
        let log = format!("{EXEC}{map} 0x7f0000000000\n{map} {last}");
        let json = replayed(&[&file("middle.strace", log.as_bytes())]);
        assert_eq!((&json["cut"], &json["not_judged_count"]), (&3.into(), &not_judged.into()), "{json}");
        assert_eq!(json["differences_count"], 0, "{json}");
    }
}

/// Of tasks that were taken for threads of one process, those outlive it that are not: they have a heap and mappings of their own.
#[test]
fn who_outlives_a_process_was_none_of_its_threads() {
    let map = "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) =";
    let log = format!(
        "21 {map} 0x7f0000000000\n20 {map} 0x7f0000020000\n21 brk(0x560000021000) = 0x560000021000\n21 exit_group(0) = ?\n\
         20 brk(0x550000021000) = 0x550000021000\n20 {map} 0x7f0000000000\n"
    );
    let json = replayed(&[&file("outlived.strace", log.as_bytes())]);
    assert_eq!((&json["calls"], &json["equal"]), (&5.into(), &5.into()), "{json}");
}

/// What files and devices decide is told, and what a log leaves out is not judged.
#[test]
fn what_a_log_does_not_show_is_no_difference() {
    let log = format!(
        "{EXEC}mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_POPULATE, 5<anon_inode:[io_uring]>, 0) = 0x7f0000000000\n\
         madvise(0x7f0000000000, 4096, MADV_DOFORK) = -1 EINVAL (Invalid argument)\n\
         mremap(0x7f0000000000, 8192, 12288, MREMAP_MAYMOVE) = -1 EFAULT (Bad address)\n\
         shmget(0x4c83, 8192, IPC_CREAT|IPC_EXCL|SHM_HUGETLB|63<<SHM_HUGE_SHIFT|0777) = -1 EINVAL (Invalid argument)\n\
         pkey_alloc(0, PKEY_DISABLE_EXECUTE) = -1 EINVAL (Invalid argument)\n\
         mprotect(0x7ffc9a093000, 4096, PROT_READ|PROT_WRITE|PROT_EXEC|PROT_GROWSDOWN) = 0\n\
         process_madvise(4, [...], 1, MADV_COLD, 0) = 4096\n\
         process_madvise(4, [{{iov_base=0x7f0000000000, iov_len=4096}}, ...], 2, MADV_COLD, 0) = 8192\n"
    );
    let json = replayed(&[&file("unseen.strace", log.as_bytes())]);
    assert_eq!(
        (&json["differences"], &json["mistakes"]),
        (&Value::Array(Vec::new()), &Value::Array(Vec::new()))
    );
    assert_eq!(
        (&json["calls"], &json["equal"], &json["not_judged_count"]),
        (&7.into(), &4.into(), &2.into())
    );
}

/// A task of which the log has lines is not called silent, whatever they are about.
#[test]
fn tasks_with_lines_are_not_silent() {
    let log = format!(
        "7 {EXEC}7 clone(child_stack=0x7f0000002000, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD) = 8\n\
         7 clone(child_stack=0x7f0000004000, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD) = 9\n8 futex(0x1000, FUTEX_WAIT, 2, NULL <unfinished ...>\n"
    );
    let json = replayed(&[&file("futex.strace", log.as_bytes())]);
    assert_eq!(json["silent"], serde_json::json!([9]), "{json}");
}

/// What grep, a journal or a mail puts before each line is no part of it.
#[test]
fn lines_that_were_wrapped_are_read() {
    let map = "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0";
    let log = format!(
        "7 {EXEC}7 fork() = 8\n7 {map} <unfinished ...>\n8 {map}) = 0x7f0000000000\n7 <... mmap resumed>) = 0x7f0000010000\n\
         8 +++ exited with 0 +++\n"
    );
    let before =
        ["12:", "   12\t", "> ", "> > ", "# ", "2026-11-27T08:29:40.5Z ", "Nov 27 08:29:40 host strace[5]: "];
    for before in before {
        let wrapped: String = log.lines().map(|line| [before, line, "\n"].concat()).collect();
        let json = replayed(&[&file("wrapped.strace", wrapped.as_bytes())]);
        let processes = json["processes"].as_array().map(Vec::len);
        assert_eq!(
            (&json["calls"], &json["equal"], processes),
            (&4.into(), &4.into(), Some(2)),
            "{before}: {json}"
        );
    }
    let output = ptelab(&["replay", &file("packed.strace", b"(\xb5/\xfd\x24\x00\x01")]);
    assert!(stderr(&output).contains("zstd -dc"), "{}", stderr(&output));
}

/// What the kernel's own trace file says (Linux 6.18), and what bpftrace prints.
#[test]
fn traces_of_a_kernel_are_read() {
    for (name, calls, processes) in [("pipe.trace", 50, 3), ("true.bpftrace", 12, 1)] {
        let path = format!("{}/../../fixtures/strace/{name}", env!("CARGO_MANIFEST_DIR"));
        let json = replayed(&[&path]);
        assert_eq!((&json["calls"], &json["equal"]), (&calls.into(), &calls.into()), "{name}: {json}");
        assert_eq!(
            (json["processes"].as_array().map(Vec::len), &json["not_judged_count"]),
            (Some(processes), &0.into())
        );
    }
}

/// A log is not replaced by what is made of it, whatever the command and however the file is named, nor by its own threads' files;
/// and two results do not go to one file.
#[test]
fn outputs_spare_what_was_read_and_each_other() {
    let text = b"mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n";
    let log = file("spared.strace", text);
    let other_name = log.replace("spared.strace", "./spared.strace");
    for (command, option) in
        [("report", "-o"), ("timeline", "-o"), ("timeline", "--csv"), ("replay", "--to-scenario")]
    {
        for output in [&log, &other_name] {
            refused(&[command, &log, option, output], &["this is an input; refusing to overwrite it"]);
        }
        assert_eq!(std::fs::read(&log).expect("it is there"), text, "{command} {option}");
    }
    let thread = file("spared.7", b"1795508980.5 brk(NULL) = 0x1000\n");
    let prefix = thread.strip_suffix(".7").expect("its number");
    refused(&["replay", prefix, "--to-scenario", &thread], &["this is an input; refusing"]);
    // A second name of the file, and standard input that is the file.
    let second = log.replace("spared.strace", "spared.second");
    let _ = std::fs::remove_file(&second);
    std::fs::hard_link(&log, &second).expect("one file system");
    refused(&["replay", &log, "--to-scenario", &second], &["this is an input; refusing"]);
    let input = std::fs::File::open(&log).expect("it is there");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ptelab"));
    let output = command.args(["replay", "-", "--to-scenario", &log]).stdin(input).output().expect("it runs");
    assert!(stderr(&output).contains("this is an input; refusing"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&log).expect("it is there"), text);
    let rules = file("spared.toml", b"base = \"6.17\"\n[changes]\ncont_on_invalid = false\n");
    refused(
        &["fuzz", "--cases", "1", "--kernel", &rules, "--emit-c", &rules],
        &["this is an input; refusing"],
    );
    refused(&["timeline", &log, "-o", "-", "--csv", "-"], &["two options name this file"]);
    let page = log.replace("spared.strace", "page.html");
    refused(&["timeline", &log, "-o", &page, "--csv", &page], &["two options name this file"]);
}

/// Whoever has read enough of standard output is no error.
#[test]
fn outputs_to_a_pipe_that_closes() {
    let log = fixture("strace/python-thp.strace");
    for option in [["timeline", "--csv"], ["replay", "--to-scenario"]] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_ptelab"))
            .args([option[0], &log, option[1], "-"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{option:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("roken pipe"), "{option:?}: {}", stderr(&output));
    }
}

/// A thread that executes a program goes on under the number of the first.
#[test]
fn a_thread_that_executes_a_program() {
    let thread = "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM, child_tid=0x7f00} => {parent_tid=[8]}, 88) = 8";
    let log = format!(
        "7 {EXEC}7 brk(NULL) = 0x55a4e2b6d000\n7 {thread}\n8 execve(\"/y\", [\"y\"], 0x7ffd /* 35 vars */ <pid changed to 7 ...>\n\
         7 +++ superseded by execve in pid 8 +++\n7 <... execve resumed>) = 0\n7 brk(NULL) = 0x563366aea000\n"
    );
    let json = replayed(&[&file("superseded.strace", log.as_bytes())]);
    assert_eq!((&json["calls"], &json["equal"]), (&5.into(), &5.into()), "{json}");
    assert_eq!(json["processes"][0]["program"], "/y");
}

/// Each thread says something of its own new memory before it uses it.
#[test]
fn threads_prepare_memory_side_by_side() {
    let thread = "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM, child_tid=0x7f00} => {parent_tid=[8]}, 88) = 8";
    let map = "mmap(NULL, 4194304, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)";
    let mut log = format!("7 {EXEC}7 {thread}\n7 {map} = 0x7f0000000000\n8 {map} = 0x7f0000800000\n");
    log += "7 madvise(0x7f0000000000, 4194304, MADV_NOHUGEPAGE) = 0\n8 madvise(0x7f0000800000, 4194304, MADV_NOHUGEPAGE) = 0\n";
    let json = replayed(&[&file("prepared-by-two.strace", log.as_bytes())]);
    assert_eq!(json["processes"][0]["resident"], 8 << 20, "{json}");
}
