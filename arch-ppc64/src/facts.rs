//! What this port says of itself for the laws of all ports to hold it to.

use crate::{Radix, Rules};
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl<const SHIFT: u32> PortFacts for Radix<SHIFT> {
    const HUGE_BY_PLACE: bool = true;
    const MODIFY_MAKES_YOUNG: bool = true;
    const VALID_PROTNONE: bool = true;

    fn unsaid(on: &Setting) -> PteAttrs {
        let never = PteAttrs::UFFD | PteAttrs::CONT;
        if on.has("soft_dirty") { never } else { never | PteAttrs::SOFT_DIRTY }
    }

    fn walker_sets(on: &Setting) -> bool {
        on.has("rc")
    }

    fn pmd_modify_keeps_special(on: &Setting) -> bool {
        Rules::of(on.rules).pmd_modify_keeps_special
    }
}
