//! What this port says of itself for the laws of all ports to hold it to.

use crate::Loong64;
use ptelab_pgtable::PteAttrs;
use ptelab_pgtable::laws::{PortFacts, Setting};

impl PortFacts for Loong64 {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some(0);
    const EXECUTE_ONLY: bool = false;
    const HUGE_MKSPECIAL: bool = false;
    const MODIFY_MAKES_YOUNG: bool = true;
    const MODIFY_MAKES_OLD: bool = true;
    const DIRTY_ON_STORE: bool = true;

    fn unsaid(_: &Setting) -> PteAttrs {
        PteAttrs::SOFT_DIRTY | PteAttrs::UFFD | PteAttrs::CONT
    }
}
