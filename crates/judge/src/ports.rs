//! Ports by name, with what is generic over them: laws, races, and machines on trial.

use crate::faulty::{Fault, Faulty};
use crate::fuzz::{Judged, OnTrial};
use crate::laws::{LawRow, score_card};
use crate::race::{RaceRow, Replayed, race_of};
use ptelab_machine::pgtable::laws::race;
use ptelab_machine::pgtable::laws::{self, PortFacts, Setting};
use ptelab_machine::{CpuConfig, KernelRules, PortVisitor, visit_port};
use ptelab_run::exec::Watch;
use std::marker::PhantomData;
use std::sync::atomic::AtomicBool;

/// What checks can do with a port.
pub(crate) trait Checked: Send + Sync {
    /// Runs all laws, until it is stopped.
    fn laws(&self, stop: &AtomicBool) -> Vec<LawRow>;
    /// Explores what hardware may do between the steps of its operations, on each of its CPUs, until it is stopped.
    fn race(&self, rules: &'static KernelRules, watch: Watch<'_>) -> Vec<RaceRow>;
    /// How many CPUs those are.
    fn race_settings(&self, rules: &'static KernelRules) -> usize;
    /// Runs one schedule of that again, on the usual CPU.
    fn replay_race(&self, rules: &'static KernelRules, id: &str) -> Option<Replayed>;
    /// The first law that a fault breaks, and the cases that took.
    fn broken_law(
        &self,
        rules: &'static KernelRules,
        fault: Fault,
        stop: &AtomicBool,
    ) -> Option<(&'static str, u64)>;
    /// Schedules that were tried where one of them shows a fault.
    fn lost_race(&self, rules: &'static KernelRules, fault: Fault, stop: &AtomicBool) -> Option<u64>;
    /// A machine for random programs, with a fault or none, of which so many bytes are looked at.
    fn on_trial(
        &self,
        cpu: &CpuConfig,
        rules: &'static KernelRules,
        fault: Fault,
        span: u64,
    ) -> Box<dyn Judged>;
}

struct Of<P>(PhantomData<fn() -> P>);

/// A port without a fault is tried as one that might have one, too: laws and races are compiled once for each.
impl<P: PortFacts> Checked for Of<P> {
    fn laws(&self, stop: &AtomicBool) -> Vec<LawRow> {
        score_card::<Faulty<P>>(stop)
    }

    fn race(&self, rules: &'static KernelRules, watch: Watch<'_>) -> Vec<RaceRow> {
        race_of::<Faulty<P>>(rules, watch)
    }

    fn race_settings(&self, rules: &'static KernelRules) -> usize {
        Setting::with::<P>(rules).len()
    }

    fn replay_race(&self, rules: &'static KernelRules, id: &str) -> Option<Replayed> {
        let on = Setting::of::<Faulty<P>>(CpuConfig::default(), rules);
        race::replay(&Faulty::<P>::with(Fault::None, on.cpu(), on.rules), &on, id)
    }

    fn broken_law(
        &self,
        rules: &'static KernelRules,
        fault: Fault,
        stop: &AtomicBool,
    ) -> Option<(&'static str, u64)> {
        let settings = Setting::with::<Faulty<P>>(rules);
        let build = |cpu: &_, rules| Faulty::<P>::with(fault, cpu, rules);
        laws::laws::<Faulty<P>>().iter().find_map(|law| {
            let score = laws::score_law(law, &settings, &build, stop)?;
            score.failure.map(|_| (score.id, score.cases))
        })
    }

    fn lost_race(&self, rules: &'static KernelRules, fault: Fault, stop: &AtomicBool) -> Option<u64> {
        let on = Setting::of::<Faulty<P>>(CpuConfig::default(), rules);
        let report = race::explore(&Faulty::<P>::with(fault, on.cpu(), rules), &on, stop);
        (!report.failures.is_empty()).then_some(report.schedules)
    }

    fn on_trial(
        &self,
        cpu: &CpuConfig,
        rules: &'static KernelRules,
        fault: Fault,
        span: u64,
    ) -> Box<dyn Judged> {
        // One machine for both, with a fault or none: mm is compiled once for each port.
        Box::new(OnTrial::new(Faulty::<P>::with(fault, cpu, rules), cpu, rules, span))
    }
}

/// Any port, as what checks can do with it.
struct AsChecked;

impl PortVisitor for AsChecked {
    type Out = &'static dyn Checked;

    fn visit<P: PortFacts>(self) -> Self::Out {
        &Of::<P>(PhantomData)
    }
}

/// Adds a port from outside to those that every command knows, behind the others.
///
/// # Panics
/// Where the project has a port of this name.
pub fn register<P: PortFacts>() {
    ptelab_machine::register_with::<P>(&Beside::<P>::CHECKED);
}

/// Adds those of the project's own ports that are not compiled into every program which uses it, and on which commands run where they
/// or all ports are asked for. A new port is a line here.
pub fn register_ports() {
    fn add<P: PortFacts>() {
        ptelab_machine::register_on_request::<P>(&Beside::<P>::CHECKED);
    }
    add::<arch_arm64::Arm64With16K>();
    add::<arch_arm64::Arm64With64K>();
    add::<arch_loong64::Loong64>();
    add::<arch_ppc64::Ppc64>();
    add::<arch_ppc64::Ppc64With64K>();
    add::<arch_riscv64::Riscv64>();
    add::<arch_s390x::S390x>();
}

/// What a port from outside is registered with.
struct Beside<P>(PhantomData<P>);

impl<P: PortFacts> Beside<P> {
    const CHECKED: &'static dyn Checked = &Of::<P>(PhantomData);
}

/// The port of this name, if there is one.
pub(crate) fn checked(name: &str) -> Option<&'static dyn Checked> {
    let beside = || ptelab_machine::beside(name)?.downcast_ref::<&'static dyn Checked>().copied();
    visit_port(name, AsChecked).or_else(beside)
}
