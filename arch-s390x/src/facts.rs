//! What this port says of itself for the laws of all ports to hold it to.

use crate::S390x;
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl PortFacts for S390x {
    const EXECUTE_ONLY: bool = false;
    const HUGE_SPECIAL: bool = false;
    const HUGE_BY_PLACE: bool = true;

    fn unsaid(_: &Setting) -> PteAttrs {
        PteAttrs::CONT | PteAttrs::UFFD
    }

    fn walker_sets(_: &Setting) -> bool {
        false
    }
}
