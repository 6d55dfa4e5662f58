//! Words in neutral terms, by what a port says of its bits.

use crate::{
    BitField, EntryBits, EntryFormat, Level, Mapping, Pte, PteAttrs, PteView, SoftFlags, SoftLeaf, swp_type,
};
use bitflags::Flags;
use std::fmt::Write;

/// What a word says.
pub(crate) fn decode<A: EntryFormat>(arch: &A, pte: Pte, level: Level) -> PteView {
    if arch.is_none(pte, level) {
        return PteView::None;
    }
    let present = if level == Level::Pte { arch.pte_present(pte) } else { arch.pmd_present(pte) };
    if present && level != Level::Pte && !arch.pmd_leaf(pte) {
        return PteView::Table(arch.table_addr(pte, level));
    }
    let pte = if level == Level::Pte { pte } else { arch.pmd_pte(pte) };
    if !present {
        return PteView::Soft(decode_soft(arch, pte));
    }
    let pfn = arch.pte_pfn(pte);
    PteView::Present(Mapping { pfn, level, attrs: decode_attrs(arch, pte), pkey: arch.pte_pkey(pte) })
}

fn decode_attrs<A: EntryFormat>(arch: &A, pte: Pte) -> PteAttrs {
    let says = |attr: PteAttrs, is: bool| if is { attr.bits() } else { 0 };
    PteAttrs::from_bits_retain(
        says(PteAttrs::PROTNONE, !arch.pte_accessible(pte))
            | says(PteAttrs::USER, arch.pte_user(pte))
            | says(PteAttrs::WRITE, arch.pte_write(pte))
            | says(PteAttrs::EXEC, arch.pte_exec(pte))
            | says(PteAttrs::YOUNG, arch.pte_young(pte))
            | says(PteAttrs::DIRTY, arch.pte_dirty(pte))
            | says(PteAttrs::SOFT_DIRTY, arch.pte_soft_dirty(pte))
            | says(PteAttrs::SPECIAL, arch.pte_special(pte))
            | says(PteAttrs::UFFD, arch.pte_uffd_wp(pte))
            | says(PteAttrs::CONT, A::CONT.is_some_and(|bit| pte.has(bit))),
    )
}

/// The word for a view: the one that says all of it, if the port has one.
pub(crate) fn encode<A: EntryFormat>(arch: &A, view: PteView, level: Level) -> Option<Pte> {
    let word = match view {
        PteView::None => A::EMPTY[level as usize],
        PteView::Table(addr) => arch.mk_table(addr, level),
        PteView::Soft(leaf) if level == Level::Pte => arch.soft_leaf(leaf)?,
        PteView::Soft(leaf) if level == Level::Pmd => arch.pte_pmd(arch.soft_leaf(leaf)?),
        PteView::Present(m) if is_sensible::<A>(&m) && is_key(arch, m.pkey) => leaf(arch, &m),
        PteView::Soft(_) | PteView::Present(_) => return None,
    };
    (arch.decode(word, level) == view).then_some(word)
}

/// Whether a mapping can be one of a user's page: huge pages are naturally aligned, and contiguous blocks are of small pages (those
/// of huge ones are hugetlb's). A page without any access, and not `PROTNONE`, would be the kernel's.
fn is_sensible<A: EntryFormat>(m: &Mapping) -> bool {
    let access = m.attrs & (PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC);
    let allowed = if m.attrs.contains(PteAttrs::PROTNONE) {
        access.is_empty()
    } else {
        access.contains(PteAttrs::USER) || access == PteAttrs::EXEC
    };
    let pages = A::entry_size(m.level) >> A::PAGE_SHIFT;
    allowed
        && m.level <= Level::Pmd
        && m.pfn.get().is_multiple_of(pages)
        && !(m.level == Level::Pmd && m.attrs.contains(PteAttrs::CONT))
}

fn is_key<A: EntryFormat>(arch: &A, pkey: u8) -> bool {
    pkey == 0 || arch.arch_max_pkey() > Some(pkey)
}

fn leaf<A: EntryFormat>(arch: &A, m: &Mapping) -> Pte {
    let mut prot = arch.attr_bits(m.attrs);
    prot.0 |= A::PKEY.map_or(0, |key| key.bits(m.pkey.into()));
    let mut pte = arch.pfn_pte(m.pfn, prot);
    if !m.attrs.contains(PteAttrs::YOUNG) {
        // Some ports make every new entry young.
        pte = arch.pte_mkold(pte);
    }
    if m.level == Level::Pte { pte } else { arch.pmd_mkhuge(arch.pte_pmd(pte)) }
}

/// The bits that say attributes, where one bit says one.
pub(crate) fn plain_bits<A: EntryFormat>(arch: &A, attrs: PteAttrs) -> u64 {
    let said = |attr, bits: u64| if attrs.contains(attr) { bits } else { 0 };
    let optional = |bit: Option<A::Bits>| bit.map_or(0, A::Bits::word);
    let uffd = if arch.pgtable_supports_uffd_wp() { A::UFFD.word() } else { 0 };
    let valid = if attrs.contains(PteAttrs::PROTNONE) { A::PROTNONE } else { A::VALID };
    valid.word()
        | said(PteAttrs::USER, A::USER.word())
        | said(PteAttrs::WRITE, A::WRITE.word())
        | said(PteAttrs::EXEC, optional(A::EXEC))
        | said(PteAttrs::YOUNG, A::YOUNG.word())
        | said(PteAttrs::DIRTY, A::DIRTY.word())
        | said(PteAttrs::SOFT_DIRTY, arch.soft_dirty_bit())
        | said(PteAttrs::SPECIAL, A::SPECIAL.word())
        | said(PteAttrs::UFFD, uffd)
        | said(PteAttrs::CONT, optional(A::CONT))
}

/// A software entry. Its word is neither empty nor one of a page.
pub(crate) fn soft_leaf<A: EntryFormat>(arch: &A, leaf: SoftLeaf) -> Option<Pte> {
    let (ty, offset) = soft_fields::<A>();
    let packed = leaf.packed_offset(arch.swp_pfn_bits())?;
    let fits = leaf.ty <= swp_type::MARKER && packed <= offset.max();
    let unsaid = leaf.flags.contains(SoftFlags::SOFT_DIRTY) && !arch.has_soft_dirty()
        || leaf.flags.contains(SoftFlags::UFFD) && !arch.pgtable_supports_uffd_wp();
    if !fits || unsaid {
        return None;
    }
    let number = arch.softleaf_rules().number(leaf.ty);
    let said = A::SOFT_FLAGS.iter().filter(|(flag, _)| leaf.flags.contains(*flag));
    let flags = said.fold(0, |bits, (_, bit)| bits | bit.word());
    let word = Pte((ty.bits(number.into()) | offset.bits(packed) | flags) ^ A::SOFT_INVERTED);
    (!arch.pte_none(word)).then_some(word)
}

fn decode_soft<A: EntryFormat>(arch: &A, pte: Pte) -> SoftLeaf {
    let word = Pte(pte.0 ^ A::SOFT_INVERTED);
    let mut flags = SoftFlags::empty();
    for &(flag, bit) in A::SOFT_FLAGS {
        flags.set(flag, word.has(bit));
    }
    let (ty, offset) = soft_fields::<A>();
    let ty = arch.softleaf_rules().ty(ty.value(word) as u8);
    SoftLeaf::from_packed(ty, offset.value(word), flags, arch.swp_pfn_bits())
}

/// Type and offset.
fn soft_fields<A: EntryFormat>() -> (BitField, BitField) {
    let inverted = A::SOFT_INVERTED & A::SOFT_OFFSET_MASK != 0;
    let offset = if inverted { "offset, inverted" } else { "offset" };
    (BitField { name: "type", mask: A::SOFT_TYPE_MASK }, BitField { name: offset, mask: A::SOFT_OFFSET_MASK })
}

/// The names of a word's bits, and what its fields hold.
pub(crate) fn describe<A: EntryFormat>(arch: &A, pte: Pte, level: Level) -> String {
    match arch.decode(pte, level) {
        PteView::None => "none".to_owned(),
        PteView::Soft(leaf) => {
            let bits = names::<A::SoftBits>(pte, A::SOFT_TYPE_MASK | A::SOFT_OFFSET_MASK);
            let space = if bits.is_empty() { "" } else { " " };
            let number = arch.softleaf_rules().number(leaf.ty);
            format!("{bits}{space}type={number} offset={:#x}", leaf.offset)
        }
        PteView::Table(_) => names::<A::TableBits>(pte, arch.pfn_mask(pte, level)),
        PteView::Present(m) => {
            let frame = arch.pfn_mask(pte, level);
            let pte = if level == Level::Pte { pte } else { arch.pmd_pte(pte) };
            let key = A::PKEY.filter(|_| m.pkey != 0);
            let fields = leaf_fields::<A>().fold(frame, |mask, field| mask | field.mask);
            let mut text = names::<A::Bits>(pte, fields);
            for field in A::FIELDS.iter().chain(&key) {
                let _ = write!(text, " {}={}", field.name, field.value(pte));
            }
            text
        }
    }
}

/// The names of the bits that are set, fields apart.
fn names<B: Flags<Bits = u64>>(pte: Pte, fields: u64) -> String {
    bit_names(&B::from_bits_retain(pte.0 & !fields))
}

/// The fields of a leaf entry beside the frame.
fn leaf_fields<A: EntryFormat>() -> impl Iterator<Item = BitField> {
    A::FIELDS.iter().copied().chain(A::PKEY)
}

/// The bits and fields of a word.
pub(crate) fn fields<A: EntryFormat>(arch: &A, pte: Pte, level: Level) -> Vec<BitField> {
    let frame = BitField { name: "frame", mask: arch.pfn_mask(pte, level) };
    match arch.decode(pte, level) {
        PteView::Soft(_) => {
            let (ty, offset) = soft_fields::<A>();
            bit_fields::<A::SoftBits>([ty, offset])
        }
        PteView::Table(_) => bit_fields::<A::TableBits>([frame]),
        PteView::None | PteView::Present(_) if level == Level::Pmd => {
            let of_page = bit_fields::<A::Bits>(leaf_fields::<A>());
            let there =
                of_page.into_iter().map(|field| BitField { mask: arch.pmd_bits(field.mask), ..field });
            let mut fields: Vec<BitField> = there.filter(|field| field.mask != 0).chain([frame]).collect();
            fields.sort_by_key(|field| field.mask.trailing_zeros());
            fields
        }
        PteView::None | PteView::Present(_) => bit_fields::<A::Bits>(leaf_fields::<A>().chain([frame])),
    }
}

/// The named bits of a set, and fields beside them, from the lowest bit up.
fn bit_fields<B: Flags<Bits = u64>>(beside: impl IntoIterator<Item = BitField>) -> Vec<BitField> {
    let named = B::FLAGS.iter().map(|flag| BitField { name: flag.name(), mask: flag.value().bits() });
    let mut fields: Vec<BitField> = named.chain(beside).collect();
    fields.sort_by_key(|field| field.mask.trailing_zeros());
    fields
}

/// The names of the bits that are set, joined by `|`; bits without a name follow as one number. Empty for no bits.
fn bit_names<B: Flags<Bits = u64>>(bits: &B) -> String {
    let mut names = bits.iter_names();
    let mut out: Vec<String> = names.by_ref().map(|(name, _)| name.to_owned()).collect();
    let rest = names.remaining().bits();
    if rest != 0 {
        out.push(format!("{rest:#x}"));
    }
    out.join("|")
}
