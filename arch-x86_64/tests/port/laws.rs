//! The laws of all ports, on this one.

use arch_x86_64::X86_64;
use ptelab_pgtable::laws::{PortFacts, Variant};
use ptelab_pgtable::{Mapping, PteAttrs, port_laws};

struct Facts;

impl PortFacts for Facts {
    type Port = X86_64;

    const EMPTY_SOFT_OFFSET: Option<u64> = Some((1 << 50) - 1);

    fn is_expressible(v: &Variant<X86_64>, m: Mapping) -> bool {
        let is = |attr| m.attrs.contains(attr);
        let access = m.attrs & (PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC);
        let sensible =
            if is(PteAttrs::PROTNONE) { access.is_empty() } else { access.contains(PteAttrs::USER) };
        sensible
            && (!is(PteAttrs::SOFT_DIRTY) || v.has("soft_dirty"))
            && !is(PteAttrs::CONT)
            && m.pkey < if v.has("pku") { 16 } else { 1 }
    }
}

port_laws!(Facts);
