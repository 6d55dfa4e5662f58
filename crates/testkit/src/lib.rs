//! What the test drivers share: where the fixtures are, and how a scenario is run for a test.

pub mod agreement;

use ptelab::exec::Watch;
use ptelab::scenario::Scenario;
use ptelab::{HwKind, Matrix, RunReport, show};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of `fixtures/FOLDER` with this extension, in order of their names.
///
/// # Panics
/// Where the folder cannot be read.
pub fn fixtures(folder: &str, extension: &str) -> Vec<PathBuf> {
    let dir = root().join("fixtures").join(folder);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == extension));
    files.sort();
    files
}

/// A file's name without folder and extension.
///
/// # Panics
/// Where it has none.
pub fn stem(path: &Path) -> String {
    path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

/// A scenario under test.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name: the file's.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it says.
    pub scenario: Scenario,
    /// Memory of the machines it runs on, in MiB, where its first line (`# memory: 16M`) says so.
    pub memory_mib: Option<u64>,
}

impl Case {
    /// Reads a scenario.
    ///
    /// # Panics
    /// Where it cannot be read or has mistakes.
    pub fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let scenario = ptelab::scenario::parse(&text).unwrap_or_else(|mistakes| {
            panic!("{}", mistakes.render(&path.display().to_string(), &text, false))
        });
        let memory = text.lines().next().and_then(|line| line.strip_prefix("# memory: "));
        let memory_mib = memory.map(|size| {
            let mib = size.strip_suffix('M').and_then(|mib| mib.parse().ok());
            mib.unwrap_or_else(|| panic!("{}: `{size}` is not a size in M", path.display()))
        });
        Self { name: stem(path), text, scenario, memory_mib }
    }

    /// Runs it on the chosen machines; the reports are in the order of ports, then kernels.
    ///
    /// # Panics
    /// Where there is no such port or kernel.
    pub fn run(&self, ports: &str, kernels: &str, hw: HwKind) -> Vec<RunReport> {
        let mut matrix =
            Matrix::new().ports(ports).and_then(|m| m.kernels(kernels)).expect("ports and kernels exist");
        if let Some(mib) = self.memory_mib {
            matrix = matrix.memory(mib << 20);
        }
        matrix.hw(hw).run(&self.scenario, Watch::nobody()).expect("machines of these kinds exist")
    }

    /// What a report says, without the name of its kernel: results, then dumps.
    pub fn transcript(&self, report: &RunReport) -> String {
        let mut text = String::new();
        for (step, outcome) in self.scenario.steps().zip(&report.results) {
            let pid = step.line.pid.map_or_else(String::new, |pid| format!("[pid {pid}] "));
            let _ = writeln!(text, "{pid}{} = {outcome}", step.line.call);
        }
        for dump in &report.dumps {
            let _ = write!(
                text,
                "\ndump {:?} of process {}\n{}",
                dump.name,
                dump.pid,
                show::SnapshotText(&dump.snapshot)
            );
        }
        text
    }
}
