//! Without features the library stays small.

use std::collections::BTreeSet;
use std::process::Command;

/// Crates that are built at most, the library among them.
const MOST: usize = 30;

#[test]
fn few_crates_are_built_without_features() {
    let tree = ["tree", "--package", "ptelab", "--edges", "normal", "--prefix", "none", "--offline"];
    let done = Command::new(env!("CARGO")).args(tree).output().expect("cargo runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let crates: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(crates.len() <= MOST, "{} crates: {crates:#?}", crates.len());
}
