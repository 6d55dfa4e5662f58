//! Reading files.

use crate::output::{self, Failed, stderr_has_color};
use crate::progress;
use crate::{logs, machines};
use ptelab::Golden;
use ptelab::exec;
use ptelab::golden::GoldenError;
use ptelab::scenario::{self, Diagnostic, Diagnostics, Scenario};
use ptelab::{Call, ThpKey, show};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

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
    output::keep(path);
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

/// The scenarios in files; what is wrong in any of them is said at once.
pub(crate) fn scenarios_of(paths: &[PathBuf]) -> Result<Vec<Scenario>, Failed> {
    let (mut scenarios, mut failures) = (Vec::new(), Vec::new());
    for path in paths {
        match scenario_of(path) {
            Ok(scenario) => scenarios.push(scenario),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.len() {
        0 => Ok(scenarios),
        1 => Err(failures.remove(0)),
        _ => {
            let said: Vec<String> = failures.iter().map(Failed::said).collect();
            Err(Failed::Mistakes(said.join("\n")))
        }
    }
}

/// The same, with the names of the files.
pub(crate) fn named_scenarios_of(paths: &[PathBuf]) -> Result<Vec<(String, Scenario)>, Failed> {
    let names = paths.iter().map(|path| path.display().to_string());
    Ok(names.zip(scenarios_of(paths)?).collect())
}

/// The scenario in a file.
pub(crate) fn scenario(path: &Path) -> Result<Scenario, Failed> {
    scenario_in(&path.display().to_string(), &read(path)?)
}

/// The scenario in the bytes of a file of this name.
pub(crate) fn scenario_in(name: &str, bytes: &[u8]) -> Result<Scenario, Failed> {
    let program = std::str::from_utf8(bytes).ok().filter(|text| scenario::syz::is_program(text));
    let program = program.map(|text| of_syzkaller(name, text));
    let bytes = program.as_deref().map_or(bytes, str::as_bytes);
    let text = String::from_utf8_lossy(bytes);
    let wrong = |mistakes: Diagnostics| {
        if logs::is_log(bytes) {
            let why = "this is a log of strace, not a scenario: `replay`, `report`, `explain`, `timeline` and `step` read logs";
            return Failed::Unusable(format!("{name}: {why}"));
        }
        if let Some(lines) = all_wrong(&text, &mistakes) {
            let first = &mistakes.items[0];
            return Failed::Unusable(format!(
                "{name}: not a scenario: none of its {lines} lines is a valid call; {first}"
            ));
        }
        Failed::Mistakes(mistakes.render(name, &text, stderr_has_color()))
    };
    let scenario = scenario::parse_bytes(name, bytes).map_err(wrong)?;
    let mistakes = unknown_sizes(&scenario, &text);
    if exec::steps(&scenario) == 0 {
        return Err(Failed::Unusable(format!("{name}: the file contains no calls")));
    }
    if mistakes.items.is_empty() { Ok(scenario) } else { Err(wrong(mistakes)) }
}

/// Lines from which on a text without a right one is something else than a scenario.
const FEW: usize = 10;

/// How many lines a text has, where there are several and every one has a mistake, but for comments.
fn all_wrong(text: &str, mistakes: &Diagnostics) -> Option<usize> {
    let wrong: BTreeSet<u32> = mistakes.items.iter().map(|mistake| mistake.line).collect();
    let said = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines = text.lines().filter(|line| said(line)).count();
    (lines >= FEW && wrong.len() >= lines.min(scenario::MAX_KEPT / 2)).then_some(lines)
}

/// Sizes of huge pages that no port has, where a scenario does not expect them to fail.
fn unknown_sizes(scenario: &Scenario, text: &str) -> Diagnostics {
    let (known, found) = (ptelab::thp_sizes(), RefCell::new(Diagnostics::default()));
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let _ = scenario.step_sum(|line| {
        let Call::Thp { size: size @ ThpKey::Kb(kb), .. } = line.call else { return 0 };
        let before = starts[line.line as usize - 1];
        let column = text[before..].find(&format!("\"{size}\""));
        if let Some(column) = column.filter(|_| line.expect.is_none() && !known.contains(&kb)) {
            let start = before + column;
            let mistake = Diagnostic {
                span: start..start + size.to_string().len() + 2,
                line: line.line,
                column: column as u32 + 1,
                message: format!("no port has huge pages of {size}"),
                expected: Some(machines::thp_sizes()),
                help: None,
                related: None,
            };
            found.borrow_mut().items.push(mistake);
        }
        0
    });
    found.into_inner()
}

/// The scenario that a program of syzkaller is, which says what it leaves out.
fn of_syzkaller(name: &str, text: &str) -> String {
    let found = scenario::syz::read(text);
    let left_out: u64 = found.skipped.values().sum();
    if left_out > 0 {
        let names: Vec<String> =
            found.skipped.iter().map(|(name, count)| format!("{name} {count}")).collect();
        progress::warn(&format!(
            "{name}: {} left out ({})",
            show::counted(left_out, "call"),
            names.join(", ")
        ));
    }
    found.scenario
}
