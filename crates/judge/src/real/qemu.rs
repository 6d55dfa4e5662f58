//! Kernel images: scenarios played on them, and golden files of what they did.

use super::cost::{self, Counted};
use super::host::has_feature;
use super::lost;
use super::moving::AddrRange;
use super::record;
use super::recording::{RealDump, Recording};
use super::report;
use super::{VerifyError, unless_stopped};
use crate::golden::{GUEST_MEMORY, Golden, GoldenCall, GoldenDump, GoldenEntry, GoldenError, TEST_AREA};
use crate::verdict::Verdict;
use crate::verify::Beside;
use ptelab_machine::mm::Absent;
use ptelab_machine::pgtable::{SoftleafRules, swp_type};
use ptelab_machine::{Backend, Builder, Call, KernelRules, Level, Pte, PteView, Release, Shape, port_named};
use ptelab_real::RealError;
use ptelab_real::qemu::{DISK, Qemu, Setup, for_qemu};
use ptelab_run::exec::Watch;
use ptelab_run::kernels::{self, NamedKernel};
use ptelab_run::{CpuSwitch, RunReport, parallel};
use ptelab_scenario::Scenario;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

pub use ptelab_real::qemu::{GUESTS, Guest, ImageFacts, build_program};

/// A kernel image that runs under QEMU.
#[derive(Clone, Debug)]
pub struct Image {
    setup: Setup,
    shape: Shape,
    boots: Boots,
    _folder: Arc<TempDir>,
}

/// When a new kernel is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boots {
    /// When the last one is worn out or lost. Each scenario has processes of its own, and settings as they were.
    Rarely,
    /// For every scenario.
    Always,
}

impl Image {
    /// An image of a port's architecture, which most images say themselves; the guest program is compiled here, or lies in a folder as
    /// `cargo xtask guest` leaves it. Nothing is booted yet.
    ///
    /// # Errors
    /// A port that QEMU has no machine for, or that the image is not of; an image or a compiler that is not there.
    pub fn new(
        port: Option<&str>,
        image: impl Into<PathBuf>,
        guests: Option<PathBuf>,
    ) -> Result<Self, RealError> {
        let image = image.into();
        ptelab_real::qemu::look_for_image(&image)?;
        let guest = guest_of(port, &image)?;
        let folder = TempDir::new().map_err(RealError::io("a folder for the guest program"))?;
        if guests.is_none() {
            build_program(guest, folder.path())?;
        }
        let machine = Builder::new(guest.port).build();
        let shape = machine.map_err(|error| RealError::Missing(error.to_string()))?.about().shape;
        let setup = Setup {
            guest,
            kernel: for_qemu(&image, folder.path())?,
            image,
            guests: guests.unwrap_or_else(|| folder.path().to_owned()),
            memory: guest.memory,
            nodes: 1,
            numa_balancing: false,
            swaps: false,
            wide: false,
            icount: false,
            stop: None,
        };
        Ok(Self { setup, shape, boots: Boots::Rarely, _folder: Arc::new(folder) })
    }

    /// With new kernels at these times.
    #[must_use]
    pub const fn boots(mut self, boots: Boots) -> Self {
        self.boots = boots;
        self
    }

    /// With time counted in instructions.
    #[must_use]
    pub const fn icount(mut self) -> Self {
        self.setup.icount = true;
        self
    }

    /// Stopped where this is set, whatever is waited for.
    #[must_use]
    pub const fn stopped_by(mut self, stop: &'static AtomicBool) -> Self {
        self.setup.stop = Some(stop);
        self
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.setup.image
    }

    /// With a CPU feature of its port switched; a switch of another port changes nothing.
    ///
    /// # Errors
    /// A feature that QEMU's machine has not as a choice.
    pub fn cpu(mut self, switch: &CpuSwitch) -> Result<Self, RealError> {
        let wide = self.setup.guest.wide.map(|(feature, _)| feature);
        if switch.port == self.port() {
            if Some(switch.feature.as_str()) != wide {
                let CpuSwitch { port, feature, .. } = switch;
                let choice =
                    wide.map_or_else(|| "has no switch".to_owned(), |wide| format!("takes {port}.{wide}"));
                let why = format!("`{port}.{feature}`: a machine of {port} under QEMU {choice}");
                return Err(RealError::Missing(why));
            }
            self.setup.wide = switch.on;
        }
        Ok(self)
    }

    /// The port of an image's architecture, from the image or as it is said.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn port_of(port: Option<&str>, image: &Path) -> Result<&'static str, RealError> {
        ptelab_real::qemu::look_for_image(image)?;
        Ok(guest_of(port, image)?.port)
    }

    /// The CPU feature that makes addresses larger, where it is switched on.
    pub fn wide(&self) -> Option<&'static str> {
        self.setup.guest.wide.map(|(feature, _)| feature).filter(|_| self.setup.wide)
    }

    /// The port of its architecture.
    pub const fn port(&self) -> &'static str {
        self.setup.guest.port
    }

    /// Its architecture.
    pub const fn guest(&self) -> &'static Guest {
        self.setup.guest
    }

    /// How tables and pages are laid out there.
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether there is something to swap to: a module for disks in memory beside the image.
    pub fn has_disk(&self) -> bool {
        self.setup.disk().is_file()
    }

    /// Why a scenario cannot be played on it, if it cannot.
    pub fn why_not(&self, scenario: &Scenario) -> Option<String> {
        if swaps(scenario) && !self.has_disk() {
            return Some(format!("no file {}: {DISK}", self.setup.disk().display()));
        }
        if nodes(scenario).0 > 1 && !self.setup.guest.nodes {
            return Some(format!("QEMU has no {} machines of several NUMA nodes", self.port()));
        }
        record::why_not(scenario)
    }

    /// Kernels of this image that play one scenario after the other.
    ///
    /// # Errors
    /// Where the port has no machines.
    pub fn player(&self) -> Result<Player, VerifyError> {
        let port = Builder::new(self.port()).build().map_err(GoldenError::from)?;
        Ok(Player { image: self.clone(), port, booted: BTreeMap::new(), facts: None, count: 0 })
    }

    /// Plays scenarios on kernels of this image on all CPUs, and gives what came of them in their order; not of those that were
    /// left when it was stopped. A kernel that is lost costs the scenario that it played.
    ///
    /// # Errors
    /// Where a kernel does not come up, or `each` fails.
    pub fn play_all<T: Send, E: From<VerifyError> + Send>(
        &self,
        count: usize,
        watch: Watch<'_>,
        play: impl Fn(&mut Player, usize) -> Result<T, VerifyError> + Sync,
        each: impl FnMut(usize, Result<T, VerifyError>) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let next = AtomicUsize::new(0);
        let order = Mutex::new(InOrder { next: 0, waiting: BTreeMap::new(), each, failed: None });
        parallel::on_every_cpu(|| {
            let mut player = None;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count || watch.stopped() {
                    return;
                }
                let done = match player.take().map_or_else(|| self.player(), Ok) {
                    Ok(ready) => play(player.insert(ready), n),
                    Err(error) => Err(error),
                };
                if done.as_ref().is_err_and(VerifyError::is_stop) {
                    return;
                }
                if !order.lock().unwrap_or_else(PoisonError::into_inner).add(n, done) {
                    next.store(count, Ordering::Relaxed);
                }
            }
        });
        order.into_inner().unwrap_or_else(PoisonError::into_inner).failed.map_or(Ok(()), Err)
    }
}

/// Results that come in any order, and are handed on in theirs.
struct InOrder<T, E, F> {
    next: usize,
    waiting: BTreeMap<usize, Result<T, VerifyError>>,
    each: F,
    failed: Option<E>,
}

impl<T, E: From<VerifyError>, F: FnMut(usize, Result<T, VerifyError>) -> Result<(), E>> InOrder<T, E, F> {
    /// Says whether to go on.
    fn add(&mut self, n: usize, done: Result<T, VerifyError>) -> bool {
        if self.failed.is_some() {
            return false;
        }
        if done.as_ref().is_err_and(|error| !error.is_loss()) {
            self.failed = done.err().map(E::from);
            return false;
        }
        self.waiting.insert(n, done);
        while let Some(done) = self.waiting.remove(&self.next) {
            if let Err(error) = (self.each)(self.next, done) {
                self.failed = Some(error);
                return false;
            }
            self.next += 1;
        }
        true
    }
}

fn guest_of(port: Option<&str>, image: &Path) -> Result<&'static Guest, RealError> {
    let known = || GUESTS.iter().map(|guest| guest.port).collect::<Vec<_>>().join(", ");
    let at = image.display();
    let said = Guest::of_image(image).ok_or_else(|| {
        RealError::Missing(format!(
            "{at} does not look like a kernel image (Image, bzImage, vmlinuz, vmlinux) that QEMU boots here: {}; a file of rules \
             ends in .toml",
            known()
        ))
    })?;
    let Some(port) = port else { return Ok(said) };
    let port = port_named(port).map_or(port, |known| known.name);
    let guest = Guest::of(port).ok_or_else(|| {
        let names = GUESTS.each_ref().map(|guest| guest.port);
        let choose = ptelab_run::choose_from(port, &names);
        RealError::Missing(format!("QEMU boots no kernel for `{port}`: {choose} {}", known()))
    })?;
    if guest.may_be(said) {
        Ok(guest)
    } else {
        Err(RealError::Missing(format!("{at} is a kernel of {}, not of {port}", said.port)))
    }
}

/// What a scenario needs of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    nodes: u8,
    numa_balancing: bool,
    swaps: bool,
}

impl Need {
    const NOTHING: Self = Self { nodes: 1, numa_balancing: false, swaps: false };

    fn of(scenario: &Scenario) -> Self {
        let (nodes, numa_balancing) = nodes(scenario);
        Self { nodes, numa_balancing, swaps: swaps(scenario) }
    }
}

/// Kernels of an image that play one scenario after the other, one kernel for each kind of machine.
#[derive(Debug)]
pub struct Player {
    image: Image,
    /// What reads the kernel's words: as its release has them, once it has come up.
    port: Box<dyn Backend>,
    booted: BTreeMap<Need, Qemu>,
    facts: Option<ImageFacts>,
    count: u32,
}

impl Player {
    /// The image.
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// A machine that reads its words.
    pub fn words(&self) -> &dyn Backend {
        &*self.port
    }

    /// The port of the image's architecture.
    pub const fn port(&self) -> &'static str {
        self.image.port()
    }

    /// What the kernel is and was built with.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn facts(&mut self) -> Result<&ImageFacts, VerifyError> {
        if self.facts.is_none() {
            self.machine(Need::NOTHING)?;
        }
        self.facts.as_ref().ok_or_else(|| RealError::Died(0).into())
    }

    /// Kernels that were booted so far.
    pub const fn boots(&self) -> u32 {
        self.count
    }

    /// A machine of this kind, with a fresh process 1.
    fn machine(&mut self, need: Need) -> Result<&mut Qemu, VerifyError> {
        let machine = match self.booted.remove(&need).filter(|known| !known.is_worn_out()) {
            Some(known) => known,
            None => self.boot(need)?,
        };
        Ok(self.booted.entry(need).or_insert(machine))
    }

    /// A machine of this kind is done with a scenario: its processes end, and what the kernel does not survive then is the scenario's
    /// doing, too.
    fn settle<T>(&mut self, need: Need, done: Result<T, VerifyError>) -> Result<T, VerifyError> {
        let machine = self.booted.remove(&need).filter(|_| self.image.boots == Boots::Rarely);
        let done = done?;
        let Some(mut machine) = machine else { return Ok(done) };
        machine.restart().map_err(|error| VerifyError::Lost("as its processes ended".to_owned(), error))?;
        self.booted.insert(need, machine);
        Ok(done)
    }

    fn boot(&mut self, Need { nodes, numa_balancing, swaps }: Need) -> Result<Qemu, VerifyError> {
        let setup = Setup { nodes, numa_balancing, swaps, ..self.image.setup.clone() };
        let boot = || {
            let mut machine = Qemu::boot(&setup)?;
            machine.restart()?;
            // What it said while it booted is no scenario's fault.
            machine.take_alarms();
            Ok(machine)
        };
        let machine = boot().map_err(|error: RealError| match error {
            error @ (RealError::Missing(_) | RealError::Stopped) => error,
            error => RealError::Missing(format!("{} failed to boot: {error}", setup.image.display())),
        })?;
        self.count += 1;
        if self.facts.is_none() {
            let facts = machine.facts().clone();
            let rules = nearest(&facts.release).rules;
            let alike = built_alike(self.image.guest(), &facts, rules);
            self.port = alike.build().map_err(GoldenError::from)?;
            self.facts = Some(facts);
        }
        Ok(machine)
    }

    /// Plays a scenario in processes of its own; nothing where it was stopped.
    pub(super) fn play(
        &mut self,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<Recording>, VerifyError> {
        unless_stopped(self.play_or_stop(scenario, watch))
    }

    fn play_or_stop(
        &mut self,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<Recording>, VerifyError> {
        let need = Need::of(scenario);
        self.machine(need)?;
        let Some(machine) = self.booted.get_mut(&need) else { return Err(RealError::Died(0).into()) };
        let area = vec![AddrRange { start: TEST_AREA.0, end: TEST_AREA.1 }];
        let mut recording = Recording { area, ..Recording::default() };
        let finished = match record::record(machine, &*self.port, scenario, &mut recording, watch) {
            Err(error @ RealError::Gone { .. }) => {
                let found = lost::look(machine, &*self.port, scenario, &recording);
                self.booted.remove(&need);
                return Err(VerifyError::Lost(found, error));
            }
            finished => finished,
        };
        Ok(self.settle(need, finished.map_err(VerifyError::from))?.then_some(recording))
    }

    /// Holds a machine that is built as the kernel was against what it did.
    ///
    /// # Errors
    /// Where no rules are near the kernel's release.
    pub fn verdict(
        &mut self,
        file: &str,
        golden: &Golden,
        rules: Option<&'static KernelRules>,
    ) -> Result<Verdict, VerifyError> {
        let beside = self.beside(rules)?;
        Ok(golden.verify_on(file, &beside)?)
    }

    /// The emulated kernel beside this one: of the nearest rules, unless others are wanted, and built alike.
    ///
    /// # Errors
    /// Where the kernel does not come up.
    pub fn beside(&mut self, rules: Option<&'static KernelRules>) -> Result<Beside, VerifyError> {
        let guest = self.image.guest();
        let facts = self.facts()?;
        let NamedKernel { rules, note } =
            rules.map_or_else(|| nearest(&facts.release), |rules| NamedKernel { rules, note: None });
        let note = [note, unlike(guest, facts)].into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        Ok(Beside { machine: built_alike(guest, facts, rules), rules, note })
    }

    /// What the kernel was built without that an emulated one may lack, too; with the option and what it means.
    pub(super) fn absent(&mut self) -> Result<Vec<(Absent, String)>, VerifyError> {
        let guest = self.image.guest();
        let facts = self.facts()?;
        let missing = |name: &str| facts.missing_option(guest, name);
        Ok(ABSENT.iter().filter_map(|(name, absent)| Some((*absent, missing(name)?))).collect())
    }

    /// What the kernel was built without that a scenario asks for, with what that means.
    ///
    /// # Errors
    /// Where the kernel does not come up.
    pub fn lacks(&mut self, scenario: &Scenario) -> Result<Option<String>, VerifyError> {
        let refused = |(absent, _): &(Absent, String)| {
            scenario.steps().any(|step| absent.refuses(&step.line.call).is_some())
        };
        Ok(self.absent()?.into_iter().find(refused).map(|(_, why)| why))
    }

    /// What a kernel said is wrong with it, since last asked. One that only warned lives on.
    pub fn take_alarms(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        self.booted.retain(|_, machine| {
            let alarms = machine.take_alarms();
            let lives_on = alarms.first().is_none_or(|alarm| alarm.contains("WARNING:"));
            all.extend(alarms);
            lives_on
        });
        all
    }

    /// Plays a scenario, and measures its calls between `time("on")` and `time("off")`, or all where it says neither; nothing where
    /// it was stopped. The image's time has to be [counted](Image::icount).
    ///
    /// # Errors
    /// Where the kernel does not come up, or is lost.
    pub fn measure(
        &mut self,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<Vec<Counted>>, VerifyError> {
        let need = Need::of(scenario);
        let measured = self.machine(need).and_then(|machine| Ok(cost::measure(machine, scenario, watch)?));
        unless_stopped(self.settle(need, measured))
    }

    /// Plays a scenario and records it as a golden file; nothing where it was stopped.
    ///
    /// # Errors
    /// Where the kernel does not come up, or is lost.
    pub fn golden(
        &mut self,
        name: &str,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<Golden>, VerifyError> {
        let Some(recording) = self.play(scenario, watch)? else { return Ok(None) };
        Ok(Some(self.as_golden(name, scenario, &recording)))
    }

    /// Plays a scenario, and reports what it came to under this name, as of an emulated machine; nothing where it was stopped. With
    /// it comes what the emulated machine beside the kernel made of it.
    ///
    /// # Errors
    /// Where the kernel does not come up, or is lost.
    pub fn report(
        &mut self,
        name: &'static str,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<RunReport>, VerifyError> {
        let Some(recording) = self.play(scenario, watch)? else { return Ok(None) };
        let golden = self.as_golden(name, scenario, &recording);
        let mut vm = self.beside(None)?.machine.build().map_err(GoldenError::from)?;
        let beside = RunReport::of(&mut *vm, scenario, watch);
        let words = (&beside, &*self.port);
        Ok(Some(report::report(name, scenario, &recording, &golden, words)?))
    }

    pub(super) fn as_golden(&self, name: &str, scenario: &Scenario, recording: &Recording) -> Golden {
        let release = self.facts.as_ref().map_or("", |facts| facts.release.as_str());
        Golden {
            name: name.to_owned(),
            arch: self.image.port().to_owned(),
            kernel: version(release).to_owned(),
            memory_mib: Some(self.image.guest().memory >> 20).filter(|mib| mib << 20 != GUEST_MEMORY),
            slots: swaps(scenario),
            scenario: scenario.to_string().lines().map(str::to_owned).collect(),
            calls: recording
                .calls
                .iter()
                .map(|call| GoldenCall::new(call.text.clone(), call.reply))
                .collect(),
            dumps: recording.dumps.iter().map(|dump| golden_dump(dump, &*self.port)).collect(),
        }
    }
}

/// The rules that are nearest to a release, whatever it is.
fn nearest(release: &str) -> NamedKernel {
    let known = Release::parse(version(release)).and_then(kernels::of_release);
    known.unwrap_or_else(|| {
        let rules = KernelRules::of_release(KernelRules::OLDEST);
        let note = format!("{release} is not known; taking the rules of {}", rules.name);
        NamedKernel { rules, note: Some(note) }
    })
}

/// What a kernel may be built without, as its guest program names it.
const ABSENT: [(&str, Absent); 8] = [
    ("uffd", Absent::USERFAULTFD),
    ("swap", Absent::SWAP),
    ("huge", Absent::HUGE_PAGES),
    ("huge_leaves", Absent::HUGE_LEAVES),
    ("memory_failure", Absent::MEMORY_FAILURE),
    ("split_huge_pages", Absent::SPLIT_HUGE_PAGES),
    ("clear_refs", Absent::CLEAR_REFS),
    ("pt_reclaim", Absent::PT_RECLAIM),
];

/// What an emulated kernel has, whatever a real one was built without.
const ALWAYS: [(&str, &str); 3] = [
    ("shmem", "shared memory"),
    ("numa_balancing", "NUMA hints"),
    ("kpageflags", "folios and map counts that are seen"),
];

/// A machine that is built as a kernel image was.
fn built_alike(guest: &Guest, facts: &ImageFacts, rules: &'static KernelRules) -> Builder {
    let port = guest.port;
    let absent = ABSENT.iter().filter(|(name, _)| !facts.has(name));
    let absent: Absent = absent.map(|(_, absent)| *absent).collect();
    let numbered = SoftleafRules::softleaf_without_devices;
    let without_devices = facts.failed_type != u64::from(swp_type::HWPOISON);
    let otherwise = facts.failed_type != 0 && rules.has(numbered) != without_devices;
    let rules = if otherwise { rules.with(numbered, without_devices) } else { rules };
    let mut builder = Builder::new(port).memory(guest.memory).without(absent).kernel(rules);
    if let Some((feature, _)) = guest.wide {
        builder = builder.cpu(feature, facts.has("wide"));
    }
    if has_feature(port, "soft_dirty") { builder.cpu("soft_dirty", facts.has("soft_dirty")) } else { builder }
}

/// How an emulated machine cannot be built as a kernel image was, a line for people; nothing where it can.
fn unlike(guest: &Guest, facts: &ImageFacts) -> Option<String> {
    let has = ALWAYS
        .iter()
        .filter(|(name, _)| !facts.has(name) && (guest.nodes || *name != "numa_balancing"))
        .map(|(_, what)| (*what).to_owned());
    let sizes = facts.lacks_sizes(guest).into_iter().map(|size| format!("huge pages of {size}kB"));
    let all: Vec<String> = has.chain(sizes).collect();
    (!all.is_empty())
        .then(|| format!("the emulated kernel beside it has what it has not: {}", all.join(", ")))
}

/// How many NUMA nodes a scenario needs, and whether the kernel moves pages between them of itself: only where the scenario
/// speaks of nodes. Where pages migrate, they need another node to go to.
fn nodes(scenario: &Scenario) -> (u8, bool) {
    let nodes = scenario.steps().filter_map(|step| match step.line.call {
        Call::Numa { nodes } => Some((nodes, nodes > 1)),
        Call::MigrateEnd { .. } => Some((2, false)),
        _ => None,
    });
    nodes.max().unwrap_or((1, false))
}

fn swaps(scenario: &Scenario) -> bool {
    scenario.steps().any(|step| matches!(step.line.call, Call::Swapon { .. }))
}

/// `6.17.13+deb13-cloud-arm64` is 6.17.13.
fn version(release: &str) -> &str {
    release.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or(release)
}

fn golden_dump(dump: &RealDump, port: &dyn Backend) -> GoldenDump {
    let (words, shape) = (port.words(), port.about().shape);
    let mut entries: Vec<GoldenEntry> = Vec::new();
    let mut folios = HashMap::new();
    for word in dump.words.iter().flatten() {
        let addr = word.addr.max(dump.start);
        let page =
            dump.pages.get(((addr - dump.start) >> shape.page_shift()) as usize).copied().unwrap_or_default();
        let bare = words.without_frame(Pte(word.word), word.level);
        let is_swap = matches!(words.decode(bare, word.level), PteView::Soft(leaf) if leaf.is_swap());
        let bits = if is_swap { bare.0 } else { bare.0 & !words.pfn_mask(bare, word.level) };
        let next = folios.len() as u32;
        let folio = page.frame.map(|frame| *folios.entry(frame.head).or_insert(next));
        let entry = GoldenEntry {
            va: format!("{addr:#x}"),
            level: word.level as u8,
            n: 1,
            bits: format!("{bits:#018x}"),
            folio,
            folio_pages: page.frame.map(|frame| frame.folio_pages),
            offset: page.frame.map(|frame| (frame.pfn - frame.head) as u32),
            pagemap: folio.map(|_| format!("{:#05x}", page.pagemap)),
            mapcount: page.frame.map(|frame| frame.mapcount),
        };
        match entries.last_mut().filter(|last| continues(&shape, last, &entry)) {
            Some(last) => last.n += 1,
            None => entries.push(entry),
        }
    }
    GoldenDump {
        name: dump.name.clone(),
        pid: dump.pid,
        start: format!("{:#x}", dump.start),
        len: dump.len,
        vmas: dump.vmas.clone(),
        entries,
    }
}

/// Whether an entry is like those of a run, and maps the page after theirs.
fn continues(shape: &Shape, run: &GoldenEntry, entry: &GoldenEntry) -> bool {
    let step = shape.pages_per_entry(Level::ALL[usize::from(run.level)]);
    let next = run.offset.map(|offset| offset + (run.n * step) as u32);
    let like = GoldenEntry { va: entry.va.clone(), n: 1, offset: next, ..run.clone() };
    like == *entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "fuzz")]
    fn guests_have_the_pages_of_their_ports() {
        crate::register_ports();
        for guest in &GUESTS {
            let port = Builder::new(guest.port).build().expect("there is such a port");
            let shape = port.about().shape;
            let huge = shape.page_size() * shape.pages_per_entry(Level::Pmd);
            assert_eq!((guest.page(), guest.huge()), (shape.page_size(), huge), "{}", guest.port);
        }
    }

    #[test]
    fn a_release_has_a_version() {
        assert_eq!(version("6.17.13+deb13-cloud-arm64"), "6.17.13");
        assert_eq!(version("7.3-rc1"), "7.3");
    }
}
