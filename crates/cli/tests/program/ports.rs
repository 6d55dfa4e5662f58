//! Ports whose pages are not of 4K, and those that are asked for by name.

use crate::{file, fixture, parsed, ptelab, refused, stderr, stdout};
use std::path::Path;

const TEXT: &str = "mmap(0x40000000, 256K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
    memset(0x40000000, 7, 256K)\nmprotect(0x40000000, 64K, PROT_READ)\ndump(0x40000000, 256K, \"all\")\n";

/// Every port is there by name, and all of them run one scenario; those with other pages are compared by address.
#[test]
fn all_ports_run_and_are_compared() {
    let output =
        ptelab(&["compare", &file("all-ports.scn", TEXT.as_bytes()), "--arch", "all", "--kernel", "7.3"]);
    let text = stdout(&output);
    for port in ["arm64-16k", "arm64-64k", "loong64", "ppc64", "ppc64-64k", "riscv64", "s390x"] {
        assert!(text.contains(&format!("{port}, Linux 7.3: 4 lines")), "{text}");
    }
    assert!(
        text.contains("loong64 has pages of 16K and huge pages of 32M: compared are results, VMAs"),
        "{text}"
    );
    assert!(!text.contains("arm64 7.3 and loong64 7.3"), "{text}");
}

#[test]
fn a_scenario_says_what_pages_it_is_for() {
    let scenario = file("of-4k.scn", format!("page(4K)\n{TEXT}").as_bytes());
    let output = ptelab(&["run", &scenario, "--arch", "arm64,loong64,arm64-16k"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("loong64, arm64-16k: left out, as the scenario is for pages of 4K"),
        "{}",
        stderr(&output)
    );
    refused(&["run", &scenario, "--arch", "loong64"], &["this is for pages of 4K"]);
}

/// A log of 4K pages has no meaning on larger ones, and layouts of 4K pages are not timed there.
#[test]
fn what_is_for_other_pages_is_refused() {
    let log = fixture("strace/python-thp.strace");
    refused(&["replay", &log, "--arch", "loong64"], &["line 3", "16K", "smaller pages"]);
    refused(&["bench", "--arch", "arm64-16k", "--layout", "t3"], &["pages of 4K"]);
}

/// Ports are fuzzed together with those of the same page size, one size after the other.
#[test]
fn every_page_size_is_fuzzed_in_turn() {
    let output = ptelab(&["fuzz", "--arch", "arm64,loong64", "--cases", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("Pages of 4K, huge pages of 2M: arm64\n3 programs from seed 1 in "), "{text}");
    assert!(
        text.contains("\nPages of 16K, huge pages of 32M: loong64\n3 programs from seed 1 in "),
        "{text}"
    );
    assert!(text.ends_with("\nPorts of different groups are not compared with each other.\n"), "{text}");
    let json = parsed(&ptelab(&["fuzz", "--arch", "arm64,loong64", "--cases", "3", "--json"]));
    assert_eq!((&json["cases"], &json["runs"][1]["ports"][0]), (&6.into(), &"loong64".into()), "{json}");
}

/// Names that people know an architecture by, and sizes of huge pages that none has.
#[test]
fn names_are_known_and_sizes_are_checked() {
    for (known, name) in
        [("aarch64", "arm64"), ("amd64", "x86_64"), ("x86", "x86_64"), ("loongarch64", "loong64")]
    {
        let output = ptelab(&["run", &fixture("scenarios/guard.scn"), "--arch", known, "--kernel", "v6.17"]);
        assert!(stdout(&output).contains(&format!("{name}, Linux 6.17: ")), "{known}: {}", stdout(&output));
    }
    let odd = file("odd-thp.scn", b"thp(\"64kB\", \"always\")\n  thp(\"8kB\", \"always\")\n");
    refused(&["run", &odd], &["no port has huge pages of 8kB", "odd-thp.scn:2:7", "16kB, 32kB"]);
    refused(&["step", &odd], &["terminal"]);
    let log = fixture("strace/python-thp.strace");
    refused(&["replay", &log, "--thp", "8kB=always"], &["no port has huge pages of 8kB"]);
}

/// What a shell completes, and what a page of the manual is.
#[test]
fn shells_complete_ports_and_releases() {
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&ptelab(&["completions", shell]));
        for word in ["riscv64", "s390x", "6.17-rc1"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let help = stdout(&ptelab(&["run", "--help"]));
    assert!(help.contains("hafdbs") && help.contains("riscv64:") && help.contains("-lpa2"), "{help}");
    assert!(stdout(&ptelab(&["man", "compare"])).contains("ptelab-compare"));
    refused(&["man", "comapre"], &["no command `comapre`", "compare"]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    std::fs::create_dir_all(&folder).expect("the folder for tests can be written");
    assert_eq!(ptelab(&["man", "-o", &folder.display().to_string()]).status.code(), Some(0));
    assert!(folder.join("ptelab-replay.1").exists() && !folder.join("ptelab-host-play.1").exists());
}

/// `-` is standard output wherever something is written.
#[test]
fn a_dash_is_standard_output() {
    let log = fixture("strace/python-thp.strace");
    let text = stdout(&ptelab(&["replay", &log, "--until", "20", "--to-scenario", "-"]));
    assert!(text.contains("mmap("), "{text}");
    let scenario = fixture("scenarios/guard.scn");
    let text = stdout(&ptelab(&["timeline", &scenario, "-o", "-", "--arch", "arm64", "--kernel", "6.17"]));
    assert!(text.starts_with('{') && text.trim_end().ends_with('}'), "nothing else is printed");
    assert!(!std::path::Path::new("-").exists(), "no file of that name");
}

#[test]
fn levels_are_as_the_cpu_has_them() {
    let scenario = file(
        "levels.scn",
        b"mmap(0x80000000000000, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)\n",
    );
    let failed = |switch: &str| {
        let port = switch.split_once('.').map_or("", |(port, _)| port);
        let output = ptelab(&["run", &scenario, "--arch", port, "--cpu", switch]);
        stdout(&output).contains("ENOMEM")
    };
    assert!(failed("x86_64.la57=off") && !failed("x86_64.la57=on"));
    assert!(failed("riscv64.sv57=off") && !failed("riscv64.sv57=on"));
}
