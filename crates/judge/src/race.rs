//! Hardware that interferes, on one port.

use ptelab_machine::KernelRules;
use ptelab_machine::pgtable::laws::race::{self, RaceReport};
use ptelab_machine::pgtable::laws::{PortFacts, Setting};
use ptelab_run::exec::Watch;
use ptelab_run::parallel;
use std::sync::atomic::Ordering;

/// One port in one setting, with hardware that interferes.
#[derive(Clone, Debug)]
pub struct RaceRow {
    /// The port.
    pub port: &'static str,
    /// The kernel, and the CPU's features that are not as usual.
    pub setting: String,
    /// What was explored, and what went wrong.
    pub report: RaceReport,
}

/// What a schedule does that was run again: what goes wrong, if anything, and the steps of both sides.
pub type Replayed = (Option<&'static str>, String);

/// Explores what hardware may do between the steps of a port's operations, on each of its CPUs, under this kernel, until it is stopped. It
/// ticks for each of them.
pub(crate) fn race_of<P: PortFacts>(rules: &'static KernelRules, watch: Watch<'_>) -> Vec<RaceRow> {
    let on_one = |on: Setting| {
        if watch.stop.load(Ordering::Relaxed) {
            return None;
        }
        let report = race::explore(&P::new(on.cpu(), on.rules), &on, watch.stop);
        (watch.tick)(1);
        Some(RaceRow { port: P::NAME, setting: on.to_string(), report })
    };
    parallel::map(Setting::with::<P>(rules), on_one).into_iter().flatten().collect()
}
