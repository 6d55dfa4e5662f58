//! What this port says of itself for the laws of all ports to hold it to.

use crate::{Rules, X86_64};
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl PortFacts for X86_64 {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some((1 << 50) - 1);
    const EXECUTE_ONLY: bool = false;

    fn unsaid(on: &Setting) -> PteAttrs {
        if on.has("soft_dirty") { PteAttrs::CONT } else { PteAttrs::CONT | PteAttrs::SOFT_DIRTY }
    }

    fn pkeys(on: &Setting) -> u8 {
        if on.has("pku") { 16 } else { 1 }
    }

    fn pmd_modify_keeps_dirty(on: &Setting) -> bool {
        Rules::of(on.rules).pmd_modify_keeps_dirty
    }
}
