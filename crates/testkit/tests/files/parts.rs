//! Logs of real programs, cut as strace cuts them where another task's line comes in between: calls in two parts come to what
//! whole ones do.

use libtest_mimic::{Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use ptelab::exec::Watch;
use ptelab::replay::{self, Options, Played, ProcessReport};
use ptelab::scenario::strace::Reader;
use ptelab::{HwKind, Matrix};
use ptelab_testkit::{fixtures, stem};
use std::path::Path;

/// Random cuts of a log.
const CASES: u32 = 12;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for path in fixtures("strace", "strace") {
        let mut trial = |name: &str, when: When| {
            let path = path.clone();
            trials.push(Trial::test(format!("parts::{}::{name}", stem(&path)), move || {
                cut_anyhow(&path, when)
            }));
        };
        trial("end_late", When::EndsLate);
        trial("begin_early", When::BeginsEarly);
    }
    trials
}

/// Which part of a call goes where its line stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// The first.
    EndsLate,
    /// The second.
    BeginsEarly,
}

/// Where other lines come in between, nothing changes; and where a call began earlier than its line stood, other calls may have
/// come after it: then its results and processes do not.
fn cut_anyhow(path: &Path, when: When) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    let whole = play(&text).map_err(|error| error.to_string())?;
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..40);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    runner.run(&cuts, |cuts| {
        let text = cuts.iter().fold(text.clone(), |text, (line, place)| cut(&text, *line, *place, when));
        let parts = play(&text)?;
        prop_assert_eq!(results(&parts), results(&whole), "{}", text);
        if when == When::EndsLate {
            prop_assert_eq!(&parts.tally.costs, &whole.tally.costs, "{}", text);
            prop_assert_eq!(wherever(&parts), wherever(&whole), "{}", text);
        }
        Ok(())
    })?;
    Ok(())
}

fn play(text: &str) -> Result<Played, TestCaseError> {
    let matrix = Matrix::new().ports("x86_64").and_then(|matrix| matrix.kernels("7.3"));
    let matrix = matrix.map_err(|error| TestCaseError::fail(error.to_string()))?.hw(HwKind::Counting);
    let replay =
        replay::replay(Reader::new(text.as_bytes()), &matrix, &Options::default(), None, Watch::nobody());
    let replay = replay.map_err(|error| TestCaseError::fail(error.to_string()))?;
    replay.machines.into_iter().next().ok_or_else(|| TestCaseError::fail("no machine"))
}

/// What a replay says of processes, but for the line at which something was so: the line at which a call began may be another.
fn wherever(played: &Played) -> Vec<ProcessReport> {
    let processes = played.tally.processes.iter();
    processes.map(|process| ProcessReport { most_mappings_line: 0, ..process.clone() }).collect()
}

type Results = (u64, u64, u64, u64, Vec<(Option<u32>, Option<String>, u64, u64)>);

fn results(played: &Played) -> Results {
    let tally = &played.tally;
    let processes = tally.processes.iter();
    let processes =
        processes.map(|process| (process.pid, process.program.clone(), process.calls, process.threads));
    let skipped = tally.skipped.values().sum();
    (tally.calls, tally.equal, tally.adopted, skipped, processes.collect())
}

fn task(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Cuts a line that is a whole call in two, where lines of other tasks follow, or come before, that the other part may be put
/// behind, or before.
fn cut(text: &str, line: prop::sample::Index, place: prop::sample::Index, when: When) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = line.index(lines.len());
    let Some((first, second)) = parts(&lines[at]) else { return text.to_owned() };
    let is_same = |line: &&String| task(line) == task(&lines[at]);
    match when {
        When::EndsLate => {
            let gap = lines[at + 1..].iter().take_while(|line| !is_same(line)).count();
            lines[at] = first;
            lines.insert(at + 1 + place.index(gap + 1), second);
        }
        When::BeginsEarly => {
            let gap = lines[..at]
                .iter()
                .rev()
                .take_while(|line| !is_same(line) && !makes(line, task(&lines[at])))
                .count();
            lines[at] = second;
            lines.insert(at - place.index(gap + 1), first);
        }
    }
    lines.join("\n") + "\n"
}

/// Whether a line shows a task being made: before it, that one does nothing.
fn makes(line: &str, task: &str) -> bool {
    line.ends_with(&format!("= {task}")) || line.ends_with("<unfinished ...>")
}

fn parts(line: &str) -> Option<(String, String)> {
    let (pid, body) = line.split_once(' ')?;
    let body = body.trim_start();
    let end = body.rfind(" = ")?;
    let close = body[..end].rfind(')')?;
    let name = body[..body.find('(')?].to_owned();
    let is_whole = !body.starts_with("<...") && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let first = format!("{pid} {} <unfinished ...>", &body[..close]);
    is_whole.then(|| (first, format!("{pid} <... {name} resumed>{}", &body[close..])))
}
