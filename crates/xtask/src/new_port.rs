//! A new port: a copy of the generic one under another name, known to every command. Of its tests it has the laws; those of its own words are
//! to be written with them.

use crate::tree::root;
use std::fs;
use std::path::Path;

/// What a copy holds in place of the pattern's names.
struct Names {
    /// As on the command line: `sparc64`.
    name: String,
    /// Of the type: `Sparc64`.
    ty: String,
}

impl Names {
    fn new(name: &str) -> Result<Self, String> {
        let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_fine) {
            return Err(format!("`{name}` is no name for a port: letters, digits and `_`, as riscv64"));
        }
        let parts = name.split('_').filter(|part| !part.is_empty());
        let ty = parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect();
        Ok(Self { name: name.to_owned(), ty })
    }

    /// A file of the generic port as one of this port.
    fn of_this(&self, text: &str) -> String {
        let Self { name, ty } = self;
        let module = format!("arch_{name}");
        let text = text.replace("arch_generic", &module).replace("arch-generic", &format!("arch-{name}"));
        let text = text.replace("\"generic\"", &format!("\"{name}\"")).replace("Generic", ty);
        text.replace("the generic port", &format!("the {name} port"))
            .replace("The generic port", &format!("The {name} port"))
    }
}

/// Where a line goes in a file: before the first that begins so.
const PLACES: [(&str, &str, &str); 4] = [
    (
        "Cargo.toml",
        "arch-generic = {",
        concat!(
            "arch-NAME = { package = \"ptelab-arch-NAME\", path = \"arch-NAME\", version = \"",
            env!("CARGO_PKG_VERSION"),
            "\" }\n"
        ),
    ),
    ("crates/judge/Cargo.toml", "arch-riscv64 = {", "arch-NAME = { workspace = true, optional = true }\n"),
    ("crates/judge/src/ports.rs", "    add::<arch_riscv64::Riscv64>();", "    add::<arch_NAME::TYPE>();\n"),
    (
        "crates/testkit/tests/rules/house.rs",
        "    (\"ptelab-arch-riscv64\", &[\"ptelab-pgtable\"]),",
        "    (\"ptelab-arch-NAME\", &[\"ptelab-pgtable\"]),\n",
    ),
];

/// What stands in the middle of a line, and what follows it then.
const WITHIN: [(&str, &str, &str); 3] = [
    ("Cargo.toml", "members = [", "\"arch-NAME\", "),
    ("crates/judge/Cargo.toml", "fuzz = [\"dep:arbitrary\", ", "\"dep:arch-NAME\", "),
    (
        "crates/testkit/tests/rules/house.rs",
        "            \"ptelab-arch-riscv64\",\n            \"ptelab-arch-s390x\",\n",
        "            \"ptelab-arch-NAME\",\n",
    ),
];

/// Makes it.
pub(crate) fn make(name: &str) -> Result<bool, String> {
    let names = Names::new(name)?;
    let (from, to) = (root().join("arch-generic"), root().join(format!("arch-{name}")));
    if to.exists() {
        return Err(format!("{} is there already", to.display()));
    }
    let changes = |text: &str| text.replace("NAME", &names.name).replace("TYPE", &names.ty);
    let mut files = std::collections::BTreeMap::new();
    for (file, at, line) in PLACES {
        let text = files.entry(file).or_insert(read(&root().join(file))?);
        let place = text.find(at).ok_or_else(|| format!("{file} has no line that begins with `{at}`"))?;
        text.insert_str(place, &changes(line));
    }
    for (file, after, added) in WITHIN {
        let text = files.entry(file).or_insert(read(&root().join(file))?);
        let place = text.find(after).ok_or_else(|| format!("{file} has no `{after}`"))? + after.len();
        text.insert_str(place, &changes(added));
    }
    copy(&from, &to, &names)?;
    for (file, text) in files {
        write(&root().join(file), &text)?;
    }
    println!(
        "arch-{name} is a port that overrides nothing, with the format of the generic one. Its laws hold now:\n\n    \
         cargo test -p ptelab-arch-{name}\n\n\
         Change bits.rs and pte.rs to the words of the architecture first; each law that fails then names the word, and a scenario that \
         shows it. When all hold again, tests of its own words go into tests/port. docs/port-guide.md says what comes next."
    );
    Ok(true)
}

fn copy(from: &Path, to: &Path, names: &Names) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target, names)?;
        } else {
            let text = names.of_this(&read(&path)?);
            let is_own = path.parent().is_some_and(|folder| folder.ends_with(TESTS))
                && !COPIED.contains(&file_name(&path));
            write(&target, &if is_own { to_be_written(&text, file_name(&path)) } else { text })?;
        }
    }
    Ok(())
}

/// The folder with a port's tests, and the files there that hold for every port.
const TESTS: &str = "tests/port";
const COPIED: [&str; 2] = ["main.rs", "laws.rs"];

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A file of tests that are of one port's words, without them: what it is for, and where one is to be seen.
fn to_be_written(text: &str, file: &str) -> String {
    let about: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let example = format!("`arch-generic/{TESTS}/{file}` is an example.");
    about.join("\n") + &format!("\n//!\n//! To be written when the laws hold for its own words; {example}\n")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_ports_and_types() {
        assert_eq!(Names::new("sparc64").map(|names| names.ty), Ok("Sparc64".to_owned()));
        assert_eq!(Names::new("csky_v2").map(|names| names.ty), Ok("CskyV2".to_owned()));
        for bad in ["", "Sparc", "a-b", "6502", "../x"] {
            assert!(Names::new(bad).is_err(), "{bad}");
        }
    }

    /// Tests of the generic port's words fail where the words are others: a new port has none of them, but every file.
    #[test]
    fn a_new_port_has_the_laws_and_room_for_tests_of_its_own() {
        let to = std::env::temp_dir().join(format!("ptelab-new-port-{}", std::process::id()));
        let names = Names::new("sparc64").expect("it is a name");
        let made = copy(&root().join("arch-generic"), &to, &names);
        let text = |file: &str| read(&to.join(TESTS).join(file));
        let (laws, main, ops) = (text("laws.rs"), text("main.rs"), text("ops.rs"));
        fs::remove_dir_all(&to).expect("it was made");
        assert_eq!(made, Ok(()));
        assert!(laws.is_ok_and(|laws| laws.contains("port_laws!(Sparc64)")));
        assert!(main.is_ok_and(|main| main.contains("mod ops;")));
        assert!(ops.is_ok_and(|ops| ops.starts_with("//! ") && !ops.contains("#[test]")));
    }

    /// The places that a new port is written to are there.
    #[test]
    fn the_places_are_there() {
        for (file, at, _) in PLACES.into_iter().chain(WITHIN) {
            assert!(read(&root().join(file)).is_ok_and(|text| text.contains(at)), "{file}: {at}");
        }
    }
}
