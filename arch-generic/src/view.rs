//! Entries in neutral terms.

use crate::Generic;
use crate::bits::{
    PFN_MASK, PFN_SHIFT, PteBits, SOFT_OFFSET_MASK, SOFT_OFFSET_SHIFT, SOFT_TYPE_MASK, SOFT_TYPE_SHIFT,
    SoftBits, has,
};
use ptelab_pgtable::{
    BitField, EntryFormat, Level, Mapping, Pfn, Pte, PteAttrs, PteView, SoftFlags, SoftLeaf, bit_fields,
    bit_names,
};

/// Neutral attributes and the bits that say them.
const ATTRS: &[(PteAttrs, PteBits)] = &[
    (PteAttrs::USER, PteBits::READ),
    (PteAttrs::WRITE, PteBits::WRITE),
    (PteAttrs::EXEC, PteBits::EXEC),
    (PteAttrs::YOUNG, PteBits::YOUNG),
    (PteAttrs::DIRTY, PteBits::DIRTY),
    (PteAttrs::SPECIAL, PteBits::SPECIAL),
    (PteAttrs::UFFD, PteBits::UFFD),
];

/// Flags of software entries and the bits that say them.
const SOFT_FLAGS: &[(SoftFlags, SoftBits)] =
    &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE), (SoftFlags::UFFD, SoftBits::UFFD)];

impl Generic {
    /// What a word says.
    pub(crate) fn view(self, pte: Pte, level: Level) -> PteView {
        if self.pte_none(pte) {
            return PteView::None;
        }
        if !self.pte_present(pte) {
            return PteView::Soft(decode_soft(pte));
        }
        if level != Level::Pte && has(pte, PteBits::PRESENT) && !has(pte, PteBits::LEAF) {
            return PteView::Table(self.pte_pfn(pte));
        }
        let attrs = self.decode_attrs(pte);
        PteView::Present(Mapping { pfn: self.pte_pfn(pte), level, attrs, pkey: 0 })
    }

    /// The names of a word's bits.
    pub(crate) fn names(self, pte: Pte, level: Level) -> String {
        match self.view(pte, level) {
            PteView::None => "none".to_owned(),
            PteView::Soft(leaf) => {
                let bits = SoftBits::from_bits_retain(pte.0 & !(SOFT_TYPE_MASK | SOFT_OFFSET_MASK));
                format!("{} type={} offset={:#x}", bit_names(&bits), leaf.ty, leaf.offset)
            }
            PteView::Table(_) | PteView::Present(_) => {
                bit_names(&PteBits::from_bits_retain(pte.0 & !PFN_MASK))
            }
        }
    }

    /// The bits and fields of a word.
    pub(crate) fn bits_of(self, pte: Pte, level: Level) -> Vec<BitField> {
        match self.view(pte, level) {
            PteView::Soft(_) => {
                bit_fields::<SoftBits>(&[("type", SOFT_TYPE_MASK), ("offset", SOFT_OFFSET_MASK)])
            }
            PteView::None | PteView::Table(_) | PteView::Present(_) => {
                bit_fields::<PteBits>(&[("frame", PFN_MASK)])
            }
        }
    }

    fn decode_attrs(self, pte: Pte) -> PteAttrs {
        let mut attrs = PteAttrs::empty();
        for &(attr, bit) in ATTRS {
            attrs.set(attr, has(pte, bit));
        }
        attrs.set(PteAttrs::PROTNONE, self.pte_protnone(pte));
        attrs
    }

    /// A leaf entry, or `None` where no word says it.
    pub(crate) fn encode_mapping(self, m: Mapping) -> Option<Pte> {
        let has_attr = |attr| m.attrs.contains(attr);
        let access = PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC;
        let denied = has_attr(PteAttrs::PROTNONE);
        let sensible = if denied {
            !m.attrs.intersects(access)
        } else {
            has_attr(PteAttrs::USER) || has_attr(PteAttrs::EXEC) && !has_attr(PteAttrs::WRITE)
        };
        let unsaid = has_attr(PteAttrs::SOFT_DIRTY) || has_attr(PteAttrs::CONT);
        if !sensible || unsaid || m.pkey != 0 || !is_leaf_frame(&m) {
            return None;
        }
        let mut bits = if denied { PteBits::PROTNONE } else { PteBits::PRESENT };
        bits.set(PteBits::LEAF, m.level == Level::Pmd);
        for &(attr, bit) in ATTRS {
            bits.set(bit, has_attr(attr));
        }
        Some(Pte(m.pfn.get() << PFN_SHIFT | bits.bits()))
    }

    /// A software entry, or `None` where type, offset or flags do not fit.
    pub(crate) fn encode_soft(leaf: SoftLeaf) -> Option<Pte> {
        let offset = leaf.packed_offset(Self::SWP_PFN_BITS)?;
        let fits = leaf.ty < 32 && offset <= SOFT_OFFSET_MASK >> SOFT_OFFSET_SHIFT;
        if !fits || leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
            return None;
        }
        let mut word =
            u64::from(leaf.ty) << SOFT_TYPE_SHIFT | offset << SOFT_OFFSET_SHIFT | SoftBits::SOFT.bits();
        for &(flag, bit) in SOFT_FLAGS {
            word |= if leaf.flags.contains(flag) { bit.bits() } else { 0 };
        }
        Some(Pte(word))
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
        Level::Pmd => fits(m.pfn) && m.pfn.get().is_multiple_of(1 << Generic::PMD_ORDER),
        _ => false,
    }
}

fn decode_soft(pte: Pte) -> SoftLeaf {
    let mut flags = SoftFlags::empty();
    for &(flag, bit) in SOFT_FLAGS {
        flags.set(flag, pte.0 & bit.bits() != 0);
    }
    let ty = ((pte.0 & SOFT_TYPE_MASK) >> SOFT_TYPE_SHIFT) as u8;
    let offset = (pte.0 & SOFT_OFFSET_MASK) >> SOFT_OFFSET_SHIFT;
    SoftLeaf::from_packed(ty, offset, flags, Generic::SWP_PFN_BITS)
}
