//! Hardware that interferes, on one port.

use ptelab_machine::KernelRules;
use ptelab_machine::pgtable::laws::race::{self, RaceReport};
use ptelab_machine::pgtable::laws::{PortFacts, Setting};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Explores what hardware may do between the steps of a port's operations, on each of its CPUs, under this kernel,
/// until it is stopped.
pub(crate) fn race_of<P: PortFacts>(rules: &'static KernelRules, stop: &AtomicBool) -> Vec<RaceRow> {
    let on_one = |on: Setting| {
        let report = race::explore(&P::new(on.cpu(), on.rules), &on, stop);
        RaceRow { port: P::NAME, setting: on.to_string(), report }
    };
    let settings = Setting::with::<P>(rules).into_iter();
    settings.take_while(|_| !stop.load(Ordering::Relaxed)).map(on_one).collect()
}
