//! Laws of words: what an entry says, and what is made of it.

use super::trial::{Broken, PortFacts, Trial, is_expressible, mapping_text, word_text};
use crate::{
    Access, Fpb, Level, Mapping, Pfn, PhysAddr, Pte, PteAttrs, PteView, SoftFlags, SoftLeaf, VmFlags, Walk,
};

type Held = Result<(), Broken>;

/// Every subset of attributes.
pub(super) fn all_attrs() -> impl Iterator<Item = PteAttrs> {
    (0..=PteAttrs::all().bits()).filter_map(PteAttrs::from_bits)
}

/// Some mappings with all subsets of attributes, whether or not a word says them.
fn mappings<P: PortFacts>() -> impl Iterator<Item = Mapping> {
    let huge = |nr: u64| (Level::Pmd, nr << P::PMD_ORDER);
    let frames = [(Level::Pte, 0x1), (Level::Pte, 0x4_5671), huge(1), huge(0x91a)];
    all_attrs().flat_map(move |attrs| {
        frames.into_iter().flat_map(move |(level, pfn)| {
            [0, 1, 7, 15, 16].map(|pkey| Mapping { pfn: Pfn::new(pfn), level, attrs, pkey })
        })
    })
}

/// Every mapping that has a word, with the word.
pub(super) fn encoded<P: PortFacts>(port: &P) -> impl Iterator<Item = (Mapping, Pte)> + '_ {
    mappings::<P>().filter_map(|m| Some((m, port.encode(PteView::Present(m), m.level)?)))
}

pub(super) fn decode_undoes_encode<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    for m in mappings::<P>() {
        let word = t.port.encode(PteView::Present(m), m.level);
        let level = m.level;
        let is = is_expressible::<P>(t.on, &m);
        let operation = || {
            let why = if is { " (there is none where two attributes share a bit)" } else { "" };
            format!("encode gives a word for {}{why}", mapping_text(&m))
        };
        t.same(operation, (Pte::NONE, level), word.is_some(), is)?;
        let Some(word) = word else { continue };
        t.word(|| "decode(encode(view))".to_owned(), (word, level), word, PteView::Present(m))?;
        let described = !t.port.describe(word, level).is_empty();
        t.same(|| "describe is not empty".to_owned(), (word, level), described, true)?;
    }
    Ok(())
}

pub(super) fn what_does_not_fit_has_no_word<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    let attrs = PteAttrs::USER | PteAttrs::YOUNG;
    let encode = |level, at, pfn| {
        let mapping = Mapping { pfn: Pfn::new(pfn), level, attrs, pkey: 0 };
        port.encode(PteView::Present(mapping), at)
    };
    let pages = |level| P::entry_size(level) >> P::PAGE_SHIFT;
    let frames = P::PFN_MASK >> P::PFN_SHIFT;
    // Where every address has its frame's bits, one that is not a frame's.
    let frame = |pfn: u64| PhysAddr::new(pfn.checked_mul(P::PAGE_SIZE).unwrap_or(1));
    let last = encode(Level::Pte, Level::Pte, frames);
    t.same(|| "the last frame has a word".to_owned(), (Pte::NONE, Level::Pte), last.is_some(), true)?;
    let none = [
        ("a frame too many", encode(Level::Pte, Level::Pte, frames + 1)),
        ("a page at PMD level", encode(Level::Pte, Level::Pmd, pages(Level::Pmd))),
        ("a huge page that is not aligned", encode(Level::Pmd, Level::Pmd, pages(Level::Pmd) + 1)),
        ("a leaf at PUD level", encode(Level::Pud, Level::Pud, pages(Level::Pud))),
        ("a table in a frame too many", port.encode(PteView::Table(frame(frames + 1)), Level::Pmd)),
        ("a table under a page entry", port.encode(PteView::Table(frame(1)), Level::Pte)),
        ("a marker at PUD level", port.encode(PteView::Soft(SoftLeaf::GUARD), Level::Pud)),
    ];
    for (what, word) in none {
        t.same(|| format!("encode: {what}"), (Pte::NONE, Level::Pte), word, None)?;
    }
    Ok(())
}

pub(super) fn tables_are_told_from_leaves<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for level in Level::ALL {
        let (none, empty) = (port.encode(PteView::None, level), P::EMPTY[level as usize]);
        t.same(|| "encode(None)".to_owned(), (Pte::NONE, level), none, Some(empty))?;
        t.word(|| "the empty entry".to_owned(), (Pte::NONE, level), empty, PteView::None)?;
        let walk = port.walk(empty, level, Access::Read);
        t.same(|| "walk of the empty entry".to_owned(), (empty, level), walk, Walk::Fault)?;
    }
    let addr = PhysAddr::new(0x1234 << P::PAGE_SHIFT);
    for level in &Level::ALL[1..] {
        let level = *level;
        let table = port.mk_table(addr, level);
        t.word(|| "mk_table".to_owned(), (Pte::NONE, level), table, PteView::Table(addr))?;
        let again = port.encode(PteView::Table(addr), level);
        t.same(|| "encode(Table)".to_owned(), (table, level), again, Some(table))?;
        let seen = (level == Level::Pmd && port.pmd_leaf(table), port.is_none(table, level));
        t.same(|| "pmd_leaf, is_none".to_owned(), (table, level), seen, (false, false))?;
        let walk = port.walk(table, level, Access::Read);
        t.same(|| "walk, as a leaf".to_owned(), (table, level), walk, Walk::Fault)?;
    }
    Ok(())
}

pub(super) fn software_entries_round_trip<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for ty in 0..32 {
        for offset in [0, 1, 2, 4, 7, 0xf_ffff, 1 << 34, 3 << 36, (1 << 50) - 1] {
            for flags in (0..32).map(SoftFlags::from_bits_retain) {
                software_entry(t, SoftLeaf { ty, offset, flags })?;
            }
        }
    }
    for (ty, offset) in [(32, 1), (0, 1 << P::SOFT_OFFSET_MASK.count_ones())] {
        let leaf = SoftLeaf { ty, offset, flags: SoftFlags::empty() };
        let word = port.soft_leaf(leaf);
        t.same(|| format!("soft_leaf({leaf:x?})"), (Pte::NONE, Level::Pte), word, None)?;
    }
    Ok(())
}

fn software_entry<P: PortFacts>(t: &mut Trial<'_, P>, leaf: SoftLeaf) -> Held {
    let port = t.port;
    let word = port.soft_leaf(leaf);
    let unsaid = leaf.flags.contains(SoftFlags::SOFT_DIRTY) && !port.has_soft_dirty()
        || leaf.flags.contains(SoftFlags::UFFD) && !port.pgtable_supports_uffd_wp();
    let empty = leaf.ty == 0 && leaf.flags.is_empty() && P::EMPTY_SOFT_OFFSET == Some(leaf.offset);
    let records = !leaf.is_migration() && leaf.flags.intersects(SoftFlags::YOUNG | SoftFlags::DIRTY);
    let no_frame = leaf.is_migration() && leaf.offset >> port.swp_pfn_bits() != 0;
    let says = || format!("soft_leaf({leaf:x?})");
    let max = P::SOFT_OFFSET_MASK >> P::SOFT_OFFSET_MASK.trailing_zeros();
    let fits = leaf.packed_offset(port.swp_pfn_bits()).is_some_and(|packed| packed <= max);
    let has_word = fits && !(unsaid || empty || records || no_frame);
    t.same(says, (Pte::NONE, Level::Pte), word.is_some(), has_word)?;
    let Some(word) = word else { return Ok(()) };
    let looks_huge = P::SOFT_DIRTY_LOOKS_HUGE && leaf.flags.contains(SoftFlags::SOFT_DIRTY);
    let huge = port.pte_pmd(word);
    // What stands for a huge page names its frame, and how the page was mapped by its type.
    let of_huge = P::HUGE_SOFT_LEAVES
        && port.has_pmd_softleaves()
        && !leaf.flags.contains(SoftFlags::EXCLUSIVE)
        && leaf.pfn().is_some_and(|pfn| pfn.get() >> port.swp_pfn_bits() == 0);
    for (level, word) in [(Level::Pte, word), (Level::Pmd, huge)] {
        if level == Level::Pmd && (looks_huge || !of_huge) {
            continue;
        }
        t.word(says, (word, level), word, PteView::Soft(leaf))?;
        let again = port.encode(PteView::Soft(leaf), level);
        t.same(|| "encode(decode(word))".to_owned(), (word, level), again, Some(word))?;
        let walk = port.walk(word, level, Access::Read);
        t.same(|| "walk".to_owned(), (word, level), walk, Walk::Fault)?;
    }
    let seen = [port.pte_none(word), port.pte_present(word)];
    t.same(|| "pte_none, pte_present".to_owned(), (word, Level::Pte), seen, [false, false])?;
    if of_huge {
        let seen = [port.pmd_none(huge), port.pmd_present(huge)];
        let what = || "pmd_none, pmd_present".to_owned();
        t.same(what, (huge, Level::Pmd), seen, [false, looks_huge])?;
    }
    Ok(())
}

pub(super) fn predicates_say_what_the_view_says<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let p = t.port;
    for (m, word) in encoded(p) {
        let at = (word, m.level);
        let is_huge = m.level == Level::Pmd;
        for (attr, of_page, of_huge) in predicates::<P>() {
            let is = if is_huge { of_huge(p, word) } else { of_page(p, word) };
            t.same(|| format!("predicate of {attr:?}"), at, is, m.attrs.contains(attr))?;
        }
        let there = if is_huge {
            (p.pmd_present(word), p.pmd_none(word), p.pmd_pfn(word), p.pmd_leaf(word))
        } else {
            (p.pte_present(word), p.pte_none(word), p.pte_pfn(word), false)
        };
        t.same(|| "present, none, pfn, leaf".to_owned(), at, there, (true, false, m.pfn, is_huge))?;
    }
    Ok(())
}

/// An attribute, and what asks for it, of a page's entry and of a huge page's.
type Predicate<P> = (PteAttrs, fn(&P, Pte) -> bool, fn(&P, Pte) -> bool);

fn predicates<P: PortFacts>() -> [Predicate<P>; 7] {
    [
        (PteAttrs::PROTNONE, P::pte_protnone, P::pmd_protnone),
        (PteAttrs::WRITE, P::pte_write, P::pmd_write),
        (PteAttrs::YOUNG, P::pte_young, P::pmd_young),
        (PteAttrs::DIRTY, P::pte_dirty, P::pmd_dirty),
        (PteAttrs::SOFT_DIRTY, P::pte_soft_dirty, P::pmd_soft_dirty),
        (PteAttrs::SPECIAL, P::pte_special, P::pmd_special),
        (PteAttrs::UFFD, P::pte_uffd_wp, P::pmd_uffd_wp),
    ]
}

/// Makes one entry from another.
type Make<P> = fn(&P, Pte) -> Pte;

/// A helper: its name, what it does to a page's entry and to a huge page's, and what it adds to and takes from it.
type Helper<P> = (&'static str, Make<P>, Make<P>, PteAttrs, PteAttrs);

fn helpers<P: PortFacts>(t: &Trial<'_, P>) -> [Helper<P>; 11] {
    let no = PteAttrs::empty();
    let soft_dirty = if t.port.has_soft_dirty() { PteAttrs::SOFT_DIRTY } else { no };
    let dirtied = if P::mkwrite_dirties(t.on) { PteAttrs::DIRTY } else { no };
    let (read, denied) = if P::VALID_PROTNONE { (PteAttrs::USER, PteAttrs::PROTNONE) } else { (no, no) };
    let (uffd, protected) =
        if t.port.pgtable_supports_uffd_wp() { (PteAttrs::UFFD, PteAttrs::WRITE) } else { (no, no) };
    [
        ("pte_mkwrite", P::pte_mkwrite, P::pmd_mkwrite, PteAttrs::WRITE | read | dirtied, denied),
        ("pte_wrprotect", P::pte_wrprotect, P::pmd_wrprotect, no, PteAttrs::WRITE),
        ("pte_mkdirty", P::pte_mkdirty, P::pmd_mkdirty, PteAttrs::DIRTY | soft_dirty, no),
        ("pte_mkclean", P::pte_mkclean, P::pmd_mkclean, no, PteAttrs::DIRTY),
        ("pte_mkyoung", P::pte_mkyoung, P::pmd_mkyoung, PteAttrs::YOUNG, no),
        ("pte_mkold", P::pte_mkold, P::pmd_mkold, no, PteAttrs::YOUNG),
        ("pte_mkspecial", P::pte_mkspecial, P::pmd_mkspecial, PteAttrs::SPECIAL, no),
        ("pte_mkuffd_wp", P::pte_mkuffd_wp, P::pmd_mkuffd_wp, uffd, protected),
        ("pte_clear_uffd_wp", P::pte_clear_uffd_wp, P::pmd_clear_uffd_wp, no, uffd),
        ("pte_mksoft_dirty", P::pte_mksoft_dirty, P::pmd_mksoft_dirty, soft_dirty, no),
        ("pte_clear_soft_dirty", P::pte_clear_soft_dirty, P::pmd_clear_soft_dirty, no, soft_dirty),
    ]
}

pub(super) fn helpers_change_what_they_name<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let table = helpers(t);
    for (m, word) in encoded(t.port) {
        for &(name, of_page, of_huge, adds, takes) in &table {
            let mut attrs = m.attrs.difference(takes) | adds;
            let readable = takes.contains(PteAttrs::WRITE) && P::wrprotect_makes_readable(t.on);
            attrs.set(
                PteAttrs::USER,
                attrs.contains(PteAttrs::USER) || readable && !attrs.contains(PteAttrs::PROTNONE),
            );
            let expected = PteView::Present(Mapping { attrs, ..m });
            let unsaid = m.level == Level::Pmd && name == "pte_mkspecial" && !P::HUGE_MKSPECIAL;
            let expected = if unsaid { PteView::Present(m) } else { expected };
            let helper = if m.level == Level::Pmd { of_huge } else { of_page };
            t.word(|| name.to_owned(), (word, m.level), helper(t.port, word), expected)?;
        }
    }
    Ok(())
}

/// What a change of protection leaves alone.
const KEPT: PteAttrs = PteAttrs::YOUNG
    .union(PteAttrs::DIRTY)
    .union(PteAttrs::SOFT_DIRTY)
    .union(PteAttrs::SPECIAL)
    .union(PteAttrs::UFFD)
    .union(PteAttrs::CONT);

/// What a page says under another protection, of which a fresh page says `fresh`.
pub(super) fn under<P: PortFacts>(old: PteAttrs, fresh: PteAttrs) -> PteAttrs {
    let made = if P::MODIFY_MAKES_YOUNG { fresh & PteAttrs::YOUNG } else { PteAttrs::empty() };
    let ages = P::MODIFY_MAKES_OLD && fresh.contains(PteAttrs::PROTNONE);
    let lost = if ages { PteAttrs::YOUNG } else { PteAttrs::empty() };
    (old & KEPT).difference(lost) | fresh.difference(KEPT) | made
}

pub(super) fn modify_keeps_the_rest<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for (m, word) in encoded(port) {
        for flags in (0..16).map(VmFlags::from_bits_retain) {
            let prot = port.vm_get_page_prot(flags);
            let PteView::Present(fresh) = port.decode(port.pfn_pte(Pfn::new(1), prot), Level::Pte) else {
                continue;
            };
            let attrs = under::<P>(m.attrs, fresh.attrs);
            let expected = Mapping { attrs, pkey: fresh.pkey, ..m };
            if m.level == Level::Pte {
                let new = port.pte_modify(word, prot);
                let what = || format!("pte_modify to {flags:?}");
                t.word(what, (word, m.level), new, PteView::Present(expected))?;
                continue;
            }
            let new = port.pmd_modify(word, prot);
            let mut lost = PteAttrs::empty();
            lost.set(PteAttrs::DIRTY, !P::pmd_modify_keeps_dirty(t.on));
            lost.set(PteAttrs::SPECIAL, !P::pmd_modify_keeps_special(t.on));
            let close = match port.decode(new, m.level) {
                PteView::Present(got) => {
                    PteView::Present(Mapping { attrs: got.attrs | lost & m.attrs, ..got })
                }
                other => other,
            };
            let what = || format!("pmd_modify to {flags:?} makes {}", word_text(port, new, m.level));
            t.same(what, (word, m.level), close, PteView::Present(expected))?;
        }
    }
    Ok(())
}

/// A private mapping is written by way of a fault, which copies (`vm_get_page_prot`; SDM and Arm ARM have no word on it).
pub(super) fn mappings_get_their_protection<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    let accesses = VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC;
    for flags in (0..16).map(VmFlags::from_bits_retain) {
        let word = port.pfn_pte(Pfn::new(1), port.vm_get_page_prot(flags));
        let PteView::Present(m) = port.decode(word, Level::Pte) else { continue };
        let shared = flags.contains(VmFlags::WRITE | VmFlags::SHARED);
        for (attr, expected) in [(PteAttrs::WRITE, shared), (PteAttrs::PROTNONE, !flags.intersects(accesses))]
        {
            let what = || format!("vm_get_page_prot of {flags:?}: {attr:?}");
            t.same(what, (word, Level::Pte), m.attrs.contains(attr), expected)?;
        }
    }
    Ok(())
}

pub(super) fn advancing_changes_the_frame_only<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    for (m, word) in encoded(t.port).filter(|(m, _)| m.level == Level::Pte) {
        for n in [0, 1, 15, P::PTRS_PER_PTE - 1] {
            let next = t.port.pte_advance_pfn(word, n);
            let expected = PteView::Present(Mapping { pfn: m.pfn.add(n as u64), ..m });
            t.word(|| format!("pte_advance_pfn by {n}"), (word, m.level), next, expected)?;
        }
    }
    Ok(())
}

pub(super) fn invalid_huge_pages<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for (m, word) in encoded(port).filter(|(m, _)| m.level == Level::Pmd) {
        let invalid = port.pmd_mkinvalid(word);
        let seen = (port.pmd_present(invalid), port.pmd_leaf(invalid), port.pmd_pfn(invalid));
        let what = || format!("pmd_mkinvalid makes {}", word_text(port, invalid, m.level));
        t.same(what, (word, m.level), seen, (true, true, m.pfn))?;
        let walk = port.walk(invalid, Level::Pmd, Access::Read);
        t.same(|| "walk of pmd_mkinvalid".to_owned(), (word, m.level), walk, Walk::Fault)?;
    }
    Ok(())
}

pub(super) fn huge_pages_are_made_of_small_ones<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    for flags in (0..16).map(VmFlags::from_bits_retain) {
        let (pfn, prot) = (Pfn::new(2 << P::PMD_ORDER), port.vm_get_page_prot(flags));
        let (small, huge) = (port.pfn_pte(pfn, prot), port.pfn_pmd(pfn, prot));
        let PteView::Present(m) = port.decode(small, Level::Pte) else { continue };
        let expected = PteView::Present(Mapping { level: Level::Pmd, ..m });
        t.word(|| format!("pfn_pmd with {flags:?}"), (small, Level::Pmd), huge, expected)?;
        let again = port.encode(expected, Level::Pmd);
        t.same(|| "encode of it".to_owned(), (huge, Level::Pmd), again, Some(huge))?;
    }
    Ok(())
}

pub(super) fn the_walker_honours_permissions<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let (port, sets) = (t.port, P::walker_sets(t.on));
    for (m, word) in encoded(port) {
        let is = |attr| m.attrs.contains(attr);
        let reads = is(PteAttrs::USER) && (is(PteAttrs::YOUNG) || sets);
        let writes = reads && is(PteAttrs::WRITE) && (is(PteAttrs::DIRTY) || sets);
        let accesses = [
            (Access::Read, reads, PteAttrs::YOUNG),
            (Access::Write, writes, PteAttrs::YOUNG | PteAttrs::DIRTY),
        ];
        for (access, goes, records) in accesses {
            let walk = port.walk(word, m.level, access);
            let what = || format!("walk for {access:?}");
            t.same(what, (word, m.level), walk != Walk::Fault, goes)?;
            if let Walk::Allowed(after) = walk {
                let expected = PteView::Present(Mapping { attrs: m.attrs | records, ..m });
                t.word(what, (word, m.level), after, expected)?;
            }
            if P::HUGE_BY_PLACE {
                continue;
            }
            let elsewhere = if m.level == Level::Pte { Level::Pmd } else { Level::Pte };
            let walk = port.walk(word, elsewhere, access);
            t.same(|| format!("walk at {elsewhere:?} level"), (word, m.level), walk, Walk::Fault)?;
        }
    }
    Ok(())
}

/// What makes an entry writable and dirty leaves nothing for hardware to set: a walker that sets no flags can write.
pub(super) fn software_dirty_is_hardware_dirty<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    let shared = VmFlags::READ | VmFlags::WRITE | VmFlags::SHARED;
    let prot = port.vm_get_page_prot(shared);
    for (m, word) in encoded(port).filter(|(m, _)| m.level == Level::Pte && m.attrs.contains(PteAttrs::USER))
    {
        let made = [
            ("pte_modify to shared and writable", port.pte_modify(word, prot)),
            ("pte_mkwrite", port.pte_mkwrite(word)),
            ("pte_mkdirty", port.pte_mkdirty(word)),
        ];
        for (name, new) in made {
            let PteView::Present(now) = port.decode(new, Level::Pte) else { continue };
            let whole = PteAttrs::USER | PteAttrs::WRITE | PteAttrs::YOUNG | PteAttrs::DIRTY;
            if now.attrs.contains(whole) {
                let what =
                    || format!("a write through what {name} makes, {}", word_text(port, new, Level::Pte));
                let walk = port.walk(new, Level::Pte, Access::Write);
                let writes = matches!(walk, Walk::Allowed(after) if after == new || P::DIRTY_ON_STORE);
                t.same(what, (word, m.level), writes, true)?;
            }
        }
    }
    Ok(())
}

/// What `__pte_batch_clear_ignored` (`mm/internal.h`, 7.3) leaves to compare.
fn cleaned<P: PortFacts>(port: &P, mut pte: Pte, flags: Fpb) -> Pte {
    if !flags.contains(Fpb::RESPECT_DIRTY) {
        pte = port.pte_mkclean(pte);
    }
    if !flags.contains(Fpb::RESPECT_SOFT_DIRTY) {
        pte = port.pte_clear_soft_dirty(pte);
    }
    if !flags.contains(Fpb::RESPECT_WRITE) {
        pte = port.pte_wrprotect(pte);
    }
    port.pte_mkold(pte)
}

fn is_one_batch_by_mask<P: PortFacts>(port: &P, a: Pte, b: Pte, flags: Fpb) -> bool {
    (a.0 ^ b.0) & !port.batch_ignore(flags) == 0
}

fn all_fpb() -> impl Iterator<Item = Fpb> {
    (0..8).map(Fpb::from_bits_retain)
}

/// Batches are found by mask wherever the port says so.
pub(super) fn batches_are_found_by_mask<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    let mut random = fastrand::Rng::with_seed(1);
    for i in 0..1280 {
        // Each bit alone, and with another one.
        let a = random.u64(..);
        let other = if i < 640 { 0 } else { 1 << random.u32(..64) };
        let b = a ^ 1 << (i % 64) ^ other;
        for flags in all_fpb() {
            let (a, b) = (Pte(a), Pte(b));
            let (clean_a, clean_b) = (cleaned(port, a, flags), cleaned(port, b, flags));
            let what = || format!("batch_clean with {flags:?}");
            t.same(what, (a, Level::Pte), port.batch_clean(a, flags), clean_a)?;
            if port.batch_by_mask(flags) {
                let by_mask = is_one_batch_by_mask(port, a, b, flags);
                let what = || format!("one batch by mask with {b:?} and {flags:?}");
                t.same(what, (a, Level::Pte), by_mask, clean_a == clean_b)?;
            }
        }
    }
    Ok(())
}

/// Where the port says that a mask is not enough, mappings that hardware has written to show it.
pub(super) fn masks_are_given_up_for_a_reason<P: PortFacts>(t: &mut Trial<'_, P>) -> Held {
    let port = t.port;
    if !P::walker_sets(t.on) {
        return Ok(());
    }
    let (write, dirty) = (PteAttrs::WRITE, PteAttrs::DIRTY);
    let mut words = Vec::new();
    for attrs in [PteAttrs::empty(), write, dirty, write | dirty] {
        let m = Mapping { pfn: Pfn::new(1), level: Level::Pte, attrs: attrs | PteAttrs::USER, pkey: 0 };
        let word = port.encode(PteView::Present(m), Level::Pte);
        let what = || "plain user pages have a word".to_owned();
        t.same(what, (Pte::NONE, Level::Pte), word.is_some(), true)?;
        let Some(word) = word else { continue };
        words.push(word);
        if let Walk::Allowed(after) = port.walk(port.pte_mkyoung(word), Level::Pte, Access::Write) {
            words.push(after);
        }
    }
    for flags in all_fpb() {
        let differs = words.iter().any(|&a| {
            words.iter().any(|&b| {
                let same = cleaned(port, a, flags) == cleaned(port, b, flags);
                same != is_one_batch_by_mask(port, a, b, flags)
            })
        });
        let what = || format!("batch_by_mask with {flags:?}");
        t.same(what, (Pte::NONE, Level::Pte), port.batch_by_mask(flags), !differs)?;
    }
    Ok(())
}
