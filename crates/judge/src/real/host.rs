//! Holding machines against the running kernel.

use super::VerifyError;
use super::learn::{Learned, Unplayed};
use super::moving::{self, AddrRange};
use super::record;
use super::recording::Recording;
use crate::golden::GoldenError;
use crate::verdict::{self, Verdict};
use ptelab_machine::uapi::Class;
use ptelab_machine::{
    Access, Builder, Call, Config, KernelRules, MapFlags, Outcome, Pagemap, Prot, Release, port_named, ports,
};
use ptelab_real::facts::{self, HostMachine};
use ptelab_real::host::{Helpers, RunningKernel};
use ptelab_real::shape::PAGE;
use ptelab_real::{RealError, RealKernel, WordFile, WordFiles, thp};
use ptelab_run::exec::{self, Watch};
use ptelab_scenario::{Line, Scenario};
use serde::Serialize;

/// Calls that a scenario may make.
const MAX_CALLS: u128 = 1 << 20;
/// Bytes that a dump may show.
const MAX_DUMP: u64 = 16 << 30;

/// The running kernel, and the machines that are held against it.
#[derive(Debug)]
pub struct Host {
    real: RunningKernel,
    machine: HostMachine,
    builder: Builder,
    kernels: Vec<&'static KernelRules>,
    facts: HostFacts,
}

/// What the running kernel is and what it cannot show.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct HostFacts {
    /// Release: `6.18.44`.
    pub kernel: String,
    /// The port of its architecture.
    pub arch: &'static str,
    /// The rules that it is held against, in the order in which they are tried.
    pub rules: Vec<&'static str>,
    /// What is not compared, and why.
    pub left_out: Vec<String>,
}

impl Host {
    /// The running kernel, held against the rules of one kernel or else against the nearest.
    ///
    /// # Errors
    /// Where this is no Linux, or no port is like this machine.
    pub fn new(helpers: Helpers, rules: Option<&'static KernelRules>) -> Result<Self, VerifyError> {
        let machine = facts::machine().ok_or_else(|| missing("this is no Linux that says what it is"))?;
        let port = port_of(&machine)?;
        let kernels = rules.map_or_else(|| nearest(&machine.release), |rules| vec![rules]);
        let mut builder = Builder::new(port).memory(machine.memory.min(Config::MAX_MEMORY));
        for (feature, has) in cpu_features(port, &machine) {
            builder = builder.cpu(feature, has);
        }
        let names = kernels.iter().map(|rules| rules.name).collect();
        let facts =
            HostFacts { kernel: machine.release.clone(), arch: port, rules: names, left_out: Vec::new() };
        let mut host = Self { real: RunningKernel::new(helpers)?, machine, builder, kernels, facts };
        host.look_around(port)?;
        Ok(host)
    }

    /// What the running kernel is and what it cannot show.
    pub const fn facts(&self) -> &HostFacts {
        &self.facts
    }

    /// From now on the kernel is held against these rules alone.
    pub fn hold_against(&mut self, rules: &'static KernelRules) {
        self.kernels = vec![rules];
    }

    /// Finds out what this kernel's configuration leaves out, and what we may not see.
    fn look_around(&mut self, port: &str) -> Result<(), VerifyError> {
        let left_out = &mut self.facts.left_out;
        self.real.restart()?;
        let (soft_dirty, frames) = probe(&mut self.real)?;
        self.real.end();
        if has_feature(port, "soft_dirty") {
            self.builder =
                std::mem::replace(&mut self.builder, Builder::new("")).cpu("soft_dirty", soft_dirty);
            if !soft_dirty {
                left_out.push("soft-dirty: the kernel has none".to_owned());
            }
        }
        if !frames {
            left_out.push("folios, offsets and map counts: only root sees frame numbers".to_owned());
        }
        if RunningKernel::setting("enabled").is_none() {
            left_out.push("huge pages: the kernel has none".to_owned());
        } else if !self.real.may_set() {
            left_out.push("changes of huge page settings: only root may make them".to_owned());
        }
        Ok(())
    }

    /// Plays a scenario on the running kernel and holds machines against what it did: the first that agrees, or else the one
    /// that differs least. Nothing where it was stopped.
    ///
    /// # Errors
    /// Where the kernel does not answer.
    pub fn verify(
        &mut self,
        file: &str,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<Verdict>, VerifyError> {
        let verdict =
            Verdict { file: file.to_owned(), arch: self.facts.arch.to_owned(), ..Verdict::default() };
        let played = match self.play(scenario, watch)? {
            Ok(played) => played,
            Err(Unplayed::Stopped) => return Ok(None),
            Err(Unplayed::Because(reason)) => {
                return Ok(Some(Verdict { skipped: Some(reason), ..verdict }));
            }
        };
        let verdict = self.best(&played, &Verdict { notes: played.notes.clone(), ..verdict })?;
        if !verdict.is_equal() && played.fell_back {
            return Ok(Some(Verdict { skipped: Some(FELL_BACK.to_owned()), ..verdict }));
        }
        Ok(Some(verdict))
    }

    /// Plays a scenario; or says why it cannot.
    fn play(
        &mut self,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Result<HostPlayed, Unplayed>, VerifyError> {
        if let Some(reason) = self.why_not(scenario) {
            return Ok(Err(Unplayed::Because(reason)));
        }
        self.real.restart()?;
        let (scenario, notes) = match self.place(scenario)? {
            Ok(placed) => placed,
            Err(reason) => return Ok(Err(Unplayed::Because(reason))),
        };
        let fallbacks = thp::fallbacks();
        let area = moving::ranges(&scenario);
        let port = self.builder.build().map_err(GoldenError::from)?;
        let mut recording = Recording { area, ..Recording::default() };
        let finished = record::record(&mut self.real, &*port, &scenario, &mut recording, watch);
        self.real.end();
        let fell_back = thp::fallbacks() != fallbacks;
        Ok(if finished? {
            Ok(HostPlayed { recording, scenario, notes, fell_back })
        } else {
            Err(Unplayed::Stopped)
        })
    }

    /// The scenario where nothing else of its process is, and how it was moved; or why it cannot be.
    fn place(&mut self, scenario: &Scenario) -> Result<Result<(Scenario, Vec<String>), String>, RealError> {
        let ranges = moving::ranges(scenario);
        let vmas = self.real.vmas(1)?;
        let taken: Vec<AddrRange> =
            vmas.iter().map(|vma| AddrRange { start: vma.start, end: vma.end }).collect();
        let Some(range) = ranges.iter().find(|range| taken.iter().any(|other| range.intersects(other)))
        else {
            return Ok(Ok((scenario.clone(), Vec::new())));
        };
        let Some(by) = moving::free_place(&ranges, &taken) else {
            return Ok(Err(format!("{range} is taken by the process that plays it, and no place is free")));
        };
        let moved = moving::moved(scenario, by);
        let places: Vec<String> = moving::ranges(&moved).iter().map(AddrRange::to_string).collect();
        let note = format!("moved to {}: {range} is taken by the process that plays it", places.join(", "));
        Ok(Ok((moved, vec![note])))
    }

    /// The verdict on a machine of these rules.
    fn held(
        &self,
        played: &HostPlayed,
        rules: &'static KernelRules,
        verdict: &Verdict,
    ) -> Result<Verdict, GoldenError> {
        let mut vm = self.builder.clone().kernel(rules).build()?;
        if !self.real.may_set() {
            settings().for_each(|line| drop(exec::run_line(&mut *vm, &line)));
        }
        let verdict = Verdict { kernel: rules.name.to_owned(), ..verdict.clone() };
        verdict::compare(&played.recording, &mut *vm, &played.scenario, verdict)
    }

    /// The verdict on the rules that agree, or else differ least.
    fn best(&self, played: &HostPlayed, verdict: &Verdict) -> Result<Verdict, VerifyError> {
        let mut best: Option<Verdict> = None;
        for rules in &self.kernels {
            let verdict = self.held(played, rules, verdict)?;
            if best.as_ref().is_none_or(|best| verdict.differences.len() < best.differences.len()) {
                best = Some(verdict);
            }
        }
        best.ok_or_else(|| missing("no rules to hold it against").into())
    }

    /// Why a scenario cannot be played here, if it cannot.
    fn why_not(&self, scenario: &Scenario) -> Option<String> {
        if scenario.step_count() > MAX_CALLS {
            return Some(format!("it makes more than {MAX_CALLS} calls"));
        }
        record::why_not(scenario).or_else(|| scenario.steps().find_map(|step| self.why_not_line(step.line)))
    }

    fn why_not_line(&self, line: &Line) -> Option<String> {
        let nodes = self.machine.nodes;
        match line.call {
            Call::Numa { nodes: wanted } if u64::from(wanted) > nodes => {
                Some(format!("it needs {wanted} NUMA nodes, the machine has {nodes}"))
            }
            Call::NumaScan { .. } => {
                Some("when the kernel scans for NUMA hints is its own decision".to_owned())
            }
            Call::Thp { size, mode } if !self.real.may_set() => {
                let file = size.file();
                let same = RunningKernel::setting(&file).is_none_or(|value| value == mode.name());
                (!same).then(|| format!("{} needs root", line.call))
            }
            _ if self.machine.swap && exec::reclaims(&line.call) => {
                Some("it pages out, and the machine has swap".to_owned())
            }
            Call::Uffd { .. }
            | Call::UffdUnregister { .. }
            | Call::UffdWp { .. }
            | Call::UffdPoison { .. }
            | Call::PagemapScan { .. } => Some(format!("{} is asked of images only", line.call)),
            Call::ClearRefs { .. } | Call::Reclaim { .. } => None,
            Call::Dump { len, .. } if len > MAX_DUMP => Some("it dumps more than 16G".to_owned()),
            _ if line.call.form().class == Class::Control => {
                Some(format!("{} would change more than its own memory", line.call))
            }
            _ => None,
        }
    }
}

/// What the running kernel made of a scenario.
#[derive(Debug)]
pub struct HostPlayed {
    recording: Recording,
    /// As it was played, which may be elsewhere.
    scenario: Scenario,
    notes: Vec<String>,
    /// Whether a folio became smaller than it should have, for want of memory.
    fell_back: bool,
}

const FELL_BACK: &str = "no memory in one piece was free for a folio";

impl Learned for Host {
    type Played = HostPlayed;

    fn port(&self) -> &'static str {
        self.facts.arch
    }

    /// What fell back for want of memory decides no row.
    fn probe(
        &mut self,
        _: &str,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Result<HostPlayed, Unplayed>, VerifyError> {
        let whole = |played: HostPlayed| {
            if played.fell_back { Err(Unplayed::Because(FELL_BACK.to_owned())) } else { Ok(played) }
        };
        Ok(self.play(scenario, watch)?.and_then(whole))
    }

    fn differences(
        &self,
        played: &HostPlayed,
        rules: &'static KernelRules,
    ) -> Result<Vec<String>, GoldenError> {
        Ok(self.held(played, rules, &Verdict::default())?.differences)
    }

    fn lacks(&self, decides: &dyn Fn(&Builder) -> bool) -> Option<String> {
        let shows = "the running kernel shows neither words nor what the machine lacks: only an image does";
        decides(&self.builder).then(|| shows.to_owned())
    }
}

fn missing(text: &str) -> RealError {
    RealError::Missing(text.to_owned())
}

/// The port whose machines are like this one.
fn port_of(machine: &HostMachine) -> Result<&'static str, RealError> {
    let port = port_named(&machine.arch)
        .ok_or_else(|| RealError::Missing(format!("there is no port for {}", machine.arch)))?;
    if machine.page_size != PAGE {
        return Err(RealError::Missing(format!(
            "pages are of {}K here, and of {}K where kernels that run are asked",
            machine.page_size >> 10,
            PAGE >> 10
        )));
    }
    Ok(port.name)
}

/// CPU features of ports, and the flags of /proc/cpuinfo that tell of them.
const FEATURE_FLAGS: &[(&str, &str)] = &[("pku", "ospke"), ("bti", "bti"), ("poe", "poe")];

/// What the CPU has of that which a port knows.
fn cpu_features<'a>(
    port: &'a str,
    machine: &'a HostMachine,
) -> impl Iterator<Item = (&'static str, bool)> + 'a {
    let known = FEATURE_FLAGS.iter().filter(move |(feature, _)| has_feature(port, feature));
    known.map(|(feature, flag)| (*feature, machine.cpu_flags.iter().any(|has| has == flag)))
}

pub(super) fn has_feature(port: &str, feature: &str) -> bool {
    let port = ports().into_iter().find(|known| known.name == port);
    port.is_some_and(|port| port.features.iter().any(|known| known.name == feature))
}

/// The settings of huge pages as they are, as lines of a scenario.
fn settings() -> impl Iterator<Item = Line> {
    thp::settings().rev().map(|(size, mode)| Line::new(Call::Thp { size, mode }))
}

/// Whether new memory is soft-dirty, and whether frame numbers are seen.
fn probe(real: &mut RunningKernel) -> Result<(bool, bool), RealError> {
    let (prot, flags) = (Prot::READ | Prot::WRITE, MapFlags::PRIVATE | MapFlags::ANONYMOUS);
    let map = Call::Mmap { addr: 0, len: PAGE, prot, flags, fd: -1, offset: 0 };
    let Outcome::Value(addr) = real.call(1, &map)? else { return Err(RealError::Died(1)) };
    real.call(1, &Call::Touch { addr, len: PAGE, access: Access::Write })?;
    let word = real.words(WordFile::Pagemap(1), addr / PAGE, 1)?.first().copied().unwrap_or(0);
    let pagemap = Pagemap::from_bits_retain((word >> 52) as u16);
    let seen = ptelab_real::pages(real, 1, &(addr..addr + PAGE))?.iter().any(|page| page.frame.is_some());
    Ok((pagemap.contains(Pagemap::SOFT_DIRTY), seen))
}

/// The rules of this release, or else those of the nearest older and the nearest newer one: a stable release that is newer than the
/// one that was asked may have what the next series brought. Of kernels that nobody asked, none is held against a real one.
fn nearest(release: &str) -> Vec<&'static KernelRules> {
    let Some(release) = Release::parse(release) else { return KernelRules::asked().collect() };
    let is_it = |rules: &&KernelRules| rules.is_asked() && release <= rules.release;
    if let Some(rules) = KernelRules::of_series(release).filter(is_it) {
        return vec![rules];
    }
    let older = KernelRules::asked().rfind(|rules| rules.release < release);
    let newer = KernelRules::asked().find(|rules| rules.release > release);
    older.into_iter().chain(newer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rules_are_found() {
        let names = |release| nearest(release).iter().map(|rules| rules.name).collect::<Vec<_>>();
        assert_eq!(names("6.14.11-x"), ["6.12", "6.16"]);
        assert_eq!(names("6.18.44-x"), ["6.18", "6.19"]);
        assert_eq!(names("6.18.3"), ["6.18"]);
        assert_eq!(names("6.17.13"), ["6.17"]);
        assert_eq!(names("6.1"), ["6.12"]);
        assert_eq!(names("7.4-rc1"), ["7.3"]);
    }
}
