//! What this port says of itself for the laws of all ports to hold it to.

use crate::{Rules, X86_64};
use ptelab_pgtable::laws::{PortFacts, Setting};
use ptelab_pgtable::{Mapping, PteAttrs};

impl PortFacts for X86_64 {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some((1 << 50) - 1);

    fn is_expressible(on: &Setting, m: Mapping) -> bool {
        let is = |attr| m.attrs.contains(attr);
        let access = m.attrs & (PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC);
        let sensible =
            if is(PteAttrs::PROTNONE) { access.is_empty() } else { access.contains(PteAttrs::USER) };
        sensible
            && (!is(PteAttrs::SOFT_DIRTY) || on.has("soft_dirty"))
            && !is(PteAttrs::CONT)
            && m.pkey < if on.has("pku") { 16 } else { 1 }
    }

    fn pmd_modify_keeps_dirty(on: &Setting) -> bool {
        Rules::of(on.rules).pmd_modify_keeps_dirty
    }
}
