//! Kernels as people name them: releases, known or not, and files of rules.

#[cfg(feature = "rules-file")]
mod file;
mod named;
mod show;
mod table;

pub use named::{
    NamedKernel, before_and_after, before_and_default, compared, differences, listed, of_release, usual,
};
#[cfg(feature = "matrix")]
pub(crate) use show::concerns;
pub use show::{Turned, kernel_changes, turned_between};
pub use table::{ChangeRow, ChangesTable, KnownKernel, RowTurn};

use crate::select::SelectError;
use ptelab_machine::Release;
use std::path::Path;

/// What a kernel's name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Release(Release),
    RulesFile(&'a Path),
    Image(&'a Path),
    Host,
}

impl<'a> Kind<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let path = Path::new(name);
        let is_image =
            |file: &str| ["vmlinu", "Image", "bzImage"].iter().any(|start| file.starts_with(start));
        if name == "host" {
            return Some(Self::Host);
        }
        if path.extension().is_some_and(|extension| extension == "toml") {
            return Some(Self::RulesFile(path));
        }
        if let Some(release) = Release::parse(name) {
            return Some(Self::Release(release));
        }
        let file = path.file_name().is_some_and(|file| is_image(&file.to_string_lossy()));
        (file || path.is_file()).then_some(Self::Image(path))
    }
}

/// The kernel image that a name is the path of, if it is one's.
pub fn image(name: &str) -> Option<&Path> {
    match Kind::of(name) {
        Some(Kind::Image(path)) => Some(path),
        _ => None,
    }
}

/// The kernel of this name: a release, or a file of rules.
///
/// # Errors
/// Where there is none, where the file has mistakes, and where it names a real kernel, which is asked by another command.
pub fn kernel(name: &str) -> Result<NamedKernel, SelectError> {
    match Kind::of(name) {
        Some(Kind::Release(release)) => {
            named::of_named(release).ok_or_else(|| SelectError::Kernel(name.to_owned()))
        }
        #[cfg(feature = "rules-file")]
        Some(Kind::RulesFile(path)) => file::read(path).map_err(SelectError::RulesFile),
        #[cfg(not(feature = "rules-file"))]
        Some(Kind::RulesFile(path)) => {
            let why = "files of rules need the library's feature `rules-file`";
            Err(SelectError::RulesFile(format!("{}: {why}", path.display())))
        }
        Some(Kind::Image(_)) => Err(SelectError::Image(name.to_owned())),
        Some(Kind::Host) => Err(SelectError::Host),
        None => Err(SelectError::Kernel(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptelab_machine::KernelRules;

    #[test]
    fn every_kind_of_kernel_is_told_from_its_name() {
        let release = |name| Some(Kind::Release(Release::new(name)));
        for (name, kind) in [
            ("6.17", release("6.17")),
            ("v6.17.8", release("6.17.8")),
            ("host", Some(Kind::Host)),
            ("mine.toml", Some(Kind::RulesFile(Path::new("mine.toml")))),
            ("./boot/Image", Some(Kind::Image(Path::new("./boot/Image")))),
            ("vmlinuz-6.17-arm64", Some(Kind::Image(Path::new("vmlinuz-6.17-arm64")))),
            ("latest", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn known_releases_are_taken_as_they_are() {
        for rules in KernelRules::ALL {
            for name in [rules.name.to_owned(), rules.release.to_string()] {
                assert_eq!(kernel(&name), Ok(NamedKernel { rules, note: None }), "{name}");
            }
        }
    }

    #[test]
    fn other_releases_get_the_nearest_rules_and_say_so() {
        let named = |name| kernel(name).map(|named| (named.rules.name, named.note.unwrap_or_default()));
        let (name, note) = named("6.16.8").expect("its series is known");
        assert_eq!(
            (name, note.as_str()),
            ("6.16", "6.16.8 is not known; taking the rules of 6.16, as 6.16.12")
        );
        let (name, note) = named("7.3.0-rc5-g1234").expect("it is a candidate of a known one");
        assert_eq!((name, note.as_str()), ("7.3", "7.3-rc5 is not known; taking the rules of 7.3"));
        let (name, note) = named("6.17.8").expect("its series is known");
        let came_later = "the rules of 6.17, as 6.17.13, but for what came after it: split_keeps_failed_zeros, mkwrite_dirties_clean";
        assert_eq!((name, note), ("6.17.8", format!("6.17.8 is not known; taking {came_later}")));
        let (name, note) = named("6.14").expect("it lies between known ones");
        assert_eq!(name, "6.14");
        assert!(note.starts_with("6.14 is not known; taking the rules of 6.1"), "{note}");
        for none in ["6.11.9", "6.71", "6.20", "7.33", "8.0", "9.9"] {
            assert!(matches!(named(none), Err(SelectError::Kernel(_))), "{none}");
        }
        assert!(named("7.4-rc1").is_ok() && named("6.19.20").is_ok());
    }
}
