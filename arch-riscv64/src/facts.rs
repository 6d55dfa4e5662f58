//! What this port says of itself for the laws of all ports to hold it to.

use crate::Riscv64;
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl PortFacts for Riscv64 {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some(0);

    fn unsaid(on: &Setting) -> PteAttrs {
        if on.has("svrsw60t59b") { PteAttrs::CONT } else { PteAttrs::CONT | PteAttrs::SOFT_DIRTY }
    }

    fn walker_sets(on: &Setting) -> bool {
        on.has("svadu")
    }
}
