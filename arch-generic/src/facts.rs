//! What this port says of itself for the laws of all ports to hold it to.

use crate::Generic;
use ptelab_pgtable::laws::{PortFacts, Setting};
use ptelab_pgtable::{Mapping, PteAttrs};

impl PortFacts for Generic {
    const EMPTY_SOFT_OFFSET: Option<u64> = None;

    fn is_expressible(_: &Setting, m: Mapping) -> bool {
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
        sensible && !is(PteAttrs::SOFT_DIRTY) && !is(PteAttrs::CONT) && m.pkey == 0
    }
}
