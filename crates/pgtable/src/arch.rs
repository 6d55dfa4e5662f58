//! What a port is.

use crate::{Cause, Change, CpuConfig, CpuFeature, KernelRules, ModifyProt};

/// A port: an architecture that the memory manager can drive.
pub trait Arch: ModifyProt + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Linux's name of the architecture, as on the command line.
    const NAME: &'static str;

    /// Other names that people know it by, as `uname -m` says.
    const ALIASES: &'static [&'static str] = &[];

    /// What its CPUs may have or lack: the table that [`cpu_features!`](crate::cpu_features) made.
    const FEATURES: &'static [CpuFeature] = &[];

    /// The causes that it applies by itself.
    const CAUSES: &'static [&'static Cause] = &[];
    /// What it does otherwise from one kernel to the next: the table that [`changes!`](crate::changes) made.
    const CHANGES: &'static [&'static Change] = &[];

    /// The port for this CPU and this kernel. Features that the configuration does not name have their defaults.
    fn new(cpu: &CpuConfig, rules: &'static KernelRules) -> Self;
}
