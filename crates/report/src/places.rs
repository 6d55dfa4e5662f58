//! From entries as records name them to addresses.

use ptelab::{Backend, Level, Pid, Ptep, Shape, VirtAddr};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::ops::Range;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The address space, by the process that first had it.
    pub(crate) space: Pid,
    /// Level of its table.
    pub(crate) level: Level,
    /// First address that it maps.
    pub(crate) addr: VirtAddr,
}

/// By space and first address, which entries of a stretch may be others.
pub(crate) type Stretches = BTreeMap<(Pid, VirtAddr), Range<usize>>;

/// All entries of a stretch.
pub(crate) const WHOLE: Range<usize> = 0..usize::MAX;

fn joined(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// An address space.
#[derive(Clone, Copy, Debug)]
struct Space {
    /// Its root table.
    root: Ptep,
    /// The process that first had it.
    label: Pid,
    /// A process that has it now.
    user: Pid,
}

/// The tables of a machine, as of the last look.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    tables: FxHashMap<Ptep, Place>,
    before: FxHashMap<Ptep, Place>,
    /// Tables that the last call moved: where they stood, and where they stand.
    moved: Vec<Place>,
    spaces: Vec<Space>,
    processes: Vec<Pid>,
    shape: Shape,
}

impl Places {
    pub(crate) fn new(vm: &dyn Backend) -> Self {
        let mut places = Self {
            tables: FxHashMap::default(),
            before: FxHashMap::default(),
            moved: Vec::new(),
            spaces: Vec::new(),
            processes: Vec::new(),
            shape: vm.shape(),
        };
        places.refresh(vm);
        places
    }

    /// Bytes that one entry of `level` maps.
    pub(crate) const fn entry_size(&self, level: Level) -> u64 {
        self.shape.entry_size(level)
    }

    fn find_in(&self, tables: &FxHashMap<Ptep, Place>, p: Ptep) -> Option<Place> {
        let (first, table) = self.table_of(tables, p)?;
        let addr = table.addr.add((p.0 - first.0) * self.entry_size(table.level));
        Some(Place { addr, ..table })
    }

    /// The table that an entry stands in, and its first entry. Tables of a level are blocks of one size, aligned to it.
    fn table_of(&self, tables: &FxHashMap<Ptep, Place>, p: Ptep) -> Option<(Ptep, Place)> {
        Level::ALL.into_iter().find_map(|level| {
            let first = p.align_down(self.shape.entries(level));
            let table = tables.get(&first).filter(|table| table.level == level)?;
            Some((first, *table))
        })
    }

    /// Where an entry stands, or stood before the last look where its table is gone.
    pub(crate) fn find(&self, p: Ptep) -> Option<Place> {
        self.find_in(&self.tables, p).or_else(|| self.find_in(&self.before, p))
    }

    /// Follows a call in which these entries were written: the stretches of a table of page entries, or of the huge leaf in its place,
    /// that they stand in or stood in, by space and first address, each with the entries that may be others. Tables are looked for
    /// again where the call may have made or freed one; then those are all.
    pub(crate) fn follow(&mut self, vm: &dyn Backend, written: impl Iterator<Item = Ptep>) -> Stretches {
        self.moved.clear();
        let mut entries: Vec<(Ptep, Range<usize>)> = Vec::new();
        for p in written {
            // In a table of page entries, one stands for all.
            let table = self.table_of(&self.tables, p).filter(|(_, place)| place.level == Level::Pte);
            let (p, i) = table.map_or((p, 0), |(first, _)| (first, (p.0 - first.0) as usize));
            match entries.last_mut() {
                Some((last, range)) if *last == p => *range = joined(range, &(i..i + 1)),
                _ => entries.push((p, i..i + 1)),
            }
        }
        let mut stretches = Stretches::new();
        let found = self.find_all(&entries);
        let tables_changed =
            found.len() < entries.len() || found.iter().any(|(place, _)| place.level > Level::Pte);
        self.add_stretches(&mut stretches, found, tables_changed);
        if tables_changed || vm.processes() != self.processes {
            self.refresh(vm);
            self.add_stretches(&mut stretches, self.find_all(&entries), true);
        }
        stretches
    }

    fn find_all(&self, entries: &[(Ptep, Range<usize>)]) -> Vec<(Place, Range<usize>)> {
        let place =
            |(p, range): &(Ptep, Range<usize>)| Some((self.find_in(&self.tables, *p)?, range.clone()));
        entries.iter().filter_map(place).collect()
    }

    fn add_stretches(&self, to: &mut Stretches, found: Vec<(Place, Range<usize>)>, whole: bool) {
        let size = self.entry_size(Level::Pmd);
        for (place, range) in found.into_iter().filter(|(place, _)| place.level <= Level::Pmd) {
            let range = if whole { WHOLE } else { range };
            let known = to.entry((place.space, place.addr.align_down(size))).or_insert_with(|| range.clone());
            *known = joined(known, &range);
        }
    }

    /// Looks at all tables.
    fn refresh(&mut self, vm: &dyn Backend) {
        self.before = std::mem::take(&mut self.tables);
        self.processes = vm.processes();
        let old = std::mem::take(&mut self.spaces);
        for &user in &self.processes {
            let Ok(tables) = vm.tables(user) else { continue };
            let root = tables[0].first;
            if self.spaces.iter().any(|space| space.root == root) {
                continue;
            }
            let known = old.iter().find(|space| space.root == root);
            let label = known.map_or(user, |space| space.label);
            self.spaces.push(Space { root, label, user });
            let places =
                tables.iter().map(|t| (t.first, Place { space: label, level: t.level, addr: t.addr }));
            self.tables.extend(places);
        }
        for (first, now) in &self.tables {
            let was = self.before.get(first).filter(|was| was.space == now.space && was.addr != now.addr);
            self.moved.extend(was.into_iter().flat_map(|was| [*was, *now]));
        }
    }

    /// Whether the last call moved the table under an entry away, or one there, with all that it maps.
    pub(crate) fn has_moved(&self, entry: &Place) -> bool {
        let level = entry.level.below();
        self.moved
            .iter()
            .any(|&table| Some(table.level) == level && Place { level: entry.level, ..table } == *entry)
    }

    /// Address spaces that there are, each with a process that has it.
    pub(crate) fn spaces(&self) -> BTreeMap<Pid, Pid> {
        self.spaces.iter().map(|space| (space.label, space.user)).collect()
    }

    /// The address space of a process, if it lives.
    pub(crate) fn space_of(&self, vm: &dyn Backend, pid: Pid) -> Option<Pid> {
        if let Some(space) = self.spaces.iter().find(|space| space.user == pid) {
            return Some(space.label);
        }
        let root = vm.tables(pid).ok()?[0].first;
        self.spaces.iter().find(|space| space.root == root).map(|space| space.label)
    }
}
