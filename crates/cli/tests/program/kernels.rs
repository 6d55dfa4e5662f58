//! kernels, and what `--kernel` takes.

use crate::{file, fixture, ptelab, refused, stderr, stdout};

#[test]
fn the_table_says_what_changed_when() {
    let table = stdout(&ptelab(&["kernels"]));
    let at = |text: &str| table.find(text).unwrap_or_else(|| panic!("no `{text}` in: {table}"));
    let candidates = at("\n6.17-rc1\n")..at("\n6.17-rc2\n");
    assert!(at("\n6.17\n  + mprotect_batches") < candidates.start, "what candidates have too comes before");
    assert!(candidates.start < candidates.end && candidates.end < at("\n6.18\n"), "{candidates:?}");
    assert!(at("cf1b80dc31a1") < at("\n6.18\n"), "commits are named");
    assert!(at("(also in 6.12.117)") < at("Known: "), "stable releases are named");
    let same = ptelab(&["kernels", "7.3", "7.3.4"]);
    assert_eq!(
        (stdout(&same).as_str(), stderr(&same).as_str()),
        ("From 7.3 to 7.3 (+ begins to hold, - ends):\n  no difference\n", "")
    );
    assert!(stdout(&ptelab(&["kernels", "6.16"])).contains("+ cont_on_invalid"), "it holds in 6.16");
    let json = |args: &[&str]| {
        let output = ptelab(&[&["kernels", "--json"], args].concat());
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).expect("it is JSON")
    };
    let turned = json(&["6.17-rc1", "6.17"]);
    assert_eq!((&turned[0]["id"], &turned[0]["holds"]), (&"exclusive_from_folio_head".into(), &false.into()));
    assert_eq!(json(&["mprotect_batches"])["id"], "mprotect_batches");
}

#[test]
fn releases_that_are_not_known_get_the_nearest_rules_and_say_so_in_a_line() {
    let scenario = fixture("scenarios/guard.scn");
    let run = |kernel| ptelab(&["run", &scenario, "--arch", "aarch64", "--kernel", kernel]);
    let output = run("v6.16.8");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "ptelab: 6.16.8 is not known; taking the rules of 6.16, as 6.16.12\n");
    assert!(stdout(&output).contains("arm64, Linux 6.16"), "{}", stdout(&output));
    let output = run("6.14");
    assert!(stderr(&output).starts_with("ptelab: 6.14 is not known; taking the rules of 6.1"));
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(stdout(&output).contains("arm64, Linux 6.14"), "{}", stdout(&output));
    assert_eq!(stderr(&run("7.3")), "");
    let output = ptelab(&["fuzz", "--cases", "3", "--kernel", "7.4"]);
    assert_eq!(
        stderr(&output),
        "ptelab: 7.4 is not known; taking the rules of 7.3\n",
        "wherever it is taken"
    );
}

#[test]
fn a_file_of_rules_is_a_kernel() {
    let scenario = fixture("scenarios/prot-none.scn");
    let mine = file("mine.toml", b"base = \"6.17\"\n[changes]\ncont_on_invalid = false\n");
    let output = ptelab(&["compare", &scenario, "--arch", "arm64", "--kernel", &format!("6.17,{mine}")]);
    assert!(stdout(&output).contains("arm64 6.17 and arm64 mine: 1 difference"), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("instructions (mine, by the costs of 6.17)"),
        "costs are borrowed: {}",
        stdout(&output)
    );
    let output = ptelab(&["kernels", "6.17", &mine]);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(stdout(&output).contains("\n  - cont_on_invalid "), "{}", stdout(&output));

    let text = b"base = 7\nbass = \"6.17\"\n[changes]\nhuge_zero_specal = true\ncont_on_invalid = 1\n";
    let words =
        ["bad.toml:1:8: `base`", "bad.toml:2:1: unknown key `bass`", "bad.toml:4:1: ", "bad.toml:5:19: "];
    let wrong = file("bad.toml", text);
    refused(&["run", &scenario, "--kernel", &wrong], &words);
    refused(&["run", &scenario, "--kernel", &wrong], &["did you mean `huge_zero_special`?"]);
    refused(&["run", &scenario, "--kernel", "/nonexistent.toml"], &["/nonexistent.toml: No such file"]);
}

/// A slip of the pen is no release, and no name is none.
#[test]
fn releases_that_cannot_be_are_refused() {
    let scenario = fixture("scenarios/guard.scn");
    for (none, says) in [
        ("6.71", "no kernel `6.71`: did you mean `6.17`?"),
        ("7.33", "no kernel `7.33`"),
        ("", "no kernel ``"),
    ] {
        for command in ["run", "compare", "replay"] {
            refused(&[command, &scenario, "--kernel", none], &[says]);
        }
        refused(&["check", "--race", none], &[says]);
    }
}

#[test]
fn real_kernels_are_named_to_other_commands() {
    let scenario = fixture("scenarios/guard.scn");
    refused(&["run", &scenario, "--kernel", "host"], &["`ptelab verify --host FILE`"]);
    refused(&["run", &scenario, "--kernel", "boot/vmlinuz"], &["boot/vmlinuz: No such file"]);
    let explain = ["explain", &scenario, "--at", "1", "--va", "0", "--kernel", "boot/vmlinuz"];
    refused(&explain, &["boot/vmlinuz: No such file"]);
    refused(&["bench", "--kernel", "boot/vmlinuz"], &["`boot/vmlinuz` is a kernel image", "`verify`"]);
    refused(&["run", &scenario, "--kernel", "newest"], &["no kernel `newest`", "from 6.12 on"]);
}

/// What later stable releases of a series brought is not in its earlier ones.
#[test]
fn stable_releases_are_judged_by_what_came_by_then() {
    let scenario = fixture("scenarios/guard.scn");
    let output = ptelab(&["run", &scenario, "--arch", "arm64", "--kernel", "6.17.8"]);
    let note = "ptelab: 6.17.8 is not known; taking the rules of 6.17, as 6.17.13, but for what came after it: split_keeps_failed_zeros, mkwrite_dirties_clean\n";
    assert_eq!(stderr(&output), note);
    assert!(stdout(&output).contains("arm64, Linux 6.17.8"), "{}", stdout(&output));
    let holds = |kernel: &str| stdout(&ptelab(&["kernels", kernel])).contains("+ cont_on_invalid ");
    assert_eq!(
        [holds("6.12.50"), holds("6.12.117"), holds("6.12.120"), holds("6.16")],
        [true, false, false, true]
    );
}

/// The page of documentation is what the program prints.
#[test]
fn the_page_of_kernels_is_current() {
    let page = include_str!("../../../../docs/kernels.md");
    let made = "cargo run -p ptelab-cli -- kernels --markdown > docs/kernels.md";
    assert_eq!(stdout(&ptelab(&["kernels", "--markdown"])), page, "it is made by: {made}");
}

#[test]
fn the_table_has_every_row_and_release() {
    let output = ptelab(&["kernels", "--json"]);
    let table: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    let rows = table["changes"].as_array().expect("it has rows");
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(row("mprotect_batches")["holds"]["6.16"], false);
    assert_eq!(row("mprotect_batches")["since"]["commit"], "cac1db8c3aad");
    assert_eq!(row("cont_on_invalid")["until"]["backports"][0], "6.12.117");
    let of_x86 = stdout(&ptelab(&["kernels", "--arch", "amd64"]));
    assert!(of_x86.contains("pmd_modify_keeps_dirty") && !of_x86.contains("cont_on_invalid"), "{of_x86}");
    refused(&["kernels", "--arch", "vax"], &["vax"]);
}

#[test]
fn kernels_that_agree_are_named_together() {
    let output = ptelab(&["compare", &fixture("scenarios/guard.scn"), "--arch", "arm64", "--kernel", "all"]);
    let text = stdout(&output);
    assert!(text.starts_with("arm64, Linux 6.12: "), "{text}");
    assert!(text.contains("\narm64, Linux 6.16 to 7.3: "), "{text}");
    assert!(text.lines().any(|line| line == "  arm64: 6.12; 6.16 to 6.18; 6.19 to 7.3"), "{text}");
}

/// A golden file of a release that is not known is held against what the tables say of it.
#[test]
fn golden_files_of_other_releases_are_verified() {
    let text = std::fs::read_to_string(fixture("golden/c-fork-cow.arm64.7.2.json")).expect("a fixture");
    let path = file("other.json", text.replacen("7.2.12", "7.2.13", 1).as_bytes());
    let output = ptelab(&["verify", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("  7.2.13 is not known; taking the rules of 7.2, as 7.2.12"),
        "{}",
        stdout(&output)
    );
}

/// An image that was copied in part is not booted for minutes.
#[test]
fn an_image_that_is_cut_off_is_refused_at_once() {
    let mut image = vec![0; 0x3000];
    image[0x1f1] = 39;
    image[0x1f5] = 2;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    let (image, scenario) = (file("vmlinuz-cut", &image), fixture("scenarios/contpte-fold.scn"));
    for command in ["verify", "run", "explain"] {
        let mut args = vec![command, &scenario, "--kernel", &image];
        if command == "explain" {
            args.extend(["--at", "1", "--va", "0"]);
        }
        refused(&args, &["is cut off: it has 12288 bytes, and by its header at least 28657"]);
    }
}
