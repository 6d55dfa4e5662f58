//! replay: logs of programs.

use crate::{file, fixture, parsed, ptelab, refused, stderr, stdout};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn log(name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("strace/{name}.strace"))).expect("a fixture")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[test]
fn json_has_its_stable_fields() {
    let (log, maps) = (fixture("strace/python-thp.strace"), fixture("strace/python-thp.maps"));
    let output = ptelab(&["replay", &log, "--maps", &maps, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json = parsed(&output);
    assert_eq!((&json["calls"], &json["equal"]), (&280.into(), &280.into()));
    assert!(json["adopted"].is_u64() && json["skipped"].is_u64(), "{json}");
    assert_eq!(json["differences"], serde_json::json!([]));
    assert_eq!(json["maps"]["missing"], serde_json::json!([]));
    assert_eq!(json["maps"]["extra"], serde_json::json!([]));
    assert_eq!(json["processes"].as_array().map(Vec::len), Some(2));
    let output = ptelab(&["replay", &fixture("strace/rustc.strace"), "--json"]);
    assert!(parsed(&output)["maps"].is_null());
}

#[test]
fn a_result_that_is_not_the_logs_is_a_difference() {
    let text = "mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n\
                mprotect(0x7f0000000000, 4096, PROT_NONE) = -1 ENOMEM (Cannot allocate memory)\n\
                munmap(0x7f0000000001, 4096) = -1 EINVAL (Invalid argument)\n";
    let output = ptelab(&["replay", &file("differs.strace", text.as_bytes()), "--arch", "arm64"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("3 lines: 3 calls, 2 with the log's result, 1 with another\n"), "{text}");
    assert!(text.contains("line 2: mprotect(0x7f0000000000, 4096, PROT_NONE)"), "{text}");
    assert!(text.contains(": got 0\n"), "{text}");
}

#[test]
fn a_mapping_that_the_maps_file_lacks_is_a_difference() {
    let maps = std::fs::read_to_string(fixture("strace/cat.maps")).expect("a fixture");
    let code = maps.lines().find(|line| line.contains("r-xp") && line.contains("libc")).expect("it runs");
    let without = maps.replace(&format!("{code}\n"), "");
    let other = maps.replace(code, &code.replace("r-xp", "r--p"));
    let log = fixture("strace/cat.strace");
    for (name, maps, missing) in [("less.maps", without, 0), ("other.maps", other, 1)] {
        let output = ptelab(&["replay", &log, "--maps", &file(name, maps.as_bytes())]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!(" {missing} missing, 1 extra")), "{text}");
        assert!(text.contains(&format!("  extra    {}", &code[..25])), "{text}");
    }
}

#[test]
fn lines_may_end_as_on_windows_and_files_be_packed() {
    let log = log("cat");
    let crlf = String::from_utf8(log.clone()).expect("text").replace('\n', "\r\n");
    let plain = stdout(&ptelab(&["replay", &file("plain.strace", &log)]));
    assert!(plain.starts_with("34 lines: 31 calls, 31 with the log's result;"), "{plain}");
    assert_eq!(stdout(&ptelab(&["replay", &file("crlf.strace", crlf.as_bytes())])), plain);
    assert_eq!(stdout(&ptelab(&["replay", &file("packed.gz", &packed(&log))])), plain);
}

#[test]
fn a_log_that_was_cut_is_replayed_up_to_there() {
    let log = log("cat");
    let output = ptelab(&["replay", &file("cut.strace", &log[..3000])]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the log ends in the middle of line 31"), "{text}");
    let packed = packed(&log);
    let output = ptelab(&["replay", &file("cut.gz", &packed[..packed.len() * 3 / 4])]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("the log ends in the middle of line"), "{}", stdout(&output));
}

#[test]
fn what_is_no_log_is_refused() {
    refused(&["replay", &file("empty.strace", b"")], &["empty.strace", "the log is empty"]);
    refused(
        &["replay", &file("text.strace", b"hello\nworld\n")],
        &["line 1", "`hello` is not a line of strace"],
    );
    refused(&["replay", &file("bytes.strace", &[0x84, 0, 0xff, b'\n', 0xfe])], &["is not a line of strace"]);
    refused(&["replay", "/nonexistent.strace"], &["/nonexistent.strace", "No such file"]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let log = fixture("strace/cat.strace");
    refused(&["replay", &log, "--maps", &log], &["none of its lines is one of /proc/PID/maps"]);
    let mixed = "nonsense\n".repeat(11) + "7f0000000000-7f0000001000 rw-p 00000000 00:00 0\n";
    refused(
        &["replay", &log, "--maps", &file("mixed.maps", mixed.as_bytes())],
        &["line 1:", "is not a line of /proc/PID/maps", "and 1 more"],
    );
    refused(&["replay", &log, "--thp", "64kB=often"], &["always, madvise, inherit, never"]);
    refused(&["replay", &log, "--thp", "63kB=always"], &["is not a size"]);
    refused(&["replay", &log, "--dump", "0x1000"], &["ADDR,LEN"]);
    refused(&["replay", &log, "--pid", "7"], &["no process 7", "it has 10990"]);
    refused(&["replay", &log, "--to-scenario", "/nonexistent/x.scn"], &["/nonexistent/x.scn"]);
    let maps = fixture("strace/cat.maps");
    refused(
        &["replay", &fixture("strace/rustc.strace"), "--maps", &maps],
        &["does not show a /proc/PID/maps"],
    );
}

#[test]
fn a_log_becomes_a_scenario() {
    let scenario = file("cat.scn", b"");
    let log = fixture("strace/cat.strace");
    let output = ptelab(&["replay", &log, "--to-scenario", &scenario]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = ptelab(&["run", &scenario, "--arch", "arm64"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn pages_and_folios_can_be_looked_at() {
    let text = "mmap(NULL, 131072, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n\
                mprotect(0x7f0000000000, 4096, PROT_READ) = 0\n";
    let args =
        ["--arch", "arm64", "--kernel", "7.3", "--thp", "64kB=always", "--dump", "0x7f0000000000,128K"];
    let log = file("dump.strace", text.as_bytes());
    let output = ptelab(&[&["replay", &log], &args[..]].concat());
    let text = stdout(&output);
    assert!(text.contains("0x7f0000010000     16 x 4K") && text.contains("cont"), "{text}");
    assert!(text.contains("1 call took blocks apart:"), "{text}");
    let output = ptelab(&[&["replay", &log, "--until", "1"], &args[..]].concat());
    assert!(stdout(&output).contains("0x7f0000000000     32 x 4K"), "{}", stdout(&output));
}

/// What `perf trace -F all` prints of page faults is what the program touched; once there is one, nothing else is faulted in.
#[test]
fn page_faults_of_a_log_are_what_it_touched() {
    let text = "     0.005 ( 0.000 ms): a/7 minfault [_start+0x0] => /bin/a@0x1000 (d.)\n\
                \x20    0.010 ( 0.004 ms): a/7 mmap(len: 65536, prot: READ|WRITE, flags: PRIVATE|ANONYMOUS, fd: -1, off: 0) = 0x7f0000000000\n\
                \x20    0.020 ( 0.000 ms): a/7 minfault [main+0x10] => //anon@0x7f0000001000 (d.)\n";
    let args = ["--arch", "x86_64", "--kernel", "7.3", "--dump", "0x7f0000000000,64K"];
    let output = ptelab(&[&["replay", &file("perf.trace", text.as_bytes())], &args[..]].concat());
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.contains("rss 4K"), "{text}");
}

/// A log as it goes to the terminal: no number on the first process's lines until there are two.
#[test]
fn forms_of_logs_are_told_apart() {
    let map = "mmap(NULL, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7fd03b0fe000\n";
    let exec = "execve(\"/bin/sh\", [\"sh\"], 0x7ffd /* 35 vars */) = 0\n";
    let unmap = "munmap(0x7fd03b0fe000, 65536) = 0\n";
    let on_terminal = format!(
        "{exec}{map}fork(strace: Process 11 attached\n)      = 11\n\
         [pid    10] madvise(0x7fd03b0fe000, 4096, MADV_DONTNEED) = 0\n[pid    11] {unmap}\
         [pid    11] exit_group(0) = ?\n[pid    11] +++ exited with 0 +++\n{unmap}exit_group(0) = ?\n+++ exited with 0 +++\n"
    );
    let fork = |child: u32| format!("fork() = {child}\n");
    let ended =
        |child: u32| format!("--- SIGCHLD {{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid={child}}} ---\n");
    let without_f =
        [exec, map, &fork(11), &fork(12), &ended(11), &fork(13), unmap, &ended(12), &ended(13)].concat();
    // The same address again, which another thread unmapped.
    let one_of_ff = format!("{map}{map}{unmap}exit(0) = ?\n+++ exited with 0 +++\n");
    // A thread that did nothing until now.
    let attached = format!("[pid 20] {map}[pid 21] {unmap}[pid 22] {map}");
    let cut = format!("7 <... munmap resumed>) = 0\n7 {map}7 {unmap}");
    for (name, log, calls, processes) in [
        ("terminal", &on_terminal, 6, 2),
        ("without-f", &without_f, 6, 4),
        ("one-of-ff", &one_of_ff, 3, 1),
        ("attached", &attached, 3, 1),
        ("cut", &cut, 2, 1),
    ] {
        let output = ptelab(&["replay", &file(&format!("{name}.strace"), log.as_bytes()), "--json"]);
        let json = parsed(&output);
        assert_eq!(output.status.code(), Some(0), "{name}: {json}");
        assert_eq!((&json["calls"], &json["equal"]), (&calls.into(), &calls.into()), "{name}: {json}");
        assert_eq!(json["processes"].as_array().map(Vec::len), Some(processes), "{name}: {json}");
        assert_eq!(json["not_judged_count"], u64::from(name == "cut"), "{name}: {json}");
    }
    let text = stdout(&ptelab(&["replay", &file("cut.strace", cut.as_bytes())]));
    assert!(text.starts_with("3 lines: 1 not judged; 2 calls, 2 with the log's result"), "{text}");
    let text = stdout(&ptelab(&["replay", &file("without-f.strace", without_f.as_bytes())]));
    assert!(text.contains("no lines of 3 tasks that it shows being made (11, 12, 13)"), "{text}");
}

/// Calls that a kernel or CPU may lack, or that one release knows by another rule, are the log's.
#[test]
fn what_decides_later_results_is_modelled_or_taken_from_the_log() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 mmap(0x40000000, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n\
        7 pkey_alloc(0, PKEY_DISABLE_WRITE) = 1\n\
        7 pkey_mprotect(0x40000000, 4096, PROT_READ|PROT_WRITE, 1) = 0\n\
        7 pkey_mprotect(0x40001000, 4096, PROT_READ, 5) = 0\n\
        7 pkey_mprotect(0x40001000, 4096, PROT_READ, 6) = -1 EINVAL (Invalid argument)\n\
        7 mremap(0x40000000, 8192, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000000) = 0x50000000\n\
        7 mprotect(0x50001000, 4096, PROT_READ|PROT_WRITE) = 0\n\
        7 syscall_0x1ce(0x50000000, 0x1000, 0, 0, 0, 0) = 0\n\
        7 munmap(0x50000000, 8192) = -1 EPERM (Operation not permitted)\n\
        7 mprotect(0x50000000, 8192, PROT_NONE) = -1 EPERM (Operation not permitted)\n\
        7 munmap(0x50001000, 4096) = 0\n";
    let path = file("kernel.strace", log.as_bytes());
    for cpu in ["x86_64.pku=on", "x86_64.pku=off"] {
        let output = ptelab(&[
            "replay",
            &path,
            "--arch",
            "x86_64,arm64",
            "--kernel",
            "6.16,7.3",
            "--cpu",
            cpu,
            "--json",
        ]);
        let json = parsed(&output);
        assert_eq!(output.status.code(), Some(0), "{cpu}: {json}");
        assert_eq!((&json["calls"], &json["equal"]), (&12.into(), &11.into()), "{json}");
    }
    let text = stdout(&ptelab(&["replay", &path, "--arch", "x86_64", "--kernel", "6.16"]));
    assert!(text.contains("12 calls, 11 with the log's result, 1 with that of the release"), "{text}");
}

/// What the log says was refused is not carried out, so that what comes after it is judged by what was.
#[test]
fn a_refused_call_is_not_carried_out() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n\
        7 munmap(0x7f0000000000, 8192) = -1 EPERM (Operation not permitted)\n\
        7 mmap(0x7f0000000000, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0) = -1 EEXIST (File exists)\n";
    let text = stdout(&ptelab(&["replay", &file("refused.strace", log.as_bytes())]));
    assert!(
        text.starts_with("4 lines: 4 calls, 3 with the log's result, 1 refused by the log's system\n"),
        "{text}"
    );
}

/// A child is made once: by vfork, whose second part comes last, and where it has ended by then.
#[test]
fn a_child_is_made_once() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 vfork( <unfinished ...>\n\
        8 execve(\"/bin/true\", [\"true\"], 0x7ffd /* 35 vars */ <unfinished ...>\n\
        7 <... vfork resumed>) = 8\n\
        8 <... execve resumed>) = 0\n\
        7 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n\
        9 exit_group(3) = ?\n\
        9 +++ exited with 3 +++\n\
        7 <... clone resumed>) = 9\n\
        8 +++ killed by SIGKILL +++\n";
    let path = file("once.strace", log.as_bytes());
    let json = parsed(&ptelab(&["replay", &path, "--json"]));
    let of = |name| {
        json["processes"].as_array().map(|all| all.iter().map(|one| one[name].clone()).collect::<Vec<_>>())
    };
    assert_eq!(of("pid"), Some(vec![7.into(), 8.into(), 9.into()]), "{json}");
    assert_eq!(of("born"), Some(vec![serde_json::Value::Null, "vfork".into(), "fork".into()]), "{json}");
    let text = stdout(&ptelab(&["replay", &path]));
    assert!(text.contains("8 /bin/true (vfork of 7):") && text.contains("; killed by SIGKILL"), "{text}");
}

/// Each line of a maps file that was read in pieces held at some moment; what never did is a difference.
#[test]
fn maps_may_be_read_in_pieces() {
    let mmap = |at: u64, prot: &str| {
        format!("7 mmap({at:#x}, 4096, {prot}, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = {at:#x}\n")
    };
    let log = [
        "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n",
        &mmap(0x4000_0000, "PROT_READ"),
        "7 openat(AT_FDCWD, \"/proc/self/maps\", O_RDONLY) = 3\n7 read(3, \"...\"..., 4096) = 4000\n",
        &mmap(0x5000_0000, "PROT_READ"),
        "7 munmap(0x40000000, 4096) = 0\n7 read(3, \"...\"..., 4096) = 50\n7 close(3) = 0\n",
        &mmap(0x6000_0000, "PROT_READ"),
    ]
    .concat();
    let log = file("pieces.strace", log.as_bytes());
    let held = "40000000-40001000 r--p 00000000 00:00 0\n50000000-50001000 r--p 00000000 00:00 0\n";
    let never = format!("{held}60000000-60001000 r--p 00000000 00:00 0\n");
    for (maps, code) in [(held.to_owned(), 0), (never, 1)] {
        let output = ptelab(&["replay", &log, "--maps", &file("pieces.maps", maps.as_bytes())]);
        assert_eq!(output.status.code(), Some(code), "{}", stdout(&output));
    }
}

/// Figures that rest on a guess say so, and those by smaps or by what was seen say that.
#[test]
fn figures_say_what_they_rest_on() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 mmap(0x40000000, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n";
    let seen = format!("{log}7 +++ in use 0x40000000+4096 0x40004000+8192 +++\n");
    let smaps = file("used.smaps", b"40000000-40010000 rw-p 00000000 00:00 0\nRss: 8 kB\n");
    let (log, seen) = (file("guess.strace", log.as_bytes()), file("seen.strace", seen.as_bytes()));
    for (args, says) in [
        (vec!["replay", &log], "64.0K resident, 0 in huge leaves, if all writable memory was used"),
        (vec!["replay", &log, "--smaps", &smaps], "8.0K resident, 0 in huge leaves, by smaps"),
    ] {
        let text = stdout(&ptelab(&args));
        assert!(text.contains(says), "{text}");
    }
    let text = stdout(&ptelab(&["replay", &seen, "--fault-in", "none"]));
    assert!(text.contains("12.0K resident, 0 in huge leaves, by the pages seen in use\n"), "{text}");
    let rollup = file("rollup", b"40000000-7ffff000 ---p 00000000 00:00 0 [rollup]\nRss: 8 kB\n");
    let output = ptelab(&["replay", &log, "--smaps", &rollup]);
    assert!(stderr(&output).contains("smaps_rollup has one sum"), "{}", stderr(&output));
}

/// A process of which no page was seen is not said to have none.
#[test]
fn pages_that_were_not_seen_are_not_none() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 +++ in use 0x0+0 +++\n\
        7 mmap(0x40000000, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x40000000\n\
        7 vfork() = 8\n\
        8 execve(\"/y\", [\"y\"], 0x7ffd /* 35 vars */) = 0\n\
        8 exit_group(0) = ?\n\
        7 +++ in use 0x40000000+4096 +++\n\
        7 execve(\"/z\", [\"z\"], 0x7ffd /* 35 vars */) = 0\n";
    let log = file("unseen.strace", log.as_bytes());
    let text = stdout(&ptelab(&["replay", &log]));
    assert!(
        text.contains("  8 /y (vfork of 7): 1 call; at most 64.0K mapped; its pages were not seen\n"),
        "{text}"
    );
    assert!(text.contains("64.0K mapped and 4.0K resident; its pages at its end were not seen\n"), "{text}");
    let json = parsed(&ptelab(&["replay", &log, "--json"]));
    assert_eq!(json["processes"][1]["most_resident"], serde_json::Value::Null, "{json}");
}

/// Ports that a log cannot be replayed on, or that lack a size of huge pages, are said; on the others it is replayed.
#[test]
fn ports_that_lack_what_a_log_takes_are_named() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0bd9397000\n\
        7 exit_group(0) = ?\n";
    let log = file("all.strace", log.as_bytes());
    let all = ptelab(&["replay", &log, "--arch", "s390x,arm64-16k,x86_64", "--thp", "2048kB=always"]);
    assert!(stdout(&all).contains("on s390x 6.16"), "{}", stdout(&all));
    for text in [
        "s390x: no huge pages of 2048kB, so --thp sets none there",
        "arm64-16k: left out: line 2: a mapping at",
    ] {
        assert!(stderr(&all).contains(text), "{}", stderr(&all));
    }
    let none = ptelab(&["replay", &log, "--arch", "arm64-16k"]);
    assert!(stderr(&none).contains("the log is of a machine with smaller pages"), "{}", stderr(&none));
    let page = file("counted.html", b"");
    let counted = stdout(&ptelab(&["report", &log, "-o", &page]));
    assert!(
        counted.contains(": 3 steps (2 calls + 1 not judged, such as exits) on 4 machines, "),
        "{counted}"
    );
    let page = std::fs::read_to_string(&page).expect("it is written");
    let heading = "<h1>all.strace <small>3 steps (2 calls + 1 not judged, such as exits) on arm64 and x86_64, each with Linux 6.16 and 7.3</small></h1>";
    assert!(page.contains(heading), "{}", &page[..page.len().min(20_000)]);
    assert!(page.contains("\"what is shown holds, if all writable memory was used\""), "what it rests on");
}

/// What strace writes of a program, and which pages that used, are one log.
#[test]
fn a_program_is_watched() {
    let output = file("watched.strace", b"");
    let done = ptelab(&["watch", "-o", &output, "--", "/bin/sh", "-c", "true; exit 0"]);
    let text = stderr(&done);
    if text.contains("strace, which is not installed") || text.contains("ptrace") {
        return;
    }
    assert_eq!(done.status.code(), Some(0), "{text}");
    let log = std::fs::read_to_string(&output).expect("it is written");
    assert!(log.contains(" execve(\"/bin/sh\"") && log.contains(" +++ in use "), "{log}");
    assert!(log.contains(" resident +++\n"), "{log}");
    let json = parsed(&ptelab(&["replay", &output, "--json"]));
    assert_eq!((&json["calls"], &json["used"]), (&json["equal"], &"seen".into()), "{json}");
}

/// What a machine without huge pages set aside refused is refused here too, and what another gave is mapped.
#[test]
fn huge_pages_that_were_not_set_aside() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 mmap(NULL, 16777216, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_HUGETLB, -1, 0) = -1 ENOMEM (Cannot allocate memory)\n\
        7 mmap(NULL, 2097152, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB, -1, 0) = 0x7f0000000000\n\
        7 munmap(0x7f0000000000, 2097152) = 0\n";
    let text = stdout(&ptelab(&["replay", &file("hugetlb.strace", log.as_bytes())]));
    assert!(text.starts_with("4 lines: 4 calls, 4 with the log's result\n"), "{text}");
}

/// Tracepoints of `trace-cmd report`: calls in two lines each, page faults as the pages that were used.
#[test]
fn tracepoints_are_a_log_too() {
    let log = "cpus=2\n\
        cat-7 [001] 1.000001: sys_enter_mmap: addr: 0x00000000, len: 0x00010000, prot: 0x00000003, flags: 0x00000022, fd: 0xffffffff, off: 0x00000000\n\
        cat-7 [001] 1.000002: sys_exit_mmap: 0x7f0000000000\n\
        cat-7 [001] 1.000003: page_fault_user: address=0x7f0000002000 ip=0x55d error_code=0x6\n\
        cat-7 [001] 1.000004: sys_enter_mprotect: start: 0x7f0000000000, len: 0x00004000, prot: 0x00000001\n\
        cat-7 [001] 1.000005: tlb_flush: pages:1 reason:local mm shootdown (3)\n\
        cat-7 [001] 1.000006: sys_exit_mprotect: 0x0\n\
        cat-7 [001] 1.000007: sys_enter_mprotect: start: 0x7f0000000000, len: 0x00020000, prot: 0x00000001\n\
        cat-7 [001] 1.000008: sys_exit_mprotect: 0xfffffffffffffff4\n";
    let json = parsed(&ptelab(&["replay", &file("tracepoints.txt", log.as_bytes()), "--json"]));
    assert_eq!((&json["calls"], &json["equal"]), (&3.into(), &3.into()), "{json}");
    assert_eq!((&json["used"], &json["skipped_calls"]["tlb_flush"]), (&"logged".into(), &1.into()), "{json}");
}

/// A file of another kind is named, with what reads it.
#[test]
fn a_file_of_another_kind_is_told_from_a_log() {
    for (name, text, tells) in [
        ("other.data", "PERFILE2", "perf script"),
        ("other.json", "{\n \"name\": \"x\"}\n", "ptelab verify"),
        ("other.scn", "thp(\"64kB\", \"always\")\nmemset(0x40000000, 7, 4K)\n", "ptelab run"),
        ("raw.txt", "ls 7 [000] 1.5:  raw_syscalls:sys_exit: NR 59 = 0\n", "perf trace -i"),
        ("other.maps", "7f0000000000-7f0000001000 rw-p 00000000 00:00 0\n", "--maps"),
    ] {
        let output = ptelab(&["replay", &file(name, text.as_bytes())]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(tells), "{name}: {error}");
    }
}

/// Memory is used after what the program says of it at once, not before; other calls find it used.
#[test]
fn memory_is_used_after_the_advice_that_prepares_it() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 mmap(NULL, 8388608, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n\
        8 brk(NULL) = 0x1000\n\
        7 madvise(0x7f0000000000, 8388608, MADV_DONTDUMP) = 0\n\
        7 madvise(0x7f0000000000, 8388608, MADV_HUGEPAGE) = 0\n\
        7 exit_group(0) = ?\n";
    let huge = |log: &str| {
        let log = file("prepared.strace", log.as_bytes());
        let args = ["replay", &log, "--thp", "enabled=madvise,2048kB=inherit", "--kernel", "7.3", "--json"];
        parsed(&ptelab(&args))["processes"][0]["huge"].clone()
    };
    assert_eq!(huge(log), 8_388_608);
    let used = log.replace("7 madvise(0x7f0000000000, 8388608, MADV_DONTDUMP) = 0", "7 brk(NULL) = 0x1000");
    assert_eq!(huge(&used), 0);
}

/// What looks at the process did not see, the kernel counted all the same.
#[test]
fn memory_that_came_and_went_between_looks() {
    let log = "7 execve(\"/x\", [\"x\"], 0x7ffd /* 35 vars */) = 0\n\
        7 +++ in use 0x7ffc00000000+8192 +++\n\
        7 +++ had 9437184 resident +++\n";
    let text = stdout(&ptelab(&["replay", &file("gone.strace", log.as_bytes())]));
    assert!(text.contains("\n    8.9M of what it had resident came and went between two looks"), "{text}");
    let text =
        stdout(&ptelab(&["replay", &file("kept.strace", log.replace("9437184", "900000").as_bytes())]));
    assert!(!text.contains("between two looks"), "{text}");
}
