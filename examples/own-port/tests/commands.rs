//! Every command knows the port.

use std::path::Path;
use std::process::Command;

/// What the program prints, run in the folder of the port.
fn own_port(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_own-port")).args(args).output().expect("the program runs");
    let [out, error] = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(done.status.code().is_some_and(|code| code < 2), "{args:?}: {error}");
    out
}

fn holds(args: &[&str], wanted: &str) {
    let out = own_port(args);
    assert!(out.contains(wanted), "{args:?}: no `{wanted}` in:\n{out}");
}

fn fixture(path: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    fixtures.join(path).to_string_lossy().into_owned()
}

#[test]
fn scenarios_run_and_compare() {
    let file = fixture("scenarios/contpte-fold.scn");
    holds(&["run", &file, "--arch", "own"], "own 7.3");
    let compared = own_port(&["compare", &file, "--arch", "own,generic", "--kernel", "7.3"]);
    assert!(compared.contains("Between ports") && compared.contains("no difference"), "{compared}");
    holds(&["explain", &file, "--va", "0x40000000", "--at", "3", "--arch", "own"], "own, Linux 7.3");
}

/// What it does otherwise in old kernels shows beside the others' changes, and in what it does.
#[test]
fn its_changes_are_known() {
    holds(&["kernels", "6.16", "6.17"], "  - own_mkwrite_dirties              own   ");
    let file = fixture("scenarios/madvise-free.scn");
    let differs = own_port(&["compare", &file, "--arch", "own", "--kernel", "6.16,6.17"]);
    assert!(differs.contains("own 6.16 and own 6.17: "), "{differs}");
}

#[test]
fn it_is_checked() {
    holds(&["check", "--laws", "--arch", "own"], "33 of 33 laws hold");
    holds(&["check", "--race", "--arch", "own"], "own, ");
    holds(&["fuzz", "--arch", "own", "--cases", "40"], "40 programs");
}

#[test]
fn logs_and_pages() {
    holds(&["replay", &fixture("strace/cat.strace"), "--arch", "own"], "31 calls, 31 with the log's result");
    let page = std::env::temp_dir().join(format!("own-port-{}.html", std::process::id()));
    let file = fixture("scenarios/contpte-fold.scn");
    own_port(&["report", &file, "--arch", "own", "-o", &page.to_string_lossy()]);
    let text = std::fs::read_to_string(&page).expect("the page was written");
    std::fs::remove_file(&page).expect("it can be taken away");
    assert!(text.contains("<html"));
}
