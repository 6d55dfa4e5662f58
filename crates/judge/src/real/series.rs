//! A patch series: what its kernel does otherwise than the one before it, and what is wrong with it.

use super::programs::{Programs, with_dumps};
use super::qemu::{Image, Player};
use super::sound::{self, level, singles};
use super::{Beside, VerifyError};
use crate::fuzz::{Check, Coverage, Found, Planned, Violation};
use crate::golden::{Golden, GoldenDump, GoldenEntry, GoldenError};
use ptelab_machine::{Backend, Builder, Pte};
use ptelab_run::exec::Watch;
use ptelab_scenario::{Line, Scenario};
use serde::Serialize;
use std::collections::BTreeSet;
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

/// One kind of difference.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Group {
    /// By what it is told from others.
    pub cause: String,
    /// Scenarios and programs that show it.
    pub count: u64,
    /// What one of them shows, the shortest so far.
    pub example: String,
    /// Where it is one of FILEs: which.
    pub file: Option<String>,
    /// Where it is a random program: its number.
    pub case: Option<u64>,
    /// Its lines.
    pub lines: Vec<String>,
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
}

/// What one came to on both kernels.
struct Both {
    case: Case,
    base: Result<Golden, String>,
    patched: Result<Golden, String>,
    alarms: Vec<String>,
    wrong: Option<(String, String)>,
    unlike: [Option<String>; 2],
}

impl Pair {
    /// Plays files and random programs on both kernels, on all CPUs, until `watch` or the time says to stop; `tick` is told of each.
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
        let port = Builder::new(self.base.port()).build().map_err(GoldenError::from)?;
        let others: Mutex<Vec<Player>> = Mutex::new(Vec::new());
        let begun = Mutex::new(None::<Instant>);
        let mut words = SeriesReport::default();
        let count = files.len().saturating_add(usize::try_from(programs.cases).unwrap_or(usize::MAX));
        let play = |base: &mut Player, n: usize| {
            let other = others.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut patched = other.map_or_else(|| self.patched.player(), Ok)?;
            let beside = [base.beside(None)?, patched.beside(None)?];
            let start =
                *begun.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
            let late = programs.time.is_some_and(|time| start.elapsed() >= time);
            let both = if late && n >= files.len() {
                None
            } else {
                play_both(case(files, programs, n, &beside[0])?, [base, &mut patched], &beside, watch)?
            };
            others.lock().unwrap_or_else(PoisonError::into_inner).push(patched);
            Ok(both)
        };
        let (all, begun) = (&mut words, &begun);
        let each = move |_: usize, both: Result<Option<Both>, VerifyError>| {
            if let Some(both) = both? {
                all.add(both, &*port);
                let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
                let time = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
                all.per_second = (u128::from(2 * all.played) * 1000 / time.as_millis().max(1)) as u64;
                tick(all);
            }
            Ok::<(), VerifyError>(())
        };
        self.base.play_all(count, watch, play, each)?;
        Ok(words)
    }
}

fn case(
    files: &[(String, Scenario)],
    programs: Programs,
    n: usize,
    beside: &Beside,
) -> Result<Case, GoldenError> {
    if let Some((file, scenario)) = files.get(n) {
        return Ok(Case { file: Some(file.clone()), number: None, scenario: scenario.clone() });
    }
    let case = (n - files.len()) as u64;
    program(programs, case, &programs.lines(case), beside)
}

fn program(programs: Programs, case: u64, lines: &[Line], beside: &Beside) -> Result<Case, GoldenError> {
    let scenario = with_dumps(lines, programs.size.of_case(case), &beside.machine)?;
    Ok(Case { file: None, number: Some(case), scenario })
}

/// Nothing where it was stopped. A kernel that is lost is what came of it.
fn play_both(
    case: Case,
    players: [&mut Player; 2],
    beside: &[Beside; 2],
    watch: Watch<'_>,
) -> Result<Option<Both>, VerifyError> {
    let mut goldens = Vec::new();
    let mut alarms = Vec::new();
    for player in players {
        let played = player.golden("program", &case.scenario, watch);
        alarms = player.take_alarms();
        goldens.push(match played {
            Ok(None) => return Ok(None),
            Ok(Some(golden)) => Ok(golden),
            Err(lost) if lost.is_loss() => Err(lost.to_string()),
            Err(error) => return Err(error),
        });
    }
    let [Some(patched), Some(base)] = [goldens.pop(), goldens.pop()] else { return Ok(None) };
    let unlike = |golden: &Result<Golden, String>, beside: &Beside| match golden {
        Ok(golden) => Ok(golden.verify_on("", beside)?.differences.into_iter().next()),
        Err(_) => Ok::<_, GoldenError>(None),
    };
    let unlike = [unlike(&base, &beside[0])?, unlike(&patched, &beside[1])?];
    let machine = beside[1].machine.build().map_err(GoldenError::from)?;
    let wrong = patched.as_ref().ok().and_then(|golden| sound::wrong(golden, &*machine));
    Ok(Some(Both { case, base, patched, alarms, wrong, unlike }))
}

impl Pair {
    /// Makes the programs of what differs and of what is wrong shorter, each for so long at most: the fewest lines that still show
    /// the same.
    ///
    /// # Errors
    /// Where a kernel does not come up.
    pub fn shrink(
        &self,
        words: &mut SeriesReport,
        programs: Programs,
        each: Duration,
        watch: Watch<'_>,
    ) -> Result<(), VerifyError> {
        let (mut base, mut patched) = (self.base.player()?, self.patched.player()?);
        let beside = [base.beside(None)?, patched.beside(None)?];
        let port = Builder::new(self.base.port()).build().map_err(GoldenError::from)?;
        let trial = Trial {
            players: Mutex::new((base, patched, port)),
            beside,
            programs,
            watch,
            wanted: Mutex::new((String::new(), Instant::now())),
        };
        for group in words.changed.iter_mut().chain(&mut words.wrong) {
            let Some(case) = group.case.filter(|_| !watch.stopped()) else { continue };
            let wanted = (group.cause.clone(), Instant::now() + each);
            *trial.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
            let lines = programs.lines(case);
            if let Err(found) = trial.run(case, &lines, &mut Coverage::default()) {
                let found = crate::fuzz::shrink(&trial, found);
                group.lines = found.lines.iter().map(ToString::to_string).collect();
                group.example = found.violation.text;
            }
        }
        Ok(())
    }
}

/// Two kernels that are to differ in one way, or to be wrong in one.
struct Trial<'a> {
    players: Mutex<(Player, Player, Box<dyn Backend>)>,
    beside: [Beside; 2],
    programs: Programs,
    watch: Watch<'a>,
    /// The cause, and until when it is looked for.
    wanted: Mutex<(String, Instant)>,
}

impl Planned for Trial<'_> {
    fn run(&self, case: u64, lines: &[Line], _: &mut Coverage) -> Result<(), Found> {
        let (cause, until) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut players = self.players.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() > until || self.watch.stopped() {
            return Ok(());
        }
        let (base, patched, port) = &mut *players;
        let both = program(self.programs, case, lines, &self.beside[0])
            .map_err(VerifyError::from)
            .and_then(|case| play_both(case, [base, patched], &self.beside, self.watch));
        // Where no kernel comes up any more, the program stays as long as it is.
        let Ok(Some(both)) = both else { return Ok(()) };
        let mut words = SeriesReport::default();
        words.add(both, &**port);
        let mut groups = words.changed.into_iter().chain(words.wrong);
        let Some(group) = groups.find(|group| group.cause == cause) else { return Ok(()) };
        Err(Found {
            case,
            lines: lines.to_vec(),
            violation: Violation::new(Check::Contents, group.example),
            machine: String::new(),
            on: (self.beside[1].rules.name, ""),
        })
    }
}

impl SeriesReport {
    fn add(&mut self, both: Both, port: &dyn Backend) {
        self.played += 1;
        let Both { case, base, patched, alarms, wrong, unlike } = both;
        if let Some(alarm) = alarms.first() {
            let cause = alarm.split_once("] ").map_or(alarm.as_str(), |(_, said)| said);
            note(&mut self.wrong, &case, (format!("the kernel says: {cause}"), alarm.clone()));
        }
        if let Some(wrong) = wrong {
            note(&mut self.wrong, &case, wrong);
        }
        match (base, patched) {
            (Ok(base), Ok(patched)) => {
                if let Some(difference) = differing(&base, &patched, port) {
                    note(&mut self.changed, &case, difference);
                }
            }
            (_, Err(lost)) => note(&mut self.wrong, &case, ("the patched kernel is lost".to_owned(), lost)),
            (Err(lost), _) => note(&mut self.changed, &case, ("the base is lost".to_owned(), lost)),
        }
        match unlike {
            [None, Some(text)] => {
                let cause = text.split(':').next_back().unwrap_or_default().to_owned();
                note(&mut self.unlike_rules, &case, (cause, text));
            }
            [Some(_), Some(_)] => self.both_unlike_rules += 1,
            [_, None] => {}
        }
    }
}

/// Counts a difference with those of its cause.
fn note(groups: &mut Vec<Group>, case: &Case, (cause, example): (String, String)) {
    let text = case.scenario.to_string();
    let lines: Vec<String> = text.lines().filter(|line| !line.contains("dump(")).map(str::to_owned).collect();
    let new = Group { cause, count: 1, example, file: case.file.clone(), case: case.number, lines };
    match groups.iter_mut().find(|known| known.cause == new.cause) {
        Some(known) => {
            let count = known.count + 1;
            if new.lines.len() < known.lines.len() {
                *known = new;
            }
            known.count = count;
        }
        None => groups.push(new),
    }
}

/// How the second kernel differs from the first: the first call or entry that does, and what tells that difference from others.
fn differing(base: &Golden, patched: &Golden, port: &dyn Backend) -> Option<(String, String)> {
    let mut calls = base.calls.iter().zip(&patched.calls);
    if let Some((a, b)) = calls.find(|(a, b)| a != b) {
        let name = a.call.split('(').next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
        let result = |call: &crate::golden::GoldenCall| {
            let failed = call.errno.clone().or_else(|| call.signal.clone());
            failed.or_else(|| call.ret.clone()).unwrap_or_default()
        };
        let (was, is) = (result(a), result(b));
        return Some((format!("{name}: {was}, now {is}"), format!("{}: {was}, now {is}", a.call)));
    }
    let (a, b) = base.dumps.iter().zip(&patched.dumps).find(|(a, b)| a != b)?;
    let after = call_before(base, &a.name);
    let name = after.split('(').next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
    let (cause, text) = differing_dump(a, b, port);
    Some((format!("{name}: {cause}"), format!("after {after}: {text}")))
}

/// The call before a dump.
fn call_before(golden: &Golden, dump: &str) -> String {
    let name = format!("\"{dump}\")");
    let at = golden.scenario.iter().position(|line| line.contains("dump(") && line.contains(&name));
    let before = golden.scenario[..at.unwrap_or(0)].iter().rev();
    before.map(|line| line.trim()).find(|line| !line.contains("dump(")).unwrap_or_default().to_owned()
}

fn differing_dump(a: &GoldenDump, b: &GoldenDump, port: &dyn Backend) -> (String, String) {
    if a.vmas != b.vmas {
        let only = |these: &GoldenDump, those: &GoldenDump| {
            let first = these.vmas.iter().find(|vma| !those.vmas.contains(vma));
            first.map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        return ("VMAs".to_owned(), format!("VMA {}, now {}", only(a, b), only(b, a)));
    }
    let [was, is] = [a, b].map(|dump| dump.entries.iter().flat_map(singles).collect::<Vec<_>>());
    let Some((was, is)) = was.iter().zip(&is).find(|(was, is)| was != is) else {
        return ("entries".to_owned(), format!("{} entries, now {}", was.len(), is.len()));
    };
    let names = |entry: &GoldenEntry| describe(entry, port);
    let sets = [names(was), names(is)]
        .map(|names| names.split(['|', ' ']).map(str::to_owned).collect::<BTreeSet<_>>());
    let list = |sign: &str, from: &BTreeSet<String>, to: &BTreeSet<String>| -> String {
        from.difference(to).flat_map(|name| [" ", sign, name]).collect()
    };
    let bits = list("+", &sets[1], &sets[0]) + &list("-", &sets[0], &sets[1]);
    let pages =
        if (was.folio_pages, was.offset) == (is.folio_pages, is.offset) { "" } else { " other folio" };
    let counts = if was.mapcount == is.mapcount { "" } else { " map count" };
    let side = |entry: &GoldenEntry| {
        let page = entry.folio_pages.map_or_else(String::new, |pages| {
            let (at, mapped) = (entry.offset.unwrap_or(0), entry.mapcount.unwrap_or(0));
            format!(", page {at} of a folio of {pages}, mapped {mapped}")
        });
        format!("{} {}{page}", entry.bits, names(entry))
    };
    let cause = format!("{bits}{pages}{counts}");
    let text = format!("{}: {}; now {}", was.va, side(was), side(is));
    (if cause.is_empty() { "other entries".to_owned() } else { cause.trim().to_owned() }, text)
}

fn describe(entry: &GoldenEntry, port: &dyn Backend) -> String {
    let bits = u64::from_str_radix(entry.bits.trim_start_matches("0x"), 16).unwrap_or(0);
    if bits == 0 { "empty".to_owned() } else { port.words().describe(Pte(bits), level(entry)) }
}
