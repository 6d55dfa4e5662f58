//! kernels, and what `--kernel` takes.

use crate::{file, fixture, ptelab, refused, stderr, stdout};

/// What README shows of `ptelab kernels` is what it prints.
#[test]
fn readme_shows_what_differs_between_two_kernels() {
    let readme = include_str!("../../../../README.md");
    let begin = "$ cargo run --release -- kernels ";
    let shown = &readme[readme.find(begin).expect("it shows the command") + begin.len()..];
    let (args, shown) = shown.split_once('\n').expect("output follows");
    let shown = shown.split("```").next().unwrap_or_default();
    let args: Vec<&str> = std::iter::once("kernels").chain(args.split(' ')).collect();
    assert_eq!(stdout(&ptelab(&args)), shown);
}

#[test]
fn the_table_says_what_changed_when() {
    let table = stdout(&ptelab(&["kernels"]));
    let at = |text: &str| table.find(text).unwrap_or_else(|| panic!("no `{text}` in: {table}"));
    assert!(at("\n6.17-rc2\n") < at("\n6.17\n  + mprotect_batches"), "a candidate comes first");
    assert!(at("cf1b80dc31a1") < at("\n6.18\n"), "commits are named");
    assert!(at("(also in 6.12.117)") < at("Known: "), "stable releases are named");
    let same = ptelab(&["kernels", "7.3", "7.3.4"]);
    assert_eq!((stdout(&same).as_str(), stderr(&same).as_str()), ("no difference\n", ""));
    assert!(stdout(&ptelab(&["kernels", "6.16"])).contains("+ cont_on_invalid"), "it holds in 6.16");
}

#[test]
fn releases_that_are_not_known_get_the_nearest_rules_and_say_so_in_a_line() {
    let scenario = fixture("scenarios/guard.scn");
    let run = |kernel| ptelab(&["run", &scenario, "--arch", "aarch64", "--kernel", kernel]);
    let output = run("v6.17.8");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "ptelab: 6.17.8 is not known: the rules of 6.17, as 6.17.13\n");
    assert!(stdout(&output).contains("arm64, Linux 6.17"), "{}", stdout(&output));
    let output = run("7.1");
    assert!(stderr(&output).starts_with("ptelab: 7.1 is not known: the rules of 6.17 but for "));
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(stdout(&output).contains("arm64, Linux 7.1"), "{}", stdout(&output));
    assert_eq!(stderr(&run("7.3")), "");
    let output = ptelab(&["fuzz", "--cases", "3", "--kernel", "7.4"]);
    assert_eq!(stderr(&output), "ptelab: 7.4 is not known: the rules of 7.3\n", "wherever it is taken");
}

#[test]
fn a_file_of_rules_is_a_kernel() {
    let scenario = fixture("scenarios/prot-none.scn");
    let mine = file("mine.toml", b"base = \"6.17\"\n[changes]\ncont_on_invalid = false\n");
    let output = ptelab(&["compare", &scenario, "--arch", "arm64", "--kernel", &format!("6.17,{mine}")]);
    assert!(stdout(&output).contains("arm64 6.17 and arm64 mine: 1 difference"), "{}", stdout(&output));
    assert!(stdout(&output).contains("instructions (mine)"), "costs are borrowed: {}", stdout(&output));
    let output = ptelab(&["kernels", "6.17", &mine]);
    assert_eq!(stdout(&output).lines().count(), 1);
    assert!(stdout(&output).starts_with("  - cont_on_invalid "), "{}", stdout(&output));

    let text = b"base = 7\nbass = \"6.17\"\n[changes]\nhuge_zero_specal = true\ncont_on_invalid = 1\n";
    let words =
        ["bad.toml:1:8: `base`", "bad.toml:2:1: unknown key `bass`", "bad.toml:4:1: ", "bad.toml:5:19: "];
    let wrong = file("bad.toml", text);
    refused(&["run", &scenario, "--kernel", &wrong], &words);
    refused(&["run", &scenario, "--kernel", &wrong], &["did you mean `huge_zero_special`?"]);
    refused(&["run", &scenario, "--kernel", "/nonexistent.toml"], &["/nonexistent.toml: No such file"]);
}

#[test]
fn real_kernels_are_named_to_other_commands() {
    let scenario = fixture("scenarios/guard.scn");
    refused(&["run", &scenario, "--kernel", "host"], &["`ptelab verify --host FILE`"]);
    refused(&["run", &scenario, "--kernel", "boot/vmlinuz"], &["no file boot/vmlinuz"]);
    let explain = ["explain", &scenario, "--at", "1", "--va", "0", "--kernel", "boot/vmlinuz"];
    refused(&explain, &["no file boot/vmlinuz"]);
    refused(&["bench", "--kernel", "boot/vmlinuz"], &["`boot/vmlinuz` is a kernel image", "`verify`"]);
    refused(&["run", &scenario, "--kernel", "newest"], &["no kernel `newest`", "from 6.12 on"]);
}

/// A golden file of a release that is not known is held against what the tables say of it.
#[test]
fn golden_files_of_other_releases_are_verified() {
    let text = std::fs::read_to_string(fixture("golden/c-fork-cow.arm64.7.3.json")).expect("a fixture");
    let path = file("other.json", text.replacen("7.3.4", "7.2.13", 1).as_bytes());
    let output = ptelab(&["verify", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("  7.2.13 is not known: the rules of 7.3 but for "),
        "{}",
        stdout(&output)
    );
}
