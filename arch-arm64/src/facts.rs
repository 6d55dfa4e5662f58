//! What this port says of itself for the laws of all ports to hold it to.

use crate::{Granule, Rules};
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl<const SHIFT: u32> PortFacts for Granule<SHIFT> {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some(0);

    fn unsaid(_: &Setting) -> PteAttrs {
        PteAttrs::SOFT_DIRTY
    }

    fn pkeys(on: &Setting) -> u8 {
        if on.has("poe") { 8 } else { 1 }
    }

    fn walker_sets(on: &Setting) -> bool {
        on.has("hafdbs")
    }

    fn mkwrite_dirties(on: &Setting) -> bool {
        Rules::of(on.rules).mkwrite_dirties_clean
    }

    fn has_cont_on_invalid(on: &Setting) -> bool {
        Rules::of(on.rules).cont_on_invalid
    }

    fn resizes_live(on: &Setting) -> bool {
        on.has("bbml3")
    }
}
