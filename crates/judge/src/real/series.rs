//! A patch series: what its kernel does otherwise than the one before it, and what is wrong with it.

mod difference;
mod finding;
mod pool;

use super::judge::By;
use super::programs::{Programs, with_dumps};
use super::qemu::{Image, Player};
use super::{Beside, VerifyError};
use crate::fuzz::{Check, Coverage, Found, Planned, Violation, c_program};
use crate::golden::{Golden, GoldenError};
pub use finding::FindingKind;
use finding::{LOST, Said};
use pool::Pool;
use ptelab_run::exec::Watch;
use ptelab_scenario::{Line, Scenario};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The kernel before a series and the one with it.
#[derive(Debug)]
pub struct Pair {
    /// Before.
    pub base: Image,
    /// With it.
    pub patched: Image,
}

/// One kind of finding.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Group {
    /// By what it is told from others.
    pub cause: String,
    /// Scenarios and programs that show it.
    pub count: u64,
    /// What one of them shows, the shortest so far: the call, and the first entry.
    pub example: String,
    /// Where it is one of FILEs: which.
    pub file: Option<String>,
    /// Where it is a random program: its number.
    pub case: Option<u64>,
    /// Its lines.
    pub lines: Vec<String>,
    /// Scenarios and programs that were played when it was seen first.
    pub after: u64,
    /// Milliseconds until then, without the first boots.
    pub millis: u64,
    #[serde(skip)]
    program: Vec<Line>,
}

/// What two kernels came to.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct SeriesReport {
    /// Scenarios and programs that both played.
    pub played: u64,
    /// What differs between the two kernels.
    pub changed: Vec<Group>,
    /// What is wrong with the patched kernel: a table that cannot be right, a warning, a kernel that is lost.
    pub wrong: Vec<Group>,
    /// What is wrong with both kernels, in the same programs.
    pub wrong_in_both: Vec<Group>,
    /// Where the patched kernel differs from the emulator and the base does not.
    pub unlike_rules: Vec<Group>,
    /// Programs on which both differ from the emulator, which knows nothing of that then.
    pub both_unlike_rules: u64,
    /// Programs a second, of both kernels.
    pub per_second: u64,
}

/// A scenario or program to be played, with its name where it is a file's.
#[derive(Clone, Debug)]
struct Case {
    file: Option<String>,
    number: Option<u64>,
    scenario: Scenario,
    lines: Vec<Line>,
}

/// What one came to on both kernels.
struct Both {
    case: Case,
    found: Vec<(FindingKind, Said)>,
    neither_as_rules: bool,
}

impl Group {
    /// A C program that makes the calls on a real kernel and puts back what it set.
    pub fn c_program(&self) -> String {
        c_program(&self.program)
    }
}

impl Pair {
    /// Plays files and random programs on both kernels, on all CPUs, until `watch` or the time says to stop; `tick` is told of each.
    /// Programs that are like those that showed something are played as often as new ones.
    ///
    /// # Errors
    /// Where a kernel does not come up.
    pub fn words(
        &self,
        files: &[(String, Scenario)],
        programs: Programs,
        watch: Watch<'_>,
        tick: &(dyn Fn(&SeriesReport) + Sync),
    ) -> Result<SeriesReport, VerifyError> {
        let run = Run {
            patched: &self.patched,
            files,
            programs,
            watch,
            pool: Pool::default(),
            others: Mutex::new(Vec::new()),
            begun: Mutex::new(None),
        };
        let mut words = SeriesReport::default();
        let count = files.len().saturating_add(usize::try_from(programs.cases).unwrap_or(usize::MAX));
        let (all, time) = (&mut words, &run);
        let each = move |_: usize, both: Result<Option<Both>, VerifyError>| {
            if let Some(both) = both? {
                let time = time.begin().elapsed();
                all.add(both, time);
                all.per_second = (u128::from(2 * all.played) * 1000 / time.as_millis().max(1)) as u64;
                tick(all);
            }
            Ok::<(), VerifyError>(())
        };
        self.base.play_all(count, watch, |base, n| run.play(base, n), each)?;
        Ok(words)
    }

    /// Makes the programs of what is wrong and of what differs shorter, each for so long at most, and all of them together: the fewest
    /// lines that still show the same. `watch` is told of each.
    ///
    /// # Errors
    /// Where a kernel does not come up.
    pub fn shrink(
        &self,
        words: &mut SeriesReport,
        programs: Programs,
        (each, all): (Duration, Duration),
        watch: Watch<'_>,
    ) -> Result<(), VerifyError> {
        if watch.stopped() {
            return Ok(());
        }
        let (mut base, mut patched) = (self.base.player()?, self.patched.player()?);
        let beside = match (base.beside(None), patched.beside(None)) {
            (Err(error), _) | (_, Err(error)) if error.is_stop() => return Ok(()),
            (base, patched) => [base?, patched?],
        };
        let trial = Trial {
            players: Mutex::new((base, patched)),
            beside,
            programs,
            watch: Watch { stop: watch.stop, tick: &|_| () },
            wanted: Mutex::new((FindingKind::Changed, String::new(), Instant::now())),
        };
        let until = Instant::now() + all;
        let wrong = words.wrong.iter_mut().map(|group| (FindingKind::Wrong, group));
        for (kind, group) in wrong.chain(words.changed.iter_mut().map(|group| (FindingKind::Changed, group)))
        {
            (watch.tick)(1);
            let late = watch.stopped() || Instant::now() >= until;
            let Some(case) = group.case.filter(|_| !late) else { continue };
            let wanted = (kind, group.cause.clone(), until.min(Instant::now() + each));
            *trial.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
            if let Err(found) = trial.run(case, &group.program, &mut Coverage::default()) {
                let found = crate::fuzz::shrink(&trial, found);
                group.lines = found.lines.iter().map(ToString::to_string).collect();
                group.example = found.violation.text;
                group.program = found.lines;
            }
        }
        Ok(())
    }
}

/// Files and programs that are played on both kernels.
struct Run<'a> {
    patched: &'a Image,
    files: &'a [(String, Scenario)],
    programs: Programs,
    watch: Watch<'a>,
    pool: Pool,
    /// Players of the patched kernel that nobody uses now.
    others: Mutex<Vec<Player>>,
    /// When the first kernels had come up.
    begun: Mutex<Option<Instant>>,
}

impl Run<'_> {
    fn begin(&self) -> Instant {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now)
    }

    /// Whether the time is up; it runs from when the first kernels had come up.
    fn is_late(&self) -> bool {
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.zip(self.programs.time).is_some_and(|(begun, time)| begun.elapsed() >= time)
    }

    /// Nothing where it is too late for it.
    fn play(&self, base: &mut Player, n: usize) -> Result<Option<Both>, VerifyError> {
        if n >= self.files.len() && self.is_late() {
            return Ok(None);
        }
        let other = self.others.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut patched = other.map_or_else(|| self.patched.player(), Ok)?;
        let beside = [base.beside(None)?, patched.beside(None)?];
        self.begin();
        let both = play_both(self.case(n, &beside[0])?, [base, &mut patched], &beside, self.watch)?;
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(patched);
        if let Some(Both { case: Case { number: Some(_), lines, .. }, found, .. }) = &both {
            for (kind, said) in found {
                self.pool.add(*kind, said, lines);
            }
        }
        Ok(both)
    }

    fn case(&self, n: usize, beside: &Beside) -> Result<Case, GoldenError> {
        if let Some(file) = self.files.get(n) {
            return Ok(of_file(file));
        }
        let number = (n - self.files.len()) as u64;
        program(&self.programs, number, self.pool.program(&self.programs, number), beside)
    }
}

fn of_file((file, scenario): &(String, Scenario)) -> Case {
    let lines = scenario.steps().map(|step| step.line.clone()).collect();
    Case { file: Some(file.clone()), number: None, scenario: scenario.clone(), lines }
}

fn program(programs: &Programs, case: u64, lines: Vec<Line>, beside: &Beside) -> Result<Case, GoldenError> {
    let scenario = with_dumps(&lines, programs.size.of_case(case), &beside.machine, programs.looks)?;
    Ok(Case { file: None, number: Some(case), scenario, lines })
}

/// Nothing where it was stopped. A kernel that is lost is what came of it.
fn play_both(
    case: Case,
    [base, patched]: [&mut Player; 2],
    beside: &[Beside; 2],
    watch: Watch<'_>,
) -> Result<Option<Both>, VerifyError> {
    let by = if case.file.is_some() { By::Tables } else { By::Model };
    let Some(was) = lost(base.judged(&case.scenario, &beside[0], by, watch))? else { return Ok(None) };
    let old = mistakes(&was, &base.take_alarms());
    let Some(is) = lost(patched.judged(&case.scenario, &beside[1], by, watch))? else { return Ok(None) };
    let new = mistakes(&is, &patched.take_alarms());
    let kind = |said: &Said| {
        if old.iter().any(|old| old.cause == said.cause) { FindingKind::Both } else { FindingKind::Wrong }
    };
    let mut found: Vec<(FindingKind, Said)> = new.into_iter().map(|said| (kind(&said), said)).collect();
    let mut neither_as_rules = false;
    match (was, is) {
        (Ok((was, _)), Ok((is, _))) => {
            let changed = difference::differing(&was, &is, patched.words());
            match [unlike(&was, &beside[0])?, unlike(&is, &beside[1])?] {
                [None, Some(text)] => {
                    let cause = changed.as_ref().map_or_else(String::new, |said| said.cause.clone());
                    found.push((FindingKind::Unlike, Said { cause, text }));
                }
                [Some(_), Some(_)] => neither_as_rules = true,
                [_, None] => {}
            }
            found.extend(changed.map(|said| (FindingKind::Changed, said)));
        }
        (Err(text), Ok(_)) => {
            found.push((FindingKind::Changed, Said { cause: "the base is lost".to_owned(), text }));
        }
        (_, Err(_)) => {}
    }
    Ok(Some(Both { case, found, neither_as_rules }))
}

/// What was judged, or how a kernel was lost; nothing where it was stopped.
type Judged = Option<Result<(Golden, Option<Violation>), String>>;

fn lost(judged: Result<Option<(Golden, Option<Violation>)>, VerifyError>) -> Result<Judged, VerifyError> {
    match judged {
        Ok(judged) => Ok(judged.map(Ok)),
        Err(lost) if lost.is_loss() => Ok(Some(Err(lost.to_string()))),
        Err(error) => Err(error),
    }
}

/// What is wrong with a kernel: it is lost, or its tables or results are wrong, or it says so itself.
fn mistakes(judged: &Result<(Golden, Option<Violation>), String>, alarms: &[String]) -> Vec<Said> {
    let said = alarms.first().map(|alarm| Said { cause: cause_of_alarm(alarm), text: alarms.join("\n") });
    let of_tables = match judged {
        Ok((_, wrong)) => wrong.as_ref().map(|wrong| Said {
            cause: format!("does not hold: {}", wrong.check.law()),
            text: wrong.text.clone(),
        }),
        Err(lost) => Some(Said { cause: LOST.to_owned(), text: lost.clone() }),
    };
    of_tables.into_iter().chain(said).collect()
}

/// `[    1.0] WARNING: mm/mprotect.c:51 at f+0x1/0x2, CPU#0: init/516` without what differs from one time to the next.
fn cause_of_alarm(alarm: &str) -> String {
    let said = alarm.split_once("] ").map_or(alarm, |(_, said)| said);
    let said = ["+0x", ", CPU", " pid:", "  pte:"]
        .into_iter()
        .fold(said, |said, end| said.split(end).next().unwrap_or(said));
    let parts = said.split(':').map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
    format!("the kernel says: {}", parts.collect::<Vec<_>>().join(":").replace(": at", " at"))
}

fn unlike(golden: &Golden, beside: &Beside) -> Result<Option<String>, GoldenError> {
    Ok(golden.verify_on("", beside)?.differences.into_iter().next())
}

/// Two kernels that are to differ in one way, or to be wrong in one.
struct Trial<'a> {
    players: Mutex<(Player, Player)>,
    beside: [Beside; 2],
    programs: Programs,
    watch: Watch<'a>,
    /// What is looked for, and until when.
    wanted: Mutex<(FindingKind, String, Instant)>,
}

impl Planned for Trial<'_> {
    fn page_size(&self) -> u64 {
        self.programs.size.page()
    }

    fn run(&self, case: u64, lines: &[Line], _: &mut Coverage) -> Result<(), Found> {
        let (kind, cause, until) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut players = self.players.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() > until || self.watch.stopped() {
            return Ok(());
        }
        let (base, patched) = &mut *players;
        let both = program(&self.programs, case, lines.to_vec(), &self.beside[0])
            .map_err(VerifyError::from)
            .and_then(|case| play_both(case, [base, patched], &self.beside, self.watch));
        // Where no kernel comes up any more, the program stays as long as it is.
        let Ok(Some(both)) = both else { return Ok(()) };
        let mut found = both.found.into_iter();
        let Some((_, said)) = found.find(|(of, said)| *of == kind && said.cause == cause) else {
            return Ok(());
        };
        Err(Found {
            case,
            lines: lines.to_vec(),
            violation: Violation::new(Check::Beside, said.text),
            machine: String::new(),
            on: (self.beside[1].rules.name, ""),
        })
    }
}

impl SeriesReport {
    fn add(&mut self, both: Both, time: Duration) {
        self.played += 1;
        self.both_unlike_rules += u64::from(both.neither_as_rules);
        let when = (self.played, time.as_millis() as u64);
        for (kind, said) in both.found {
            let groups = match kind {
                FindingKind::Changed => &mut self.changed,
                FindingKind::Wrong => &mut self.wrong,
                FindingKind::Both => &mut self.wrong_in_both,
                FindingKind::Unlike => &mut self.unlike_rules,
            };
            note(groups, &both.case, said, when);
        }
    }
}

/// Counts a finding with those of its cause.
fn note(groups: &mut Vec<Group>, case: &Case, Said { cause, text }: Said, (after, millis): (u64, u64)) {
    let lines = case.lines.iter().map(ToString::to_string).collect();
    let (file, program) = (case.file.clone(), case.lines.clone());
    let new =
        Group { cause, count: 1, example: text, file, case: case.number, lines, after, millis, program };
    match groups.iter_mut().find(|known| known.cause == new.cause) {
        Some(known) => {
            known.count += 1;
            if new.lines.len() < known.lines.len() {
                *known = Group { count: known.count, after: known.after, millis: known.millis, ..new };
            }
        }
        None => groups.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_have_a_cause_without_what_differs() {
        for (alarm, cause) in [
            (
                "[    1.0] WARNING: mm/mprotect.c:51 at f+0x70/0x128, CPU#0: init/516",
                "WARNING: mm/mprotect.c at f",
            ),
            ("[  2] BUG: Bad page map in process init  pte:60000", "BUG: Bad page map in process init"),
            ("kernel BUG at mm/page_table_check.c:122!", "kernel BUG at mm/page_table_check.c:!"),
        ] {
            assert_eq!(cause_of_alarm(alarm), format!("the kernel says: {cause}"));
        }
    }
}
