//! The house itself: which crate may use which, what every port's folder holds, what occurs nowhere.

use cargo_metadata::{Dependency, DependencyKind, MetadataCommand};
use ptelab::port_names;
use ptelab_testkit::{fixtures, root, stem};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What each crate may depend on, within the workspace; unit tests apart.
const ARROWS: &[(&str, &[&str])] = &[
    ("ptelab-uapi", &[]),
    ("ptelab-pgtable", &["ptelab-uapi"]),
    ("ptelab-scenario", &["ptelab-uapi"]),
    ("ptelab-mm", &["ptelab-uapi", "ptelab-pgtable"]),
    ("arch-generic", &["ptelab-pgtable"]),
    ("arch-arm64", &["ptelab-pgtable"]),
    ("arch-x86_64", &["ptelab-pgtable"]),
    ("arch-riscv64", &["ptelab-pgtable"]),
    (
        "ptelab-machine",
        &[
            "ptelab-uapi",
            "ptelab-pgtable",
            "ptelab-mm",
            "arch-generic",
            "arch-arm64",
            "arch-x86_64",
            "arch-riscv64",
        ],
    ),
    ("ptelab-real", &["ptelab-uapi"]),
    ("ptelab-run", &["ptelab-machine", "ptelab-scenario"]),
    ("ptelab-judge", &["ptelab-machine", "ptelab-scenario", "ptelab-real", "ptelab-run"]),
    ("ptelab-measure", &["ptelab-machine", "ptelab-scenario", "ptelab-real", "ptelab-run"]),
    ("ptelab-replay", &["ptelab-machine", "ptelab-scenario", "ptelab-run", "ptelab-measure"]),
    (
        "ptelab",
        &[
            "ptelab-machine",
            "ptelab-scenario",
            "ptelab-run",
            "ptelab-judge",
            "ptelab-measure",
            "ptelab-replay",
        ],
    ),
    ("ptelab-report", &["ptelab"]),
    ("ptelab-cli", &["ptelab", "ptelab-report"]),
    ("ptelab-testkit", &["ptelab"]),
    ("ptelab-bench", &["ptelab-pgtable", "ptelab-machine", "arch-generic", "arch-arm64", "arch-x86_64"]),
    ("own-port", &["ptelab-pgtable", "ptelab-cli"]),
    ("xtask", &["ptelab"]),
];

#[test]
fn arrows_point_down() {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata describes the workspace");
    let members: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let may = allowed.get(name).unwrap_or_else(|| panic!("{name} has no place in the house"));
        let built = |d: &&Dependency| members.contains(&d.name) && d.kind != DependencyKind::Development;
        for dependency in package.dependencies.iter().filter(built) {
            let used = dependency.name.as_str();
            assert!(may.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn ports_have_the_same_files() {
    for port in port_names() {
        for file in ["lib", "pte", "ops", "modify_prot", "tlb"] {
            let path = root().join(format!("arch-{port}/src/{file}.rs"));
            assert!(path.is_file(), "{} is missing", path.display());
        }
    }
}

/// All Rust files of the workspace.
fn sources() -> Vec<PathBuf> {
    let found = files("rs");
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

/// All files of the workspace's crates with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        ["crates", "arch-generic", "arch-arm64", "arch-x86_64"].iter().map(|dir| root().join(dir)).collect();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a folder of the workspace").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn what_occurs_nowhere() {
    let forbidden = [
        concat!("cfg(", "target_arch"),
        concat!("unsafe", " {"),
        concat!("unsafe", " fn"),
        concat!("unsafe", " impl"),
    ];
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("sources are text");
        // Where Linux itself is called, and nowhere else.
        let may = path.starts_with(root().join("crates/real"));
        for word in forbidden.iter().filter(|word| !(may && word.starts_with("unsafe"))) {
            assert!(!text.contains(word), "{} has `{word}`", path.display());
        }
        assert!(text.lines().count() <= 900, "{} is too long to read in a sitting", path.display());
    }
}

/// Elsewhere, what workers log would stand under no span.
#[test]
fn loops_over_all_cpus_stand_in_one_place() {
    let source = |path: &PathBuf| path.iter().any(|part| part == "src");
    let names = |path: &PathBuf| std::fs::read_to_string(path).expect("sources are text").contains("rayon::");
    let found: Vec<PathBuf> = sources().into_iter().filter(|path| source(path) && names(path)).collect();
    assert_eq!(found, [root().join("crates/run/src/parallel.rs")]);
}

#[test]
fn mm_names_no_port() {
    for path in sources().iter().filter(|path| path.starts_with(root().join("crates/mm/src"))) {
        let text = std::fs::read_to_string(path).expect("sources are text");
        // Unit tests need some port.
        let text = text.split("#[cfg(test)]").next().expect("a text has a beginning");
        for port in ["Arm64", "X86_64", "arch_arm64", "arch_x86_64", "arch_generic"] {
            assert!(!text.contains(port), "{} names {port}", path.display());
        }
    }
}

#[test]
fn no_snapshot_is_an_orphan() {
    let mut scenarios: BTreeSet<String> =
        fixtures("scenarios", "scn").iter().map(|path| stem(path)).collect();
    // It has a test of its own, without snapshots.
    scenarios.remove("seed");
    for path in fixtures("snapshots", "snap") {
        let name = stem(&path);
        let (scenario, port) = name.split_once('@').unwrap_or((&name, ""));
        assert!(scenarios.contains(scenario), "{name}: there is no such scenario");
        assert!(port_names().contains(&port), "{name}: there is no such port");
    }
    let logs: BTreeSet<String> = fixtures("strace", "strace").iter().map(|path| stem(path)).collect();
    for path in fixtures("strace", "snap") {
        assert!(logs.contains(&stem(&path)), "{}: there is no such log", stem(&path));
    }
    let texts: Vec<String> =
        sources().iter().map(|path| std::fs::read_to_string(path).expect("sources are text")).collect();
    for path in files("snap").iter().filter(|path| !path.with_extension("scn").exists()) {
        // insta puts the name of the test's file before it.
        let name = stem(path);
        let name = name.split_once("__").map_or(name.as_str(), |(_, name)| name);
        let named = texts.iter().any(|text| text.contains(&format!("\"{name}\"")));
        assert!(named, "{}: no test names it", path.display());
    }
}
