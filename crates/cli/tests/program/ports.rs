//! Ports whose pages are not of 4K, and those that are asked for by name.

use crate::{file, fixture, ptelab, refused, stderr, stdout};

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
    refused(&["fuzz", "--arch", "arm64,loong64", "--cases", "1"], &["pages of one size", "loong64 (16K)"]);
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
