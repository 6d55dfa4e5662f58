//! Reading files.

use crate::output::{Failed, stderr_has_color};
use ptelab::Golden;
use ptelab::golden::GoldenError;
use ptelab::scenario::{self, Scenario};
use std::io::Read;
use std::path::Path;

/// The largest file that is read, in bytes: 1 GiB.
const MAX_INPUT: u64 = 1 << 30;

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    let name = path.display();
    let mut bytes = Vec::new();
    let limit = MAX_INPUT + 1;
    let done = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    done.map_err(|error| Failed::Unusable(format!("{name}: {error}")))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failed::Unusable(format!("{name}: larger than 1 GiB")));
    }
    Ok(bytes)
}

/// The scenario in a file, or that of a golden file.
pub(crate) fn scenario_of(path: &Path) -> Result<Scenario, Failed> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return scenario(path);
    }
    let unusable = |error: GoldenError| Failed::Unusable(format!("{}: {error}", path.display()));
    let golden = Golden::parse(&read(path)?).map_err(unusable)?;
    golden.scenario().map_err(unusable)
}

/// The scenario in a file.
pub(crate) fn scenario(path: &Path) -> Result<Scenario, Failed> {
    let bytes = read(path)?;
    let name = path.display().to_string();
    scenario::parse_bytes(&name, &bytes).map_err(|mistakes| {
        let text = String::from_utf8_lossy(&bytes);
        Failed::Mistakes(mistakes.render(&name, &text, stderr_has_color()))
    })
}
