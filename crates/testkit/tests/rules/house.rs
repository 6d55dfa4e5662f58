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
    ("ptelab-arch-generic", &["ptelab-pgtable"]),
    ("ptelab-arch-arm64", &["ptelab-pgtable"]),
    ("ptelab-arch-x86_64", &["ptelab-pgtable"]),
    ("ptelab-arch-loong64", &["ptelab-pgtable"]),
    ("ptelab-arch-riscv64", &["ptelab-pgtable"]),
    ("ptelab-arch-ppc64", &["ptelab-pgtable"]),
    ("ptelab-arch-s390x", &["ptelab-pgtable"]),
    (
        "ptelab-machine",
        &[
            "ptelab-uapi",
            "ptelab-pgtable",
            "ptelab-mm",
            "ptelab-arch-generic",
            "ptelab-arch-arm64",
            "ptelab-arch-x86_64",
            "ptelab-arch-riscv64",
        ],
    ),
    ("ptelab-real", &["ptelab-uapi"]),
    ("ptelab-run", &["ptelab-machine", "ptelab-scenario"]),
    (
        "ptelab-judge",
        &[
            "ptelab-arch-arm64",
            "ptelab-arch-loong64",
            "ptelab-arch-ppc64",
            "ptelab-arch-riscv64",
            "ptelab-arch-s390x",
            "ptelab-machine",
            "ptelab-scenario",
            "ptelab-real",
            "ptelab-run",
        ],
    ),
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
    ("ptelab-playground", &["ptelab", "ptelab-report"]),
    ("ptelab-testkit", &["ptelab"]),
    (
        "ptelab-bench",
        &[
            "ptelab-pgtable",
            "ptelab-machine",
            "ptelab-arch-generic",
            "ptelab-arch-arm64",
            "ptelab-arch-x86_64",
        ],
    ),
    ("own-port", &["ptelab-pgtable", "ptelab-cli"]),
    ("xtask", &["ptelab", "ptelab-report"]),
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

/// The names of a folder's files.
fn names_in(dir: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(dir)).expect("a folder of the workspace");
    entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What a port has beside the files of the generic one.
const OWN_FILES: &[(&str, &[&str])] =
    &[("arm64", &["contpte.rs", "block.rs"]), ("riscv64", &["contpte.rs"]), ("s390x", &["flush_mm.rs"])];

#[test]
fn ports_have_the_same_files() {
    for dir in ["", "src", "tests/port"] {
        let pattern = names_in(&format!("arch-generic/{dir}"));
        for port in port_folders() {
            let own = OWN_FILES
                .iter()
                .find(|(name, _)| format!("arch-{name}") == port)
                .map_or(&[] as &[_], |(_, own)| own);
            let mut found = names_in(&format!("{port}/{dir}"));
            found.retain(|name| !own.contains(&name.as_str()));
            assert_eq!(found, pattern, "{port}/{dir} and arch-generic/{dir}");
        }
    }
}

/// The items of a block of this heading, in order: functions, constants and types.
fn items_of(text: &str, heading: &str) -> Vec<String> {
    let Some((_, block)) = text.split_once(heading) else { return Vec::new() };
    let words = ["fn", "const", "type"];
    let named = |line: &str| {
        // Helpers of huge leaves that are made of those of pages.
        if let Some((name, _)) = line.strip_prefix("        ").and_then(|line| line.split_once(" = pte_")) {
            return name.starts_with("pmd_").then(|| name.to_owned());
        }
        let (word, rest) = line.strip_prefix("    ")?.split_once(' ')?;
        let name = rest.split(|c: char| c != '_' && !c.is_alphanumeric()).next()?;
        words.contains(&word).then(|| name.to_owned())
    };
    block.lines().take_while(|line| *line != "}").filter_map(named).collect()
}

/// The ports' folders, those of early ones too.
fn port_folders() -> Vec<String> {
    let folders = std::fs::read_dir(root()).expect("the root is a folder").filter_map(Result::ok);
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let found: Vec<String> = names.filter(|name| name.starts_with("arch-")).collect();
    assert!(found.len() > 3, "ports are missing: {found:?}");
    found
}

/// The seam's traits, with the file in which a port has each, and that of the seam.
const SEAM: [(&str, &str, &str); 6] = [
    ("Arch", "lib.rs", "arch.rs"),
    ("EntryFormat", "pte.rs", "format.rs"),
    ("PteOps", "ops.rs", "ops.rs"),
    ("TlbOps", "tlb.rs", "tlb.rs"),
    ("ModifyProt", "modify_prot.rs", "modify_prot.rs"),
    ("PortFacts", "facts.rs", "laws/trial.rs"),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a port has of one of the seam's traits.
fn of_port(port: &str, name: &str, file: &str) -> Vec<String> {
    let text = read(&format!("{port}/src/{file}"));
    let headings = [format!("impl {name} for "), format!("impl<const SHIFT: u32> {name} for ")];
    let heading = headings.iter().find(|heading| text.contains(heading.as_str()));
    items_of(&text, heading.unwrap_or_else(|| panic!("{port}/src/{file}: no {name}")))
}

/// A port is read beside its sisters: what it says stands in the order in which the seam asks for it.
#[test]
fn ports_have_the_same_order() {
    for (name, file, seam) in SEAM {
        let order = items_of(&read(&format!("crates/pgtable/src/{seam}")), &format!("pub trait {name}:"));
        assert!(!order.is_empty(), "{seam} has no {name}");
        for port in port_folders() {
            let items = of_port(&port, name, file);
            let mut sorted = items.clone();
            sorted.sort_by_key(|item| order.iter().position(|known| known == item));
            assert_eq!(items, sorted, "{port}/src/{file}: {name} in another order than the seam's");
        }
    }
}

/// Bugs are planted in a copy of each port: what a port says of itself, the copy must say too, or laws and random programs would
/// hold something else than the port.
#[test]
fn copies_with_bugs_say_what_their_ports_say() {
    let faulty = read("crates/judge/src/faulty.rs");
    let mut missing = Vec::new();
    for (name, file, _) in SEAM {
        let block = faulty.split(&format!(" {name} for Faulty<P> {{")).nth(1).expect("it has the whole seam");
        let block = block.split("\n}\n").next().unwrap_or_default();
        let says = |item: &str| {
            let words = ["fn", "const", "type"];
            let starts = |rest: &str| rest.starts_with(|c: char| c != '_' && !c.is_alphanumeric());
            words.iter().any(|word| block.split(&format!("{word} {item}")).skip(1).any(starts))
        };
        for port in port_folders() {
            let items = of_port(&port, name, file);
            missing.extend(
                items.iter().filter(|item| !says(item)).map(|item| format!("{port}'s {name}::{item}")),
            );
        }
    }
    assert_eq!(missing, [""; 0], "what the copy lacks");
}

/// Where numbers may stand that are sizes of pages and tables, and why.
const MAY_HAVE_SIZES: &[(&str, &str)] = &[
    ("crates/cli/src/watch/", "the running kernel has 4K pages"),
    ("crates/real/src/qemu.rs", "words of the mailbox to the guest"),
    ("crates/real/src/qemu/guests.rs", "each row is the machine of one port"),
    ("crates/real/src/qemu/image.rs", "what the headers of images mean"),
    ("crates/real/src/shape.rs", "the running kernels that are asked have 4K pages"),
    ("crates/judge/", "its programs have 4K pages"),
    ("crates/measure/", "its layouts have 4K pages"),
    ("crates/replay/", "its logs are of programs with 4K pages"),
    ("crates/mm/src/changes.rs", "flags in the scenarios of its probes"),
    ("crates/scenario/src/render.rs", "columns of a terminal"),
    ("crates/scenario/src/strace/error.rs", "a line of a log"),
    ("crates/xtask/", "it makes golden files of such kernels"),
];

/// Sizes of pages and tables are the port's to say: where one is written down, a port of another shape cannot be.
#[test]
fn sizes_of_pages_and_tables_are_written_down_in_ports() {
    let sizes = [
        "4096", "4 << 10", "1 << 12", "0x1000", "0xfff", "512", "511", "1 << 9", "0x200", "2 << 20",
        "1 << 21",
    ];
    let shifts = ["<< 12", ">> 12", "<< 9", ">> 9", "<< 21", ">> 21", "SHIFT: u32 = 12", "SHIFT: u32 = 9"];
    let mut found = Vec::new();
    for path in sources() {
        let inside =
            path.strip_prefix(root()).expect("sources are below the root").to_string_lossy().into_owned();
        let may = MAY_HAVE_SIZES.iter().any(|(place, _)| inside.starts_with(place));
        if may || !inside.starts_with("crates/") || !inside.contains("/src/") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("sources are text");
        let code = code_of(&text).filter(|(_, line)| !is_flag(line));
        let sized = code.filter(|(_, line)| sizes.iter().chain(&shifts).any(|size| has_number(line, size)));
        found.extend(sized.map(|(at, line)| format!("{inside}:{at}: {}", line.trim())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The lines of a file that are code, with their numbers: neither comments nor tests.
fn code_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
    code.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| (at + 1, line))
}

/// A flag of a set, which may be any number: `NAME = 1 << 9;` or a row of a table.
fn is_flag(line: &str) -> bool {
    let line = line.trim().trim_start_matches("const ");
    let name = line.split_once(" = ").map_or("", |(name, _)| name);
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    is_name || line.starts_with("Named::flag(")
}

/// Whether a line has a number by itself: it does not go on in more digits, or as a number of something larger.
fn has_number(line: &str, number: &str) -> bool {
    line.match_indices(number).any(|(at, _)| {
        let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let after = &line[at + number.len()..];
        !line[..at].ends_with(goes_on) && !after.starts_with(goes_on) && !after.starts_with(" <<")
    })
}

/// Who may call a function that can fail learns when it does; of a trait's, the trait may say it.
#[test]
fn public_functions_say_when_they_fail() {
    let mut silent = Vec::new();
    for path in sources().iter().filter(|path| path.iter().any(|part| part == "src")) {
        let text = std::fs::read_to_string(path).expect("sources are text");
        let lines: Vec<&str> = text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
        let mut said_of_trait = None;
        for (at, line) in lines.iter().enumerate() {
            let says = || docs_above(&lines, at).any(|line| line.contains("# Errors"));
            match *line {
                "}" => said_of_trait = None,
                line if line.starts_with("pub trait ") => said_of_trait = Some(says()),
                _ => {}
            }
            let in_trait = said_of_trait.is_some() && line.starts_with("    fn ");
            let public =
                in_trait || ["pub fn ", "pub const fn "].iter().any(|it| line.trim_start().starts_with(it));
            if public && fails(&lines[at..]) && said_of_trait != Some(true) && !says() {
                silent.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(silent.is_empty(), "no `# Errors`: {silent:#?}");
}

/// The doc comment and the attributes of a line's item.
fn docs_above<'a>(lines: &'a [&str], at: usize) -> impl Iterator<Item = &'a str> {
    let above = lines[..at].iter().rev().map(|line| line.trim_start());
    above.take_while(|line| line.starts_with("///") || line.starts_with("#["))
}

/// Whether the function that begins here gives a `Result`.
fn fails(lines: &[&str]) -> bool {
    let length = lines.iter().position(|line| line.ends_with('{') || line.ends_with(';'));
    let length = length.map_or(lines.len(), |at| at + 1);
    let signature = lines[..length].concat();
    let gives = signature.rsplit_once(") -> ").map_or("", |(_, gives)| gives);
    gives.starts_with("Result<") || gives.starts_with("io::Result<")
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

#[test]
fn the_guide_names_all_that_a_port_must_say() {
    let file = |path: &str| std::fs::read_to_string(root().join(path)).expect("it is there");
    let (traits, guide) = (file("crates/pgtable/src/format.rs"), file("docs/port-guide.md"));
    let items = traits.lines().filter(|line| line.starts_with("    ") && line.ends_with(';'));
    let required = items.filter_map(|line| {
        let mut words = line[4..].split([' ', ':', '(']);
        let without_default = match words.next() {
            Some("const") => !line.contains(" = "),
            kind => matches!(kind, Some("type" | "fn")),
        };
        without_default.then(|| words.next().unwrap_or_default())
    });
    let required: Vec<&str> = required.collect();
    let missing: Vec<&&str> = required.iter().filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/port-guide.md does not name {missing:?}");
    assert!(guide.contains(&format!("must say {} things", required.len())), "there are {}", required.len());
}
