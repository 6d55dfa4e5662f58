//! Tests of the loong64 port.

mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

use arch_loong64::Loong64;
use ptelab_pgtable::{Arch, CpuConfig, KernelRules};

/// The port, on the default CPU.
fn arch() -> Loong64 {
    Loong64::new(&CpuConfig::default(), KernelRules::DEFAULT)
}
