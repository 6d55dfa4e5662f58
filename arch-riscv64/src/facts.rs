//! What this port says of itself for the laws of all ports to hold it to.

use crate::{Riscv64, Rules};
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl PortFacts for Riscv64 {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some(0);
    const HUGE_BY_PLACE: bool = true;
    const MODIFY_MAKES_YOUNG: bool = true;
    /// It stands where `X` does, which `pmd_present` and `pmd_leaf` look at (7.2, 7.3). This looks like a bug of Linux, on CPUs with
    /// Svrsw60t59b; no such CPU was asked.
    const SOFT_DIRTY_LOOKS_HUGE: bool = true;

    fn unsaid(on: &Setting) -> PteAttrs {
        if on.has("svrsw60t59b") { PteAttrs::empty() } else { PteAttrs::SOFT_DIRTY | PteAttrs::UFFD }
    }

    fn walker_sets(on: &Setting) -> bool {
        on.has("svadu")
    }

    fn wrprotect_makes_readable(on: &Setting) -> bool {
        Rules::of(on.rules).wrprotect_sets_read
    }
}
