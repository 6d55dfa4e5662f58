//! Logs of real programs on every port and kernel: every result the log's, every mapping the program's own maps file's,
//! summaries as in the snapshots.

use libtest_mimic::{Failed, Trial};
use ptelab::exec::Watch;
use ptelab::replay::{self, FaultIn, Options, Replay};
use ptelab::scenario::strace::{self, Reader};
use ptelab::{HwKind, Matrix, ThpKey, ThpMode, kernels};
use ptelab_testkit::{fixtures, root, stem};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for path in fixtures("strace", "strace") {
        let mut trial = |name: &str, test: fn(&Path) -> Result<(), Failed>| {
            let path = path.clone();
            trials.push(Trial::test(format!("logs::{}::{name}", stem(&path)), move || test(&path)));
        };
        trial("judges", judges);
        trial("summary", summary);
        trial("scenario", scenario);
    }
    trials
}

fn machines(ports: &str, kernels: &str) -> Matrix {
    let matrix = Matrix::new().ports(ports).and_then(|matrix| matrix.kernels(kernels));
    matrix.expect("ports and kernels exist").hw(HwKind::Counting)
}

/// The maps file that lies beside a log, if one does.
fn options(path: &Path, fault_in: FaultIn) -> Result<Options, Failed> {
    let maps = path.with_extension("maps");
    let maps = maps.exists().then(|| std::fs::read_to_string(maps)).transpose()?;
    let maps =
        maps.map(|text| replay::parse_maps(&text).map_err(|errors| format!("{errors:?}"))).transpose()?;
    Ok(Options { fault_in, maps, ..Options::default() })
}

fn play(
    path: &Path,
    matrix: &Matrix,
    options: &Options,
    script: Option<Box<dyn Write + Send>>,
) -> Result<Replay, Failed> {
    let reader = Reader::new(strace::open(path)?);
    Ok(replay::replay(reader, matrix, options, script, Watch::nobody())?)
}

/// Whatever pages the program used and whatever folios it got, its calls return what they returned.
fn judges(path: &Path) -> Result<(), Failed> {
    let huge =
        [ThpKey::Enabled, ThpKey::Kb(64), ThpKey::Kb(2048)].map(|size| (size, ThpMode::Always)).to_vec();
    let kernels = kernels::listed(kernels::compared());
    for fault_in in [FaultIn::None, FaultIn::Writable, FaultIn::All] {
        for thp in [Vec::new(), huge.clone()] {
            let options = Options { thp, ..options(path, fault_in)? };
            let replay = play(path, &machines(ptelab::DEFAULT_PORTS, &kernels), &options, None)?;
            if !replay.mistakes.is_empty() {
                return Err(format!("{:?}", replay.mistakes).into());
            }
            for played in &replay.machines {
                let (tally, machine) = (&played.tally, played.machine());
                if tally.calls == 0 || tally.equal != tally.calls {
                    return Err(format!("{machine}, {fault_in:?}: {:?}", tally.differences).into());
                }
                let same = played.maps.as_ref().map(|maps| maps.is_equal() && maps.divided == 0);
                if same != options.maps.as_ref().map(|_| true) {
                    return Err(format!("{machine}, {fault_in:?}: {:?}", played.maps).into());
                }
            }
        }
    }
    Ok(())
}

/// What the program prints with the options that it has when none are given.
fn summary(path: &Path) -> Result<(), Failed> {
    let options = options(path, FaultIn::default())?;
    let replay = play(path, &machines("x86_64,arm64", "6.16,7.3"), &options, None)?;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("fixtures/strace"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(stem(path), replay::text(&replay, None)));
    Ok(())
}

/// A log that is written as a scenario parses, and gives the log's results when it is run.
fn scenario(path: &Path) -> Result<(), Failed> {
    let written = Shared::default();
    let script: Box<dyn Write + Send> = Box::new(written.clone());
    play(path, &machines("x86_64", "7.3"), &Options::default(), Some(script))?;
    let text = String::from_utf8(written.0.lock().map_err(|_| "poisoned")?.clone())?;
    let scenario =
        ptelab::scenario::parse(&text).map_err(|mistakes| mistakes.render("written", &text, false))?;
    let reports = machines(ptelab::DEFAULT_PORTS, "6.16,7.3").run(&scenario, Watch::nobody())?;
    for report in &reports {
        if let Some(wrong) = report.unexpected.first() {
            let (line, text, outcome) = (wrong.line, &wrong.text, &wrong.outcome);
            return Err(format!("{}: line {line}: {text}: got {outcome}", report.machine()).into());
        }
    }
    Ok(())
}

/// Bytes that are written, to be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
