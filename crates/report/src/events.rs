//! What a call did, in the order in which it did it, at addresses.

use crate::places::Places;
use ptelab::{Event, Level, Pid, Ptep, Record, TlbScope, VirtAddr};

/// One thing that a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// The driver formed a batch of so many present entries, and changed them in one transaction.
    Batch(VirtAddr, u64),
    /// So many entries were written one after the other, outside a batch.
    Write(VirtAddr, u64),
    /// A contiguous block was made of single entries.
    Fold(VirtAddr),
    /// A contiguous block was taken apart.
    Unfold(VirtAddr),
    /// Translations of a range were flushed: first address, end, instructions.
    Flush(VirtAddr, VirtAddr, u32),
    /// All translations were flushed.
    FlushAll,
}

/// The entry that a record writes, and whether it reads it in the same step.
pub(crate) const fn written(record: &Record) -> Option<Ptep> {
    match *record {
        Record::Store(p, _) | Record::Swap(p, ..) | Record::CompareSwap(p, _, _, true) => Some(p),
        _ => None,
    }
}

/// How many primitives a record stands for.
pub(crate) fn primitives(record: &Record) -> u64 {
    match *record {
        Record::Tlbi(op) => op.ops.into(),
        Record::Hardware(..) | Record::Event(_) | Record::Why(_) | Record::Kept(..) => 0,
        _ => 1,
    }
}

/// A block that is being rewritten: what for, and how many of its entries are still to be stored.
struct Conversion {
    folds: bool,
    placed: bool,
    stores_left: usize,
}

/// Entries written one after the other by one kind of primitive.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Group {
    first: Ptep,
    n: u64,
    exchanged: bool,
    at: u64,
}

struct Reader<'a> {
    places: &'a Places,
    cont_ptes: usize,
    found: Vec<Found>,
    /// Primitives so far.
    clock: u64,
    conversion: Option<Conversion>,
    /// Length of a batch whose first entry is not written yet.
    formed: Option<u64>,
    /// Entries of the batch that is being changed.
    batch: Option<(Ptep, Ptep)>,
    group: Option<Group>,
}

/// Something that a call did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Primitives before it.
    pub(crate) at: u64,
    /// The address space whose entries it was about, where it was about entries.
    pub(crate) space: Option<Pid>,
    /// What.
    pub(crate) event: TraceEvent,
}

/// What the records of one call say.
pub(crate) fn events(places: &Places, cont_ptes: usize, records: &[Record]) -> Vec<Found> {
    let mut reader = Reader {
        places,
        cont_ptes,
        found: Vec::new(),
        clock: 0,
        conversion: None,
        formed: None,
        batch: None,
        group: None,
    };
    for record in records {
        reader.read(record);
        reader.clock += primitives(record);
    }
    reader.end_group();
    reader.found
}

impl Reader<'_> {
    fn read(&mut self, record: &Record) {
        match *record {
            Record::Event(Event::Batch(n)) => {
                self.end_group();
                self.formed = Some(n.into());
            }
            Record::Event(Event::Fold) => self.convert(true),
            Record::Event(Event::Unfold) => self.convert(false),
            Record::Event(Event::Fault(_)) => self.end_group(),
            Record::Tlbi(op) => {
                self.end_group();
                let event = match op.scope {
                    TlbScope::All => TraceEvent::FlushAll,
                    TlbScope::Range { start, end, .. } => TraceEvent::Flush(start, end, op.ops),
                };
                self.found.push(Found { at: self.clock, space: None, event });
            }
            _ => {
                if let Some(p) = written(record) {
                    self.write(p, !matches!(record, Record::Store(..)));
                }
            }
        }
    }

    fn convert(&mut self, folds: bool) {
        self.end_group();
        self.conversion = Some(Conversion { folds, placed: false, stores_left: self.cont_ptes });
    }

    fn write(&mut self, p: Ptep, exchanged: bool) {
        if self.in_conversion(p, exchanged) {
            return;
        }
        let Some(place) = self.places.find(p).filter(|place| place.level == Level::Pte) else { return };
        if let Some(n) = self.formed.take() {
            self.batch = Some((p, p.add(n as usize)));
            let event = TraceEvent::Batch(place.addr, n);
            self.found.push(Found { at: self.clock, space: Some(place.space), event });
        }
        if self.batch.is_some_and(|(first, end)| first <= p && p < end) {
            return;
        }
        self.batch = None;
        match &mut self.group {
            Some(group) if group.exchanged == exchanged && group.first.add(group.n as usize) == p => {
                group.n += 1;
            }
            _ => {
                self.end_group();
                self.group = Some(Group { first: p, n: 1, exchanged, at: self.clock });
            }
        }
    }

    /// Whether a write is part of the rewriting of a block, whose entries are first taken out, then stored.
    fn in_conversion(&mut self, p: Ptep, exchanged: bool) -> bool {
        let Some(conversion) = &mut self.conversion else { return false };
        if !conversion.placed {
            conversion.placed = true;
            if let Some(place) = self.places.find(p) {
                let make = if conversion.folds { TraceEvent::Fold } else { TraceEvent::Unfold };
                let event = make(place.addr);
                self.found.push(Found { at: self.clock, space: Some(place.space), event });
            }
        }
        if !exchanged {
            conversion.stores_left -= 1;
            if conversion.stores_left == 0 {
                self.conversion = None;
            }
        }
        true
    }

    /// A transaction takes entries out and stores them again: that is one thing.
    fn end_group(&mut self) {
        let Some(group) = self.group.take() else { return };
        let Some(place) = self.places.find(group.first) else { return };
        let write = TraceEvent::Write(place.addr, group.n);
        let (at, space, event) = (group.at, Some(place.space), write);
        if self.found.last().is_none_or(|last| (last.space, last.event) != (space, event)) {
            self.found.push(Found { at, space, event });
        }
    }
}
