//! What this port says of itself for the laws of all ports to hold it to.

use crate::{Arm64, Rules};
use ptelab_pgtable::laws::{PortFacts, Setting};
use ptelab_pgtable::{Level, Mapping, PteAttrs};

impl PortFacts for Arm64 {
    const EMPTY_SOFT_OFFSET: Option<u64> = Some(0);

    fn is_expressible(on: &Setting, m: Mapping) -> bool {
        let is = |attr| m.attrs.contains(attr);
        let access = m.attrs & (PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC);
        let allowed = [
            PteAttrs::USER,
            PteAttrs::USER | PteAttrs::WRITE,
            PteAttrs::USER | PteAttrs::EXEC,
            PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC,
            PteAttrs::EXEC,
        ];
        let sensible = if is(PteAttrs::PROTNONE) { access.is_empty() } else { allowed.contains(&access) };
        sensible
            && !is(PteAttrs::SOFT_DIRTY)
            && !(is(PteAttrs::CONT) && m.level == Level::Pmd)
            && m.pkey < if on.has("poe") { 8 } else { 1 }
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
