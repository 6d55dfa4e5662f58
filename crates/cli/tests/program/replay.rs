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
        assert!(text.contains(&format!(" {missing} missing, 1 that it does not have")), "{text}");
        assert!(text.contains(&format!("  too much {}", &code[..25])), "{text}");
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
    refused(
        &["replay", &log, "--maps", &log],
        &["line 1:", "is not a line of /proc/PID/maps", "and 24 more"],
    );
    refused(&["replay", &log, "--thp", "64kB=often"], &["always, madvise, inherit, never"]);
    refused(&["replay", &log, "--thp", "63kB=always"], &["is no size"]);
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
