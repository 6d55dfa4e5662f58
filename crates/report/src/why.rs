//! Why entries changed, or stayed as they are, as the causes in a call's records say.

use crate::events::written;
use crate::places::{Place, Places};
use ptelab::{Backend, Cause, Level, Pid, Pte, PteView, Ptep, Record, VirtAddr, Why};
use rustc_hash::FxHashMap;

/// An entry that a call wrote or left as it is, or the way to entries that it moved with their table; and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    pub(crate) place: Place,
    pub(crate) why: Why,
}

/// What the records of one call say of entries, in order.
pub(crate) fn decided(vm: &dyn Backend, places: &Places, records: &[Record]) -> Vec<Decided> {
    let mut found = Vec::new();
    let mut why = Why::default();
    let mut loaded = None;
    let mut note = |p: Ptep, why| found.extend(places.find(p).map(|place| Decided { place, why }));
    for record in records {
        match *record {
            Record::Why(now) => why = now,
            Record::Load(p, pte) => loaded = Some((p, pte)),
            Record::Hardware(p, ..) => note(p, why),
            Record::Kept(p, n, cause) => {
                for i in 0..n as usize {
                    note(p.add(i), Why::of(&[cause]));
                }
            }
            _ => {
                if let Some(p) = written(record)
                    && maps_pages(vm, places, record, p, loaded)
                {
                    note(p, why);
                }
            }
        }
    }
    found
}

/// Whether what was written maps pages, or did: a table that comes or goes is empty.
fn maps_pages(
    vm: &dyn Backend,
    places: &Places,
    record: &Record,
    p: Ptep,
    loaded: Option<(Ptep, Pte)>,
) -> bool {
    let Some(place) = places.find(p).filter(|place| place.level > Level::Pte) else { return true };
    let (old, new) = words(record, loaded);
    let leaf = |pte: Pte| !matches!(vm.words().decode(pte, place.level), PteView::None | PteView::Table(_));
    old.is_some_and(leaf) || new.is_some_and(leaf) || places.has_moved(&place)
}

/// What an entry was, where that is known, and what it was made.
fn words(record: &Record, loaded: Option<(Ptep, Pte)>) -> (Option<Pte>, Option<Pte>) {
    match *record {
        Record::Store(p, new) => (loaded.filter(|(q, _)| *q == p).map(|(_, old)| old), Some(new)),
        Record::Swap(_, old, new) | Record::CompareSwap(_, old, new, _) => (Some(old), Some(new)),
        _ => (None, None),
    }
}

/// The causes of what a call did, each once, those that led to others before them.
pub(crate) fn causes(records: &[Record]) -> Vec<&'static Cause> {
    let mut found = Vec::new();
    for record in records {
        let why = match *record {
            Record::Why(why) => why,
            Record::Kept(.., cause) => Why::of(&[cause]),
            _ => continue,
        };
        let mut led_to: Vec<&'static Cause> = why.causes().filter(|cause| !found.contains(cause)).collect();
        led_to.reverse();
        found.extend(led_to);
    }
    found
}

/// How a cause had a part in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The entry was written for it, or left as it is.
    Own,
    /// It led to a cause of the entry's, and may be about other entries: what changes a part of a block makes the port take the
    /// whole block apart.
    Behind,
}

/// The causes that had a part in an entry during one call, in the order in which they first had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reasons {
    all: Vec<(&'static Cause, Part)>,
}

impl Reasons {
    /// The causes.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Cause, Part)> + '_ {
        self.all.iter().copied()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The entry was written once more.
    pub(crate) fn add(&mut self, why: Why) {
        for (i, cause) in why.causes().enumerate() {
            self.note(cause, if i == 0 { Part::Own } else { Part::Behind });
        }
    }

    fn note(&mut self, cause: &'static Cause, part: Part) {
        match self.all.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, known)) if part == Part::Own => *known = part,
            Some(_) => {}
            None => self.all.push((cause, part)),
        }
    }

    /// What others say too.
    pub(crate) fn join(&mut self, other: &Self) {
        for (cause, part) in other.iter() {
            self.note(cause, part);
        }
    }
}

/// Entries side by side that have the same reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasoned {
    /// The address space, by the process that first had it.
    pub space: Pid,
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Number of their reasons in [`Lane::reasons`](crate::Lane::reasons).
    pub reasons: u32,
}

/// Reasons by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbered {
    known: FxHashMap<Vec<Why>, u32>,
}

impl Numbered {
    /// What was decided of which entries in one call, those that are alike together. New reasons are added to `all`.
    pub(crate) fn group(
        &mut self,
        places: &Places,
        mut decided: Vec<Decided>,
        all: &mut Vec<Reasons>,
    ) -> Vec<Reasoned> {
        let key = |one: &Decided| (one.place.space, one.place.level, one.place.addr);
        decided.sort_by_key(key);
        let mut found: Vec<Reasoned> = Vec::new();
        let mut whys: Vec<Why> = Vec::new();
        let mut last = (Vec::new(), None);
        for one in decided.chunk_by(|a, b| key(a) == key(b)) {
            whys.clear();
            for Decided { why, .. } in one {
                if !whys.contains(why) {
                    whys.push(*why);
                }
            }
            let Place { space, level, addr } = one[0].place;
            let end = addr.add(places.entry_size(level));
            let alike = last.0 == whys && last.1 == Some((space, level));
            match found.last_mut() {
                Some(before) if alike && before.end == addr => before.end = end,
                _ => {
                    let reasons = self.number(&whys, all);
                    found.push(Reasoned { space, start: addr, end, reasons });
                    last = (whys.clone(), Some((space, level)));
                }
            }
        }
        found
    }

    fn number(&mut self, whys: &[Why], all: &mut Vec<Reasons>) -> u32 {
        if let Some(&number) = self.known.get(whys) {
            return number;
        }
        let mut reasons = Reasons::default();
        for &why in whys {
            reasons.add(why);
        }
        let same = all.iter().position(|known| *known == reasons);
        let number = same.unwrap_or_else(|| {
            all.push(reasons);
            all.len() - 1
        }) as u32;
        self.known.insert(whys.to_vec(), number);
        number
    }
}
