//! The laws of all ports, on this one.

use arch_generic::Generic;
use ptelab_pgtable::laws::{PortFacts, Variant};
use ptelab_pgtable::{Mapping, PteAttrs, port_laws};

struct Facts;

impl PortFacts for Facts {
    type Port = Generic;

    const EMPTY_SOFT_OFFSET: Option<u64> = None;

    fn is_expressible(_: &Variant<Generic>, m: Mapping) -> bool {
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

port_laws!(Facts);
