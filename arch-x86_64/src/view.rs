//! Entries in neutral terms.

use crate::X86_64;
use crate::bits::{
    PFN_MASK, PFN_SHIFT, PKEY_MASK, PKEY_SHIFT, PteBits, SOFT_OFFSET_MASK, SOFT_OFFSET_SHIFT, SOFT_TYPE_MASK,
    SOFT_TYPE_SHIFT, SoftBits, has, pkey, set,
};
use crate::pte::save_dirty;
use ptelab_pgtable::{
    BitField, EntryFormat, Level, Mapping, Pfn, PgProt, Pte, PteAttrs, PteView, SoftFlags, SoftLeaf,
    bit_fields, bit_names,
};

/// Neutral attributes and the bits that say them. Execution and dirtiness are not in it: they take more than a
/// bit.
const ATTRS: &[(PteAttrs, PteBits)] = &[
    (PteAttrs::USER, PteBits::USER),
    (PteAttrs::WRITE, PteBits::RW),
    (PteAttrs::YOUNG, PteBits::ACCESSED),
    (PteAttrs::SOFT_DIRTY, PteBits::SOFT_DIRTY),
    (PteAttrs::SPECIAL, PteBits::SPECIAL),
    (PteAttrs::UFFD, PteBits::UFFD),
];

/// Flags of software entries and the bits that say them.
const SOFT_FLAGS: &[(SoftFlags, SoftBits)] = &[
    (SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE),
    (SoftFlags::SOFT_DIRTY, SoftBits::SOFT_DIRTY),
    (SoftFlags::UFFD, SoftBits::UFFD),
];

impl X86_64 {
    /// What a word says.
    pub(crate) fn view(&self, pte: Pte, level: Level) -> PteView {
        if self.pte_none(pte) {
            return PteView::None;
        }
        let present = if level == Level::Pte { self.pte_present(pte) } else { self.pmd_present(pte) };
        if !present {
            return PteView::Soft(decode_soft(pte));
        }
        if level != Level::Pte && !has(pte, PteBits::PSE) {
            return PteView::Table(self.pte_pfn(pte));
        }
        let attrs = self.decode_attrs(pte);
        PteView::Present(Mapping { pfn: self.pte_pfn(pte), level, attrs, pkey: pkey(pte) })
    }

    /// The names of a word's bits.
    pub(crate) fn names(&self, pte: Pte, level: Level) -> String {
        match self.view(pte, level) {
            PteView::None => "none".to_owned(),
            PteView::Soft(leaf) => {
                let bits = SoftBits::from_bits_retain(pte.0 & ((1 << SOFT_OFFSET_SHIFT) - 1));
                let bits = if bits.is_empty() { String::new() } else { bit_names(&bits) + " " };
                format!("{bits}type={} offset={:#x}", leaf.ty, leaf.offset)
            }
            PteView::Table(_) | PteView::Present(_) => {
                let bits = bit_names(&PteBits::from_bits_retain(pte.0 & !(PFN_MASK | PKEY_MASK)));
                if pkey(pte) == 0 { bits } else { format!("{bits} pkey={}", pkey(pte)) }
            }
        }
    }

    /// The bits and fields of a word.
    pub(crate) fn bits_of(&self, pte: Pte, level: Level) -> Vec<BitField> {
        match self.view(pte, level) {
            PteView::Soft(_) => {
                bit_fields::<SoftBits>(&[("offset, inverted", SOFT_OFFSET_MASK), ("type", SOFT_TYPE_MASK)])
            }
            PteView::None | PteView::Table(_) | PteView::Present(_) => {
                bit_fields::<PteBits>(&[("frame", PFN_MASK), ("pkey", PKEY_MASK)])
            }
        }
    }

    fn decode_attrs(&self, pte: Pte) -> PteAttrs {
        let mut attrs = PteAttrs::empty();
        for &(attr, bit) in ATTRS {
            attrs.set(attr, has(pte, bit));
        }
        attrs.set(PteAttrs::SOFT_DIRTY, self.pte_soft_dirty(pte));
        attrs.set(PteAttrs::PROTNONE, !has(pte, PteBits::PRESENT));
        attrs.set(PteAttrs::EXEC, has(pte, PteBits::USER) && !has(pte, PteBits::NX));
        attrs.set(PteAttrs::DIRTY, self.pte_dirty(pte));
        attrs
    }

    /// A leaf entry, or `None` where no word says it.
    pub(crate) fn encode_mapping(&self, m: Mapping) -> Option<Pte> {
        let has_attr = |attr| m.attrs.contains(attr);
        let access = PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC;
        let denied = has_attr(PteAttrs::PROTNONE);
        let sensible = if denied { !m.attrs.intersects(access) } else { has_attr(PteAttrs::USER) };
        let unsaid = has_attr(PteAttrs::CONT) || !self.soft_dirty && has_attr(PteAttrs::SOFT_DIRTY);
        let keyed = m.pkey == 0 || self.pku && m.pkey < 16;
        if !sensible || unsaid || !keyed || !is_leaf_frame(&m) {
            return None;
        }
        let mut bits = if denied { PteBits::PROTNONE } else { PteBits::PRESENT };
        for &(attr, bit) in ATTRS {
            bits.set(bit, has_attr(attr));
        }
        bits.set(PteBits::NX, !denied && !has_attr(PteAttrs::EXEC));
        let prot = PgProt(bits.bits() | u64::from(m.pkey) << PKEY_SHIFT);
        let mut pte = self.pfn_pte(m.pfn, prot);
        if has_attr(PteAttrs::DIRTY) {
            pte = save_dirty(set(pte, PteBits::DIRTY));
        }
        Some(if m.level == Level::Pmd { self.pmd_mkhuge(pte) } else { pte })
    }

    /// A software entry, or `None` where type, offset or flags do not fit, soft-dirty is not configured, or the
    /// word would be the empty one.
    pub(crate) fn encode_soft(&self, leaf: SoftLeaf) -> Option<Pte> {
        let offset = leaf.packed_offset(Self::SWP_PFN_BITS)?;
        let fits = leaf.ty < 32 && offset <= SOFT_OFFSET_MASK >> SOFT_OFFSET_SHIFT;
        if !fits || !self.soft_dirty && leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
            return None;
        }
        let offset = !(offset << SOFT_OFFSET_SHIFT) & SOFT_OFFSET_MASK;
        let mut word = u64::from(leaf.ty) << SOFT_TYPE_SHIFT | offset;
        for &(flag, bit) in SOFT_FLAGS {
            word |= if leaf.flags.contains(flag) { bit.bits() } else { 0 };
        }
        (word != 0).then_some(Pte(word))
    }
}

/// Whether a frame number fits its field.
pub(crate) const fn fits(pfn: Pfn) -> bool {
    pfn.get() <= PFN_MASK >> PFN_SHIFT
}

/// Whether frame and level of a mapping can stand in a leaf: huge pages are naturally aligned.
const fn is_leaf_frame(m: &Mapping) -> bool {
    match m.level {
        Level::Pte => fits(m.pfn),
        Level::Pmd => fits(m.pfn) && m.pfn.get().is_multiple_of(1 << X86_64::PMD_ORDER),
        _ => false,
    }
}

fn decode_soft(pte: Pte) -> SoftLeaf {
    let mut flags = SoftFlags::empty();
    for &(flag, bit) in SOFT_FLAGS {
        flags.set(flag, pte.0 & bit.bits() != 0);
    }
    let ty = (pte.0 >> SOFT_TYPE_SHIFT) as u8;
    let offset = (!pte.0 & SOFT_OFFSET_MASK) >> SOFT_OFFSET_SHIFT;
    SoftLeaf::from_packed(ty, offset, flags, X86_64::SWP_PFN_BITS)
}
