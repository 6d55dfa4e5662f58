//! Tests of the ppc64 port.

mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

use arch_ppc64::Ppc64;
use ptelab_pgtable::{Arch, CpuConfig, KernelRules, Release};

/// The port for a release.
fn arch(release: &str) -> Ppc64 {
    with(release, &CpuConfig::default())
}

/// The port for a release, on this CPU.
fn with(release: &str, cpu: &CpuConfig) -> Ppc64 {
    let release = Release::parse(release).expect("it is a release");
    Ppc64::new(cpu, KernelRules::of_release(release))
}
