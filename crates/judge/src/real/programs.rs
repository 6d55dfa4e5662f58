//! Random programs on kernel images: what a kernel does is held against the emulator, which is built alike, or against what another
//! kernel does.

use super::judge::By;
use super::qemu::{Image, Player};
use super::{Beside, VerifyError};
use crate::fuzz::{
    BASE, Check, Coverage, ELSEWHERE, Found, Planned, Size, Violation, batches_of, is_modelled,
    program_of_all,
};
use crate::golden::GoldenError;
use ptelab_machine::uapi::{Class, Errno};
use ptelab_machine::{Backend, Builder, Call, CallError, KernelRules, Outcome};
use ptelab_run::exec::{self, Watch};
use ptelab_scenario::{Item, Line, Scenario};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Random programs on a kernel image.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// The first program's number; a program is the same for the same number.
    pub seed: u64,
    /// Programs, at most.
    pub cases: u64,
    /// Time, at most.
    pub time: Option<Duration>,
    /// How large programs are, in pages and tables of the port.
    pub(super) size: Size,
    /// When the tables of a program's processes are read.
    pub looks: Looks,
    /// Whether there is a module for disks in memory beside the image, to swap to.
    pub(super) swaps: bool,
}

/// When the tables of a program's processes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Looks {
    /// After each call that may change them, and the laws are asked of what they say.
    #[default]
    EachCall,
    /// When a process ends, and when the program does: more programs in the same time. One that differs then is played again with
    /// a look after each call. A call that would fail a zero page is left out, as the kernel would have to be booted again.
    End,
}

/// What came of programs.
#[derive(Clone, Debug)]
pub struct ProgramsReport {
    /// Programs that were played.
    pub cases: u64,
    /// How long that took, without the first boots.
    pub time: Duration,
    /// How often a kernel was booted again: one that a program had lost, or had left unlike a fresh one.
    pub boots: u32,
    /// Programs on which kernel and emulator differ, or the kernel complained or was lost; in their order.
    pub found: Vec<Found>,
}

impl Programs {
    /// Programs of this size, for kernels with pages and tables like an image's.
    pub fn of(image: &Image, size: Size, (seed, cases): (u64, u64), time: Option<Duration>) -> Self {
        let swaps = image.has_disk();
        Self { seed, cases, time, size: size.on(image.shape()), looks: Looks::default(), swaps }
    }

    /// The program of a case, of what can be asked of a real kernel: two of three are about batches.
    pub fn lines(&self, case: u64) -> Vec<Line> {
        let of_all = case.is_multiple_of(3);
        let of_case = if of_all { program_of_all } else { batches_of };
        let mut lines = of_case(self.seed, case, self.size);
        lines.retain(|line| match line.call {
            Call::Swapon { .. } => self.swaps,
            ref call => can_be_played(call),
        });
        lines
    }

    /// Plays programs on kernels of an image on all CPUs, and holds each against the emulator. `tick` is told of every program and of
    /// those that were found so far; it ends where so many were found, the time is over, or `watch` says so.
    ///
    /// # Errors
    /// Where a kernel does not come up.
    pub fn run(
        &self,
        image: &Image,
        rules: Option<&'static KernelRules>,
        most: usize,
        watch: Watch<'_>,
        tick: &(dyn Fn(usize) + Sync),
    ) -> Result<ProgramsReport, VerifyError> {
        let over = AtomicBool::new(false);
        let (boots, begun) = (AtomicU64::new(0), Mutex::new(None));
        let mut report = ProgramsReport { cases: 0, time: Duration::ZERO, boots: 0, found: Vec::new() };
        let play = |player: &mut Player, n: usize| {
            let before = player.boots();
            let beside = player.beside(rules)?;
            let start =
                *begun.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
            if over.load(Ordering::Relaxed) || self.time.is_some_and(|time| start.elapsed() >= time) {
                return Ok(None);
            }
            let done = self.judge(player, &beside, n as u64, watch);
            boots.fetch_add(u64::from(player.boots() - before), Ordering::Relaxed);
            done.map(Some)
        };
        let each = |n: usize, done: Result<Option<Result<(), Found>>, VerifyError>| {
            let found = match done {
                Ok(None) => return Ok(()),
                Ok(Some(done)) => done.err(),
                Err(lost) => Some(lost_one(image, n as u64, self.lines(n as u64), &lost)),
            };
            report.cases += 1;
            report.found.extend(found);
            if report.found.len() >= most {
                over.store(true, Ordering::Relaxed);
            }
            tick(report.found.len());
            Ok::<(), VerifyError>(())
        };
        image.play_all(usize::try_from(self.cases).unwrap_or(usize::MAX), watch, play, each)?;
        let begun = begun.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.time = begun.map_or(Duration::ZERO, |begun: Instant| begun.elapsed());
        report.boots = boots.into_inner() as u32;
        Ok(report)
    }

    /// Plays a program on a kernel and on the emulator beside it.
    fn judge(
        &self,
        player: &mut Player,
        beside: &Beside,
        case: u64,
        watch: Watch<'_>,
    ) -> Result<Result<(), Found>, VerifyError> {
        let lines = self.lines(case);
        let done = judge(player, beside, (case, &lines), (self.size, self.looks), watch)?;
        if done.is_ok() || self.looks == Looks::EachCall {
            return Ok(done);
        }
        let each = judge(player, beside, (case, &lines), (self.size, Looks::EachCall), watch)?;
        Ok(if each.is_err() { each } else { done })
    }

    /// The shortest program that a kernel of an image still differs on in the same way.
    ///
    /// # Errors
    /// Where a kernel does not come up.
    pub fn shrink(
        &self,
        image: &Image,
        rules: Option<&'static KernelRules>,
        found: Found,
    ) -> Result<Found, VerifyError> {
        let mut player = image.player()?;
        let beside = match player.beside(rules) {
            Err(error) if error.is_stop() => return Ok(found),
            beside => beside?,
        };
        let trial = Trial { player: Mutex::new(player), beside, size: self.size };
        Ok(crate::fuzz::shrink(&trial, found))
    }
}

/// One kernel on trial, for who makes programs shorter.
struct Trial {
    player: Mutex<Player>,
    beside: Beside,
    size: Size,
}

impl Planned for Trial {
    fn page_size(&self) -> u64 {
        self.size.page()
    }

    fn run(&self, case: u64, lines: &[Line], _: &mut Coverage) -> Result<(), Found> {
        let mut player = self.player.lock().unwrap_or_else(PoisonError::into_inner);
        let how = (self.size, Looks::EachCall);
        let judged = judge(&mut player, &self.beside, (case, lines), how, Watch::nobody());
        match judged {
            Ok(judged) => judged,
            Err(error) if error.is_stop() => Ok(()),
            Err(lost) => Err(lost_one(player.image(), case, lines.to_vec(), &lost)),
        }
    }
}

/// Whether random programs make a call on real kernels: not where it takes another machine, or seconds.
fn can_be_played(call: &Call) -> bool {
    let other_machine = matches!(
        call,
        Call::Numa { .. }
            | Call::NumaScan { .. }
            | Call::NumaAlloc { .. }
            | Call::MigrateBegin { .. }
            | Call::MigrateEnd { .. }
    );
    ptelab_real::asked(call) && !other_machine
}

/// A program with dumps, and without the calls that never end: after each call that may change entries those of its process, after a
/// fork or a failed page those of all processes, and in the end too. Where only the end is looked at, a process has dumps before it
/// ends.
pub(super) fn with_dumps(
    lines: &[Line],
    size: Size,
    machine: &Builder,
    looks: Looks,
) -> Result<Scenario, GoldenError> {
    let mut vm = machine.build()?;
    let mut items = Vec::new();
    let span = size.span();
    let dump = |items: &mut Vec<Item>, pid: u32| {
        for addr in [BASE, ELSEWHERE] {
            let call = Call::Dump { addr, len: span, name: format!("{}", items.len()) };
            items.push(Item::Line(Line { pid: Some(pid), ..Line::new(call) }));
        }
    };
    for line in lines {
        if looks == Looks::End && fails_zero_page(&*vm, line) {
            continue;
        }
        if exec::run_line(&mut *vm, line).0.never_ends() {
            continue;
        }
        if let (Looks::End, Call::ExitGroup { .. }) = (looks, &line.call) {
            dump(&mut items, line.pid.unwrap_or(1));
        }
        items.push(Item::Line(Line { expect: None, ..line.clone() }));
        if looks == Looks::End {
            continue;
        }
        let of_all = matches!(line.call, Call::Fork {} | Call::Hwpoison { .. });
        let changes = !matches!(line.call.form().class, Class::Access | Class::Setting);
        let concerned = |pid: &u32| of_all || changes && *pid == line.pid.unwrap_or(1);
        vm.processes().into_iter().filter(concerned).for_each(|pid| dump(&mut items, pid));
    }
    for pid in vm.processes() {
        dump(&mut items, pid);
    }
    Ok(Scenario { items })
}

/// Whether a call fails a zero page, which stays so until the kernel is booted again.
fn fails_zero_page(vm: &dyn Backend, line: &Line) -> bool {
    let busy = Outcome::Failed(CallError::Errno(Errno::EBUSY));
    matches!(line.call, Call::Hwpoison { .. }) && vm.foresee(line.pid.unwrap_or(1), &line.call) == busy
}

/// Plays a program on a kernel and on the emulator beside it. The model follows where it sees what comes of each call.
fn judge(
    player: &mut Player,
    beside: &Beside,
    (case, lines): (u64, &[Line]),
    (size, looks): (Size, Looks),
    watch: Watch<'_>,
) -> Result<Result<(), Found>, VerifyError> {
    let scenario = with_dumps(lines, size.of_case(case), &beside.machine, looks)?;
    let is_modelled = lines.iter().all(|line| is_modelled(&line.call));
    let by = if looks == Looks::End || !is_modelled { By::Tables } else { By::Model };
    let Some((golden, wrong)) = player.judged(&scenario, beside, by, watch)? else {
        return Ok(Ok(()));
    };
    let violation = match (player.take_alarms().as_slice(), wrong) {
        ([], Some(wrong)) => wrong,
        ([], None) => {
            let differences = golden.verify_on("program", beside)?.differences;
            if differences.is_empty() {
                return Ok(Ok(()));
            }
            Violation::new(Check::Beside, differences[..differences.len().min(3)].join("\n"))
        }
        (alarms, _) => Violation::new(Check::Console, alarms.join("\n")),
    };
    Ok(Err(Found {
        case,
        lines: lines.to_vec(),
        violation,
        machine: format!("{}, Linux {}", golden.arch, golden.kernel),
        on: (player.port(), beside.rules.name),
    }))
}

fn lost_one(image: &Image, case: u64, lines: Vec<Line>, lost: &VerifyError) -> Found {
    let violation = Violation::new(Check::Lives, lost.to_string());
    Found { case, lines, violation, machine: format!("{}, the image", image.port()), on: (image.port(), "") }
}
