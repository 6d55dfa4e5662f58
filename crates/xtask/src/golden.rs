//! Making golden files anew.

use ptelab::Golden;
use ptelab::exec::Watch;
use ptelab::real::VerifyError;
use ptelab::real::qemu::{Boots, Image, Player};
use ptelab::scenario::Scenario;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs the scenario of every golden file of a folder, or else of `fixtures/golden`, on the image of its port and kernel, and writes
/// what came of it; says whether the emulator agrees with all of it. Files without an image, and those that ask for what the image lacks,
/// are left out, and said.
pub(crate) fn make(
    out: &Path,
    images: &Path,
    known: Option<&Path>,
    only: &str,
    fresh: bool,
) -> Result<bool, String> {
    let fixtures = crate::tree::root().join("fixtures/golden");
    let known = known.unwrap_or(&fixtures);
    if out.canonicalize().ok() == known.canonicalize().ok() {
        return Err("golden files are made in a folder of their own, to be looked at first".to_owned());
    }
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut by_machine: BTreeMap<(String, String), Vec<(PathBuf, Golden)>> = BTreeMap::new();
    for path in files(known, only)? {
        let golden = read(&path)?;
        let machine = (golden.arch.clone(), series(&golden.kernel));
        by_machine.entry(machine).or_default().push((path, golden));
    }
    let mut same = true;
    for ((arch, kernel), goldens) in &by_machine {
        let Some(image) = image(images, arch, kernel) else {
            println!("{arch} {kernel}: no image in {}: {} files left out", images.display(), goldens.len());
            continue;
        };
        let image = Image::new(Some(arch), image, None).map_err(|error| error.to_string())?;
        let image = image.boots(if fresh { Boots::Always } else { Boots::Rarely });
        let scenarios: Vec<Scenario> = goldens.iter().map(scenario).collect::<Result<_, _>>()?;
        let begun = Instant::now();
        let play = |player: &mut Player, n: usize| {
            if let Some(reason) = image.why_not(&scenarios[n]) {
                return Ok(Err(reason));
            }
            let (known, scenario) = (&goldens[n].1, &scenarios[n]);
            let made = player.golden(&known.name, scenario, Watch::nobody())?;
            let otherwise = made.as_ref().is_some_and(|made| made.calls != known.calls);
            let lacking = if otherwise { player.lacks(scenario)? } else { None };
            Ok(lacking.map_or(Ok(made), Err))
        };
        let each = |n: usize, made: Made| {
            same &= look(&goldens[n], made, out)?;
            Ok::<(), Failed>(())
        };
        image.play_all(goldens.len(), Watch::nobody(), play, each).map_err(|Failed(why)| why)?;
        println!("{arch} {kernel}: {} scenarios in {:.1} s", goldens.len(), begun.elapsed().as_secs_f64());
    }
    Ok(same)
}

/// What came of a scenario: nothing where it was stopped, or why it was not played.
type Made = Result<Result<Option<Golden>, String>, VerifyError>;

/// Why no more files are made.
struct Failed(String);

impl From<VerifyError> for Failed {
    fn from(error: VerifyError) -> Self {
        Self(error.to_string())
    }
}

fn scenario((path, known): &(PathBuf, Golden)) -> Result<Scenario, String> {
    known.scenario().map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes what was made, and says how it compares; whether the emulator agrees with it.
fn look((path, known): &(PathBuf, Golden), made: Made, out: &Path) -> Result<bool, Failed> {
    let name = path.file_name().unwrap_or_default();
    let failed = |error: &dyn std::fmt::Display| Failed(format!("{}: {error}", name.display()));
    let made = match made {
        Ok(Ok(made)) => made.ok_or_else(|| failed(&"stopped"))?,
        Ok(Err(reason)) => {
            println!("{}: left out: {reason}", name.display());
            return Ok(true);
        }
        Err(lost) => {
            println!("{}: {lost}", name.display());
            return Ok(false);
        }
    };
    // What was asked, in the known file's words.
    let mut made = Golden { scenario: known.scenario.clone(), ..made };
    for (made, known) in made.calls.iter_mut().zip(&known.calls) {
        made.call.clone_from(&known.call);
    }
    fs::write(out.join(name), made.to_text()).map_err(|error| failed(&error))?;
    let verdict = made.verify(&path.display().to_string()).map_err(|error| failed(&error))?;
    match verdict.differences.first() {
        _ if made == *known => println!("{}: as it was", name.display()),
        None => println!("{}: written otherwise, and equal to what the emulator has", name.display()),
        Some(first) => println!("{}: {} differences: {first}", name.display(), verdict.differences.len()),
    }
    Ok(verdict.is_equal())
}

fn files(folder: &Path, only: &str) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".json") && name.contains(only)
    });
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Golden, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    Golden::parse(&bytes).map_err(|error| failed(&error))
}

/// `6.17.13` is of 6.17.
fn series(kernel: &str) -> String {
    kernel.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn image(folder: &Path, arch: &str, kernel: &str) -> Option<PathBuf> {
    let debian = if arch == "x86_64" { "amd64" } else { arch };
    let names = [arch, debian].map(|arch| folder.join(format!("vmlinuz-{kernel}-{arch}")));
    names.into_iter().find(|path| path.is_file())
}
