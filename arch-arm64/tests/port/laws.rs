//! The laws of all ports, on this one.

use arch_arm64::Arm64;
use ptelab_pgtable::laws::{PortFacts, Variant};
use ptelab_pgtable::{Level, Mapping, PteAttrs, port_laws};

struct Facts;

impl PortFacts for Facts {
    type Port = Arm64;

    const EMPTY_SOFT_OFFSET: Option<u64> = Some(0);

    fn is_expressible(v: &Variant<Arm64>, m: Mapping) -> bool {
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
            && m.pkey < if v.has("poe") { 8 } else { 1 }
    }

    fn walker_sets(v: &Variant<Arm64>) -> bool {
        v.has("hafdbs")
    }

    fn mkwrite_dirties(v: &Variant<Arm64>) -> bool {
        v.rules.mkwrite_dirties_clean
    }
}

port_laws!(Facts);
