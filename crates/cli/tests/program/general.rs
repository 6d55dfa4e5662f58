//! run, compare and verify.

use crate::{file, fixture, parsed, ptelab, refused, stderr, stdout};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

#[test]
fn golden_files_are_verified() {
    let golden = fixture("golden/c-fork-cow.arm64.7.3.json");
    let output = ptelab(&["verify", &golden]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).ends_with("\n8 of 8 dumps equal, 13 of 13 calls equal\n"), "{}", stdout(&output));

    let text = std::fs::read_to_string(&golden).expect("a fixture").replacen("f43", "f42", 1);
    let spoiled = file("spoiled.json", text.as_bytes());
    let output = ptelab(&["verify", &spoiled]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("; the kernel 0x"), "{}", stdout(&output));
}

#[test]
fn json_has_its_stable_fields() {
    let golden = fixture("golden/c-errors.x86_64.6.17.json");
    let output = ptelab(&["verify", "--json", &golden]);
    let json = parsed(&output);
    for field in ["dumps", "dumps_equal", "calls", "calls_equal"] {
        assert!(json[field].is_u64() && json["files"][0][field].is_u64(), "{field}");
    }
    assert_eq!(json["files"][0]["arch"], "x86_64");
    assert_eq!(json["files"][0]["kernel"], "6.17.13");
    assert_eq!(json["files"][0]["differences"], serde_json::json!([]));

    let scenario = fixture("scenarios/exclusive-mid-folio.scn");
    let output = ptelab(&["run", "--json", "--arch", "arm64", &scenario]);
    let json = parsed(&output);
    let entry = &json["runs"][0]["dumps"][0]["entries"][0];
    assert_eq!(entry["bits"], "0x00e8000000000f43");
    assert_eq!(json["runs"][0]["calls"][1]["ret"], "0x40000000");
}

#[test]
fn colour_is_forced_and_forbidden_by_the_environment() {
    let scenario = fixture("scenarios/contpte-fold.scn");
    let output = |forbidden: bool| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ptelab"));
        program.args(["run", &scenario, "--arch", "arm64"]).env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        if forbidden {
            program.env("NO_COLOR", "1");
        }
        program.output().expect("the program runs").stdout
    };
    assert!(output(false).contains(&0x1b), "headings are bold");
    assert!(!output(true).contains(&0x1b), "NO_COLOR is heeded");
}

#[test]
fn an_unexpected_result_is_a_failure() {
    let scenario = file("unexpected.scn", b"munmap(0x40000001, 4K) = 0\n");
    let output = ptelab(&["run", &scenario, "--arch", "arm64"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("line 1: munmap(0x40000001, 4K) = 0: got -1 EINVAL"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_bug_of_rc1_is_a_difference_between_kernels() {
    let scenario = fixture("scenarios/exclusive-mid-folio.scn");
    let output = ptelab(&["compare", &scenario]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("arm64 6.17-rc1 and arm64 6.17: 2 differences"), "{}", stdout(&output));
}

#[test]
fn unusable_input_is_refused() {
    refused(&["run", "/nonexistent.scn"], &["/nonexistent.scn", "No such file"]);
    refused(&["run", env!("CARGO_TARGET_TMPDIR")], &["directory"]);
    refused(&["verify", "/nonexistent.json"], &["/nonexistent.json"]);
    refused(&["verify", &file("shape.json", br#"{"name": "x"}"#)], &["missing field", "line 1"]);
    refused(&["verify", &file("empty.json", b"")], &["EOF"]);
    refused(&["run", &file("garbage.scn", &[0x84, 0, 0xff, b'\n', 0xfe])], &["UTF-8"]);
    let scenario = fixture("scenarios/exclusive-mid-folio.scn");
    refused(&["run", &scenario, "--arch", "x87"], &["no port `x87`", "x86_64"]);
    refused(&["run", &scenario, "--kernel", "5.4"], &["no kernel `5.4`", "6.17-rc1"]);
    refused(&["run", &scenario, "--cpu", "arm64.mmx=on"], &["`mmx`", "hafdbs"]);
    refused(&["run", &scenario, "--memory", "99999999T"], &["8T"]);
    refused(&["run", &scenario, "--memory", "4K"], &["1 MiB"]);
    refused(&["frobnicate"], &["frobnicate"]);
}

#[test]
fn golden_files_with_nonsense_in_them_are_refused() {
    let text = std::fs::read_to_string(fixture("golden/c-fork-cow.arm64.7.3.json")).expect("a fixture");
    for (name, from, to, word) in [
        ("va", "\"va\": \"0x40010000\"", "\"va\": \"0x10\"", "in order"),
        ("hex", "\"bits\": \"0x", "\"bits\": \"zz", "in hex"),
        ("many", "\"n\": 16", "\"n\": 99999999999999", "number of entries"),
        ("kernel", "7.3.4", "5.4.1", "5.4.1"),
        ("scenario", "mmap(0x40000000, 256K", "mmmap(0x40000000, 256K", "does not parse"),
        ("port", "\"arch\": \"arm64\"", "\"arch\": \"vax\"", "vax"),
    ] {
        assert!(text.contains(from), "{from}");
        let path = file(&format!("nonsense-{name}.json"), text.replacen(from, to, 1).as_bytes());
        refused(&["verify", &path], &[word]);
    }
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let text = "mprotect(0x40000000, 4K)\nfoo()\nmadvise(0x40000000, 4K, MADV_DONTNED)\n\
                munmap(0x40000000, 99999999999999T)\nmmap(1, 2\n";
    refused(
        &["run", &file("five.scn", text.as_bytes())],
        &[
            "lacks prot",
            "unknown call `foo`",
            "did you mean `MADV_DONTNEED`",
            "64 bits",
            "five.scn:5",
            "5 mistakes",
        ],
    );
    let long = ptelab(&["run", &file("long.scn", &vec![b'a'; 1 << 20])]);
    assert_eq!(long.status.code(), Some(2));
    assert!(stderr(&long).len() < 4096, "a long line is not printed whole");
}

#[cfg(target_os = "linux")]
#[test]
fn mistakes_of_all_files_are_shown_at_once() {
    let (one, two) = (file("one-wrong.scn", b"mmap(1)\n"), file("two-wrong.scn", b"foo()\nfork()\n"));
    let args = ["verify", "--kernel", "host", &one, "/nonexistent.scn", &two];
    refused(&args, &["one-wrong.scn:1", "/nonexistent.scn: No such file", "unknown call `foo`"]);
}

#[test]
fn addresses_and_sizes_past_the_end_are_errors_of_the_call() {
    let text = "mmap(0xffffffff00000000, 64K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = -1 ENOMEM\n\
                touch(0xfffffffffffff000, 64K, READ) = SIGSEGV\n\
                mprotect(0x40000000, 18446744073709551615, PROT_READ) = -1 ENOMEM\n\
                munmap(0x40000000, 18446744073709551615) = -1 EINVAL\n\
                mmap(NULL, 18446744073709551615, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = -1 ENOMEM\n\
                memset(0xfffffffffffff000, 1, 18446744073709551615) = SIGSEGV\n\
                madvise(0xfffffffffffff000, 18446744073709551615, MADV_DONTNEED) = -1 EINVAL\n\
                dump(0, 128T, \"all\") = 0\n";
    let output = ptelab(&["run", &file("past.scn", text.as_bytes()), "--kernel", "all"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// What a command prints that Ctrl-C stops as soon as it listens to it.
#[cfg(target_os = "linux")]
fn stopped(args: &[&str]) -> Output {
    let child = Command::new(env!("CARGO_BIN_EXE_ptelab"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(caught.trim(), 16).expect("a mask of signals") & 2 != 0
    };
    while !listens() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    child.wait_with_output().expect("it ends")
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_stops_a_command_and_it_prints_what_it_has() {
    let text = "repeat 1000000000 {\n  mmap(0x40000000, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)\n}\n";
    let endless = file("endless.scn", text.as_bytes());
    for (args, says) in [
        (&["run", &endless, "--arch", "arm64"][..], "(stopped)"),
        (&["report", &endless, "-o", "-"], ""),
        (&["check", "--bugs", "--cases", "1000000000"], "stopped"),
        (&["fuzz", "--minutes", "1000", "--arch", "arm64"], " programs from seed 1"),
    ] {
        let output = stopped(args);
        assert_eq!(output.status.code(), Some(130), "{args:?}: {}", stderr(&output));
        assert!(stdout(&output).contains(says), "{args:?}: {}", stdout(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ptelab"))
        .args(["run", "-", "--json", "--kernel", "all"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("it was piped");
    let calls = "munmap(0x40000000, 4K)\n".repeat(5000);
    stdin.write_all(calls.as_bytes()).expect("it reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn costs_are_shown_line_by_line() {
    let scenario = file(
        "per-call.scn",
        b"mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 1, 64K)
repeat 3 {
  mprotect(0x40000000, 64K, PROT_READ) = 0
  mprotect(0x40000000, 64K, PROT_READ|PROT_WRITE) = 0
}
",
    );
    let output = ptelab(&["run", &scenario, "--arch", "x86_64", "--per-call"]);
    let text = stdout(&output);
    assert!(text.contains("line 4 x 3: mprotect(0x40000000, 64K, PROT_READ) = 0"), "{text}");
    assert!(text.contains("48 exchanges"), "{text}");
    let output = ptelab(&["compare", &scenario, "--kernel", "6.16,6.17", "--per-call"]);
    let text = stdout(&output);
    assert!(text.contains("arm64, line 5: mprotect("), "{text}");
    assert!(text.contains("last/first"), "{text}");
}

/// Machine by machine, in the scenario's order: threads take turns, so the log as a whole has none.
#[test]
fn verbose_shows_every_call_once_under_its_machine() {
    let scenario = fixture("scenarios/contpte-fold.scn");
    let lines = std::fs::read_to_string(&scenario).expect("a fixture");
    let calls: Vec<&str> =
        lines.lines().map(|line| line.split(['#', '=']).next().unwrap_or("").trim()).collect();
    let calls: Vec<&str> = calls.into_iter().filter(|call| !call.is_empty()).collect();
    for level in ["-v", "-vv"] {
        let output = ptelab(&["compare", &scenario, level, "--arch", "arm64,x86_64", "--kernel", "6.16,7.3"]);
        let log = stderr(&output);
        for arch in ["arm64", "x86_64"] {
            for kernel in ["6.16", "7.3"] {
                let span = format!("call{{arch=\"{arch}\" kernel=\"{kernel}\" line=");
                let of_machine = log.lines().filter_map(|line| line.split_once(&span));
                let of_process = of_machine.filter_map(|(_, rest)| rest.split_once(" pid=1 call="));
                let shown: Vec<&str> =
                    of_process.filter_map(|(_, rest)| Some(rest.split_once("}: outcome=")?.0)).collect();
                assert_eq!(shown, calls, "{level} {arch} {kernel}:\n{log}");
            }
        }
        let outcomes = log.lines().filter(|line| line.contains("outcome=")).count();
        assert_eq!(outcomes, 4 * calls.len(), "{log}");
    }
}

#[test]
fn costs_are_predicted() {
    let scenario = fixture("scenarios/contpte-fold.scn");
    let output = ptelab(&["cost", &scenario, "--arch", "arm64", "--kernel", "6.17-rc1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("by the costs of 6.17") && text.contains("Instructions are not time"), "{text}");

    let file = fixture("cost/t2-64k.arm64.6.16.json");
    let output = ptelab(&["cost", &file, "--json"]);
    let json = parsed(&output);
    assert_eq!((&json["arch"], &json["kernel"]), (&"arm64".into(), &"6.16".into()));
    let calls = json["calls"].as_array().expect("a list");
    assert_eq!(calls.len(), 12, "six rounds of two");
    assert!(calls.iter().all(|call| call["by"]["unfolds"].as_f64() > Some(0.0)), "{json}");

    let output = ptelab(&["cost", "--check", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let text = std::fs::read_to_string(&file).expect("a fixture").replace("\"min\": ", "\"min\": 9");
    let output = ptelab(&["cost", "--check", &self::file("dearer.json", text.as_bytes())]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}

#[test]
fn compare_has_a_line_for_a_cover_letter() {
    let scenario = fixture("scenarios/contpte-fold.scn");
    let output = ptelab(&["compare", &scenario, "--arch", "arm64", "--kernel", "6.16,6.17"]);
    let text = stdout(&output);
    assert!(text.contains("instructions (6.17), ") && text.contains(" times fewer"), "{text}");
}

#[test]
fn what_was_read_is_not_written_over() {
    let before = std::fs::read(fixture("scenarios/contpte-fold.scn")).unwrap();
    let path = &file("read.scn", &before);
    for command in ["report", "timeline"] {
        refused(&[command, path, "-o", path], &["read.scn: this is an input; refusing"]);
    }
    assert_eq!(std::fs::read(path).unwrap(), before);
}

#[test]
fn costs_of_what_was_not_measured_are_refused() {
    let scenario = fixture("scenarios/contpte-fold.scn");
    refused(&["cost", &scenario, "--arch", "generic"], &["nothing was measured on generic"]);
    refused(&["cost", &scenario, "--kernel", "5.4"], &["no kernel `5.4`"]);
    refused(&["cost", &scenario, &scenario], &["one FILE at a time"]);
    refused(&["cost", "--check", &scenario], &["contpte-fold.scn: not a cost file"]);
    let golden = fixture("golden/c-errors.x86_64.6.17.json");
    refused(&["cost", &golden], &["not a cost file", "missing field `workload`"]);
    refused(&["cost", "--calibrate", &golden, &scenario], &["c-errors.x86_64.6.17.json", "contpte-fold.scn"]);
    refused(&["cost"], &["FILE"]);
}

#[test]
fn outputs_that_cannot_be_written_are_said_before_the_work() {
    let log = file("endless.scn", b"repeat 100000000 {\n    munmap(0x40000000, 4K)\n}\n");
    let folder = env!("CARGO_TARGET_TMPDIR");
    // Images that are not there come after.
    let series = ["series", "--base", "no-image", "--patched", "no-image"];
    for args in [
        &["fuzz", "--cases", "100000000000", "--out", "/nonexistent/x"][..],
        &["fuzz", "--cases", "100000000000", "--emit-c", folder],
        &["report", &log, "-o", "/nonexistent/x"],
        &["timeline", &log, "--csv", "/nonexistent/x"],
        &["bench", "--save", "/dev/null/x"],
        &["learn", "host", "-o", "/nonexistent/x"],
        &["verify", "--kernel", "./no/bzImage", &log, "--write", "/nonexistent/x"],
        &[&series[..], &["--letter", "/nonexistent/x"]].concat(),
        &[&series[..], &["--emit-c", "/dev/null/x"]].concat(),
    ] {
        refused(args, &[args[args.len() - 1], "irectory"]);
    }
    let kept = file("kept.scn", b"fork()\n");
    let output = ptelab(&["fuzz", "--cases", "1", "--out", &kept]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        std::fs::read(&kept).expect("it is there"),
        b"fork()\n",
        "a program that finds nothing writes nothing"
    );
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let scenario = fixture("scenarios/contpte-fold.scn");
    let golden = fixture("golden/c-errors.x86_64.6.17.json");
    refused(&["verify", "--cpu", "arm64.lpa2=on", &golden], &["--cpu is for a kernel image"]);
    refused(
        &["verify", "--host", "--arch", "arm64", "--fresh", &scenario],
        &["--fresh is for a kernel image"],
    );
    refused(&["verify", "--host", "--arch", "arm64", &scenario], &["--arch is for a kernel image"]);
    refused(&["learn", "host", "--cpu", "arm64.lpa2=on"], &["--cpu is for a kernel image"]);
    for command in ["run", "compare", "report", "explain", "cost"] {
        let mut args = vec![command, &scenario, "--arch", "x86_64,generic", "--cpu", "arm64.hafdbs=off"];
        match command {
            "report" => args.extend(["-o", "-"]),
            "explain" => args.extend(["--at", "1", "--va", "0x40000000"]),
            _ => {}
        }
        refused(&args, &["arm64.hafdbs=off has no effect", "x86_64, generic"]);
    }
    refused(&["fuzz", "--arch", "x86_64", "--cpu", "arm64.hafdbs=off"], &["has no effect"]);
}

#[test]
fn what_is_something_else_or_nothing_is_said() {
    let page = file("page.scn", "<p>a line of HTML</p>\n".repeat(30).as_bytes());
    refused(&["run", &page], &["not a scenario", "30 lines", "line 1, column 1"]);
    let few = file(
        "few.scn",
        "<p>\n".repeat(30).as_bytes().iter().chain(b"fork()\n").copied().collect::<Vec<_>>().as_slice(),
    );
    refused(&["run", &few], &["30 mistakes"]);
    refused(&["replay", &file("binary", b"\x7fELF\0\0\x01")], &["not a line of strace", "it is binary data"]);
    refused(&["fuzz", "--cases", "0"], &["--cases"]);
    refused(
        &["explain", &fixture("scenarios/contpte-fold.scn"), "--va", "0x40000000"],
        &["--at <CALL>|--line <LINE>"],
    );
    refused(
        &["run", &file("comment.scn", b"# nothing\n"), "--arch", "arm64"],
        &["the file contains no calls"],
    );
    let output = ptelab(&["run", &file("ended.scn", b"[pid 99] fork()\n"), "--arch", "arm64"]);
    assert!(stdout(&output).contains("there is no process 99"), "{}", stdout(&output));
}

#[test]
fn a_report_says_where_it_names_no_rules() {
    let page = file("rules.html", b"");
    let said = |input: &str| stdout(&ptelab(&["report", input, "-o", &page, "--arch", "arm64"]));
    let many = file("many.scn", "mlockall(0x1)\n".repeat(4001).as_bytes());
    assert!(said(&many).contains("are not named"));
    for few in ["strace/cat.strace", "scenarios/contpte-fold.scn"] {
        assert!(!said(&fixture(few)).contains("are not named"), "{few}");
    }
}

/// `watch` ends as its program does, and its log has the lines that it counts.
#[test]
fn a_watched_program_keeps_its_status() {
    if !std::process::Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|s| s.success())
    {
        eprintln!("not run: strace is not installed, or may not trace");
        return;
    }
    let log = file("watched.strace", b"");
    for (script, status) in [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)] {
        let output = ptelab(&["watch", "-o", &log, "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(status), "{script}: {}", stderr(&output));
        let lines = std::fs::read_to_string(&log).expect("it is written").lines().count();
        assert!(stdout(&output).contains(&format!("watched.strace: {lines} lines; ")), "{}", stdout(&output));
    }
}

#[test]
fn a_line_of_a_loop_is_explained_with_all_that_ran_before_its_last_run() {
    let text = b"mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nrepeat 2 {\n\
        memset(0x40000000, 1, 4K)\nmprotect(0x40000000, 4K, PROT_READ)\n\
        mprotect(0x40000000, 4K, PROT_READ|PROT_WRITE)\n}\nmunmap(0x40000000, 4K)\n";
    let path = file("loop.scn", text);
    let at = |by: [&str; 2]| stdout(&ptelab(&["explain", &path, by[0], by[1], "--va", "0x40000000"]));
    assert_eq!(at(["--line", "4"]), at(["--at", "6"]));
    assert!(at(["--line", "4"]).contains("call 4, line 5"), "{}", at(["--line", "4"]));
}

#[test]
fn a_comparison_predicts_every_kernel() {
    let scenario = fixture("scenarios/t2-two-megabytes.scn");
    let out = stdout(&ptelab(&["compare", &scenario, "--arch", "arm64", "--kernel", "6.16,6.17,7.3"]));
    let line = out.lines().find(|line| line.contains("mprotect x 3:")).unwrap_or_default();
    for kernel in [" (6.16) -> ", " (6.17), 3.5 times fewer -> ", " instructions (7.3), 3.6 times fewer"] {
        assert!(line.contains(kernel), "{line}");
    }
}

#[test]
fn a_check_that_cannot_read_is_unexpected() {
    let run = |text: &str| ptelab(&["run", &file("check.scn", text.as_bytes())]).status.code();
    assert_eq!(run("check(0x40000000, 7)"), Some(1));
    assert_eq!(run("check(0x40000000, 7) = SIGSEGV"), Some(0));
}
