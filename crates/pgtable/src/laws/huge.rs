//! Laws of operations on huge leaves.

use super::board::RECORDED;
use super::flushes::{may_be_cached, tlbis};
use super::trial::{Broken, PortFacts, Trial};
use crate::{
    Access, Hw, Level, Mapping, Pfn, Pte, PteAttrs, PteView, Ptep, RecordingHw, TableMemory, VirtAddr, Walk,
};

const ADDR: VirtAddr = VirtAddr::new(0x4000_0000);

/// A table of one huge leaf.
fn table<P: PortFacts>(word: Pte) -> (RecordingHw, Ptep) {
    let mut hw = RecordingHw::with_tables_of(P::PTRS_PER_PTE);
    let p = hw.alloc_table(P::PTRS_PER_PTE, P::EMPTY[Level::Pmd as usize]);
    hw.store(p, word);
    hw.take_records();
    (hw, p)
}

pub(super) fn huge_operations<P: PortFacts>(t: &mut Trial<'_, P>) -> Result<(), Broken> {
    let port = t.port;
    for access in [PteAttrs::USER, PteAttrs::USER | PteAttrs::WRITE, PteAttrs::PROTNONE] {
        for recorded in [PteAttrs::empty(), PteAttrs::YOUNG, PteAttrs::DIRTY, RECORDED] {
            let m = Mapping {
                pfn: Pfn::new(1 << P::PMD_ORDER),
                level: Level::Pmd,
                attrs: access | recorded,
                pkey: 0,
            };
            if let Some(word) = port.encode(PteView::Present(m), Level::Pmd) {
                one_leaf(t, m, word)?;
            }
        }
    }
    Ok(())
}

fn one_leaf<P: PortFacts>(t: &mut Trial<'_, P>, m: Mapping, word: Pte) -> Result<(), Broken> {
    let port = t.port;
    let at = (word, Level::Pmd);
    let cached = may_be_cached(t, word, Level::Pmd);
    let is = |attrs: PteAttrs| PteView::Present(Mapping { attrs, ..m });

    let (mut hw, p) = table::<P>(word);
    let got = port.pmdp_get_and_clear(&mut hw, ADDR, p);
    t.word(|| "pmdp_get_and_clear returns".to_owned(), at, got, is(m.attrs))?;
    t.word(|| "pmdp_get_and_clear leaves".to_owned(), at, hw.peek(p), PteView::None)?;

    let (mut hw, p) = table::<P>(word);
    port.pmdp_set_wrprotect(&mut hw, ADDR, p);
    t.word(|| "pmdp_set_wrprotect".to_owned(), at, hw.peek(p), is(m.attrs - PteAttrs::WRITE))?;

    for (name, flushes) in [("pmdp_invalidate", true), ("pmdp_invalidate_ad", false)] {
        let (mut hw, p) = table::<P>(word);
        let got = if flushes {
            port.pmdp_invalidate(&mut hw, ADDR, p)
        } else {
            port.pmdp_invalidate_ad(&mut hw, ADDR, p)
        };
        t.word(|| format!("{name} returns"), at, got, is(m.attrs))?;
        let walk = port.walk(hw.peek(p), Level::Pmd, Access::Read);
        t.same(|| format!("walk of what {name} leaves"), at, walk, Walk::Fault)?;
        let flushed = tlbis(&hw.take_records()).any(|op| op.reaches::<P>(ADDR, Level::Pmd));
        t.same(|| format!("{name} flushes"), at, flushed || !flushes || !cached, true)?;
    }

    if m.attrs.contains(PteAttrs::USER) {
        let entry = port.encode(is(m.attrs | RECORDED | PteAttrs::WRITE), Level::Pmd);
        let (mut hw, p) = table::<P>(word);
        port.pmdp_set_access_flags(&mut hw, ADDR, p, entry.unwrap_or(word), true);
        let what = || "pmdp_set_access_flags to write".to_owned();
        let (now, written) = (hw.peek(p), m.attrs | RECORDED | PteAttrs::WRITE);
        // A port may make it soft-dirty by the way, as what it is given should have been.
        let soft_dirty = is(written | PteAttrs::SOFT_DIRTY);
        let expected = if port.decode(now, Level::Pmd) == soft_dirty { soft_dirty } else { is(written) };
        t.word(what, at, now, expected)?;
    }
    Ok(())
}
