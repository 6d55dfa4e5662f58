//! Tests of the riscv64 port.

mod contpte;
mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

use arch_riscv64::Riscv64;
use ptelab_pgtable::{Arch, CpuConfig, KernelRules, Release};

/// The port for a release.
fn arch(release: &str) -> Riscv64 {
    let release = Release::parse(release).expect("it is a release");
    Riscv64::new(&CpuConfig::default(), KernelRules::of_release(release))
}
