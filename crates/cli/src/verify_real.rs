//! `ptelab verify --host` and `ptelab verify --qemu`

use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress::{self, STOP};
use crate::{args, input, machines, verdict};
use ptelab::exec::Watch;
use ptelab::real::host::{Host, HostFacts};
use ptelab::real::qemu::{Boots, Image, Player};
use ptelab::real::{Beside, EntryChange, Helpers, VerifyError};
use ptelab::scenario::Scenario;
use ptelab::verdict::VerdictTotals;
use ptelab::{Builder, CpuSwitch, Golden, KernelRules, RunReport, Verdict, show};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// The emulated kernel beside a kernel image.
pub(crate) struct Emulated {
    /// The port.
    pub(crate) port: &'static str,
    /// The image's release.
    pub(crate) release: String,
    /// How a machine is built that is as the image.
    pub(crate) builder: Builder,
    /// The rules that are nearest.
    pub(crate) rules: &'static KernelRules,
    /// How they differ from the image's, where that is known.
    pub(crate) note: Option<String>,
}

impl From<VerifyError> for Failed {
    fn from(error: VerifyError) -> Self {
        if error.is_stop() { Self::Stopped } else { Self::Unusable(error.to_string()) }
    }
}

pub(crate) fn play() -> Result<u8, Failed> {
    helper(ptelab::real::play())
}

pub(crate) fn keep() -> Result<u8, Failed> {
    helper(ptelab::real::keep())
}

/// What a hidden command came to.
fn helper(done: io::Result<()>) -> Result<u8, Failed> {
    done.map(|()| FINE).map_err(|error| Failed::Unusable(error.to_string()))
}

/// Verdicts on a real kernel.
#[derive(Serialize)]
struct OnReal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a HostFacts>,
    #[serde(flatten)]
    tally: VerdictTotals,
    finished: bool,
}

/// Verdicts that come one by one.
struct Verdicts<'a> {
    args: &'a args::Verify,
    all: Vec<Verdict>,
    /// Notes that were printed.
    said: BTreeSet<String>,
}

impl<'a> Verdicts<'a> {
    const fn new(args: &'a args::Verify) -> Self {
        Self { args, all: Vec::new(), said: BTreeSet::new() }
    }

    fn add(&mut self, verdict: Verdict, out: &mut Out) -> Result<(), Failed> {
        if !self.args.json {
            // What is to be said of every file is said once.
            let new = |note: &&String| self.said.insert((*note).clone());
            verdict::print(&verdict, self.args.quiet, new, out)?;
            out.flush()?;
        }
        self.all.push(verdict);
        Ok(())
    }

    /// Prints the sum, and gives the exit status.
    fn end(self, host: Option<&HostFacts>, out: &mut Out) -> Result<u8, Failed> {
        let finished = self.all.len() == self.args.files.len();
        let tally = VerdictTotals::new(self.all);
        let equal = tally.files.iter().all(Verdict::is_equal);
        if self.args.json {
            out.json(&OnReal { host, tally, finished })?;
        } else {
            let skipped = tally.files.iter().filter(|verdict| verdict.skipped.is_some()).count();
            let skipped = match skipped {
                0 => String::new(),
                some => format!(", {} skipped", show::counted(some as u64, "file")),
            };
            out.line(format!("{tally}{skipped}{}", if finished { "" } else { ", stopped" }))?;
        }
        Ok(match (finished, equal) {
            (false, _) => STOPPED,
            (true, false) => DIFFERS,
            (true, true) => FINE,
        })
    }
}

/// A verdict; where the kernel was lost, or did what no golden file can hold, the one given with that as its difference.
pub(crate) fn verdict_or(done: Result<Verdict, VerifyError>, otherwise: Verdict) -> Result<Verdict, Failed> {
    match done {
        Err(error) if error.is_loss() || matches!(error, VerifyError::Golden(_)) => {
            Ok(Verdict { differences: vec![error.to_string()], ..otherwise })
        }
        done => Ok(done?),
    }
}

/// A watch that Ctrl-C stops.
const fn watch() -> Watch<'static> {
    Watch { stop: &STOP, tick: &|_| () }
}

/// This program as what plays scenarios on the running kernel.
pub(crate) fn helpers() -> Result<Helpers, Failed> {
    let program = std::env::current_exe()?;
    Ok(Helpers { program, play: &["host-play"], keep: &["host-keep"] })
}

pub(crate) fn host(args: &args::Verify, rules: Option<&str>, out: &mut Out) -> Result<u8, Failed> {
    let rules = rules.map(machines::named).transpose()?;
    let scenarios = input::scenarios_of(&args.files)?;
    progress::stop_on_ctrl_c();
    let mut host = Host::new(helpers()?, rules)?;
    if !args.json {
        print_facts(host.facts(), out)?;
    }
    let mut verdicts = Verdicts::new(args);
    for (path, scenario) in args.files.iter().zip(&scenarios) {
        let Some(verdict) = host.verify(&path.display().to_string(), scenario, watch())? else { break };
        verdicts.add(verdict, out)?;
    }
    verdicts.end(Some(host.facts()), out)
}

/// What came of a scenario on an image.
struct Played {
    golden: Golden,
    verdict: Result<Verdict, VerifyError>,
}

/// The image at a path, as options say how it is played.
pub(crate) fn image(path: &Path, guest: &args::Guest) -> Result<Image, Failed> {
    output::keep(path);
    let mut image =
        Image::new(guest.port.as_deref(), path, guest.program.clone()).map_err(VerifyError::from)?;
    for switch in &guest.cpu {
        image = image.cpu(&CpuSwitch::parse(switch)?).map_err(VerifyError::from)?;
    }
    Ok(image.stopped_by(&STOP))
}

/// The port of an image.
pub(crate) fn port_of(path: &Path, guest: &args::Guest) -> Result<&'static str, Failed> {
    Ok(Image::port_of(guest.port.as_deref(), path).map_err(VerifyError::from)?)
}

/// One image, of whose port every switch is.
pub(crate) fn only_image(path: &Path, guest: &args::Guest) -> Result<Image, Failed> {
    if !guest.cpu.is_empty() {
        machines::check_switches(&guest.cpu, &[port_of(path, guest)?])?;
    }
    image(path, guest)
}

/// Says what an image is, what it was built without, and which rules are near it.
pub(crate) fn print_image(player: &mut Player, rules: Rules, out: &mut Out) -> Result<(), Failed> {
    let Beside { rules, note, .. } = player.beside(rules)?;
    let (port, guest, wanted) = (player.port(), player.image().guest(), player.image().wide());
    let facts = player.facts()?;
    let wide = guest.wide.map(|(feature, _)| feature).filter(|_| facts.has("wide"));
    let with = wide.map_or_else(String::new, |feature| format!(" with {feature}"));
    out.heading(format!(
        "Linux {} on {port}{with}, held against the rules of {}",
        facts.release, rules.name
    ))?;
    let off = wanted.filter(|_| wide.is_none());
    let off = off.map(|feature| format!("{feature} is switched on, and the kernel does not use it"));
    for missing in note.into_iter().chain(off).chain(facts.missing(guest)) {
        out.line(format!("  {missing}"))?;
    }
    Ok(())
}

type Rules = Option<&'static KernelRules>;

pub(crate) fn qemu(
    args: &args::Verify,
    path: &Path,
    rules: Option<&str>,
    out: &mut Out,
) -> Result<u8, Failed> {
    let rules = rules.map(machines::named).transpose()?;
    let scenarios = input::scenarios_of(&args.files)?;
    if let Some(to) = &args.write {
        if is_folder(args, to) { output::check_folder(to) } else { output::check(to) }?;
    }
    progress::stop_on_ctrl_c();
    let boots = if args.fresh { Boots::Always } else { Boots::Rarely };
    let image = only_image(path, &args.guest)?.boots(boots);
    if !args.json {
        print_image(&mut image.player()?, rules, out)?;
    }
    let port = image.port();
    let file = |n: usize| args.files[n].display().to_string();
    let mut verdicts = Verdicts::new(args);
    let play = |player: &mut Player, n: usize| {
        if let Some(reason) = image.why_not(&scenarios[n]) {
            return Ok(Some(Err(reason)));
        }
        let name = args.files[n].file_stem().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().unwrap_or_default();
        let Some(golden) = player.golden(name, &scenarios[n], watch())? else { return Ok(None) };
        let verdict = player.verdict(&file(n), &golden, rules);
        Ok(Some(Ok(Played { golden, verdict })))
    };
    let verdict_of = |n: usize| Verdict { file: file(n), arch: port.to_owned(), ..Verdict::default() };
    let mut each = |n: usize, played: Result<Option<Result<Played, String>>, VerifyError>| {
        let verdict = match played {
            Ok(None) => return Ok(()),
            Ok(Some(Err(reason))) => Verdict { skipped: Some(reason), ..verdict_of(n) },
            Ok(Some(Ok(Played { golden, verdict }))) => {
                write(args, &golden)?;
                verdict_or(verdict, verdict_of(n))?
            }
            Err(lost) => verdict_or(Err(lost), verdict_of(n))?,
        };
        verdicts.add(verdict, out)
    };
    image.play_all(args.files.len(), watch(), play, &mut each)?;
    verdicts.end(None, out)
}

/// The emulated kernel beside an image.
pub(crate) fn beside(path: &Path, guest: &args::Guest) -> Result<Emulated, Failed> {
    progress::stop_on_ctrl_c();
    let mut player = image(path, guest)?.player()?;
    let Beside { machine, rules, note } = player.beside(None)?;
    let release = player.facts()?.release.clone();
    Ok(Emulated { port: player.port(), release, builder: machine, rules, note })
}

/// What the entry that maps an address went through on an image, up to a call.
pub(crate) fn entry(
    path: &Path,
    guest: &args::Guest,
    scenario: &Scenario,
    place: (u32, u64),
    at: u64,
) -> Result<String, Failed> {
    let image = image(path, guest)?;
    if let Some(reason) = image.why_not(scenario) {
        return Err(Failed::Unusable(format!("{}: {reason}", path.display())));
    }
    let mut player = image.player()?;
    let release = player.facts()?.release.clone();
    let changes = player.entry(scenario, place, at, watch())?.ok_or(Failed::Stopped)?;
    let (pid, va) = place;
    let mut text = format!("{}, Linux {release}: {va:#x} of process {pid}, up to call {at}\n", image.port());
    for EntryChange { call, text: line, entry } in &changes {
        let _ = writeln!(text, "  call {call}, {line}\n    {entry}");
    }
    if changes.is_empty() {
        text.push_str("  nothing ever stood there\n");
    }
    Ok(text)
}

/// What a scenario came to on kernel images.
pub(crate) fn reports(
    images: &[PathBuf],
    guest: &args::Guest,
    scenario: &Scenario,
) -> Result<Vec<RunReport>, Failed> {
    let mut reports = Vec::new();
    for path in images {
        let image = image(path, guest)?;
        if let Some(reason) = image.why_not(scenario) {
            return Err(Failed::Unusable(format!("{}: {reason}", path.display())));
        }
        let mut player = image.player()?;
        let name: &'static str = Box::leak(path.display().to_string().into_boxed_str());
        reports.extend(player.report(name, scenario, watch())?);
    }
    Ok(reports)
}

/// An emulated machine's report as those of real kernels are.
pub(crate) fn as_seen(report: RunReport) -> Result<RunReport, Failed> {
    let words = Builder::new(report.arch).build()?;
    Ok(ptelab::real::as_seen(report, &*words))
}

/// Writes what the image did, where that is wanted.
fn write(args: &args::Verify, golden: &Golden) -> Result<(), Failed> {
    let Some(to) = &args.write else { return Ok(()) };
    let to = if is_folder(args, to) { to.join(golden.file_name()) } else { to.clone() };
    output::write_file(&to, golden.to_text().as_bytes())
}

/// Whether golden files are written into a folder.
fn is_folder(args: &args::Verify, to: &Path) -> bool {
    args.files.len() > 1 || to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn print_facts(facts: &HostFacts, out: &mut Out) -> Result<(), Failed> {
    let HostFacts { kernel, arch, rules, left_out } = facts;
    out.heading(format!("Linux {kernel} on {arch}, held against the rules of {}", rules.join(" or ")))?;
    for what in left_out {
        out.line(format!("  not compared: {what}"))?;
    }
    Ok(())
}
