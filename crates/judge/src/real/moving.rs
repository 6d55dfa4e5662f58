//! Which memory a scenario uses, and moving it to where nothing else is.

use ptelab_scenario::{Expect, Item, Line, Repeat, Scenario};
use std::fmt;

/// End of the addresses that a process can have on every port with 48 bits or 47.
const TASK_SIZE: u64 = 1 << 47;
/// Scenarios are moved by multiples of this, so that they use the same entries of the same tables, but for those of the topmost levels.
const STEP: u64 = 1 << 30;

/// Addresses from `start` up to `end`, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddrRange {
    /// The first.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

impl AddrRange {
    /// Whether the two have an address in common.
    pub const fn intersects(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    const fn moved(&self, by: u64) -> Self {
        Self { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by) }
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.end)
    }
}

/// What a scenario's calls name: in order, none touching the next. Addresses that no process can have are no memory, and 0 is none.
pub(super) fn ranges(scenario: &Scenario) -> Vec<AddrRange> {
    let mut all = Vec::new();
    collect(&scenario.items, &mut all);
    all.sort_unstable();
    all.dedup_by(|next, last| {
        let joined = next.start <= last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
    all
}

fn collect(items: &[Item], all: &mut Vec<AddrRange>) {
    for item in items {
        match item {
            Item::Line(line) => {
                let named = line.call.ranges().into_iter();
                all.extend(named.filter_map(|(addr, len)| {
                    let end = addr.saturating_add(len.max(1)).min(TASK_SIZE);
                    (addr != 0 && addr < TASK_SIZE).then_some(AddrRange { start: addr, end })
                }));
            }
            Item::Repeat(repeat) => collect(&repeat.body, all),
            Item::Comment(_) | Item::Blank => {}
        }
    }
}

/// How far ranges must be moved, modulo 2^64, to meet none of `taken`; nothing where there is no such place.
pub(super) fn free_place(ranges: &[AddrRange], taken: &[AddrRange]) -> Option<u64> {
    let (first, last) = (ranges.first()?, ranges.last()?);
    let is_free = |by: &u64| {
        let mut moved = ranges.iter().map(|range| range.moved(*by));
        moved.all(|range| !taken.iter().any(|other| range.intersects(other)))
    };
    let base = first.start - first.start % STEP;
    let size = last.end - base;
    let places = (STEP..TASK_SIZE.saturating_sub(size)).step_by(STEP as usize);
    places.map(|place| place.wrapping_sub(base)).find(is_free)
}

/// The same scenario with its memory moved.
pub(super) fn moved(scenario: &Scenario, by: u64) -> Scenario {
    Scenario { items: scenario.items.iter().map(|item| moved_item(item, by)).collect() }
}

fn moved_item(item: &Item, by: u64) -> Item {
    match item {
        Item::Line(line) => Item::Line(moved_line(line, by)),
        Item::Repeat(repeat) => {
            let body = repeat.body.iter().map(|item| moved_item(item, by)).collect();
            Item::Repeat(Repeat { body, ..repeat.clone() })
        }
        other => other.clone(),
    }
}

fn moved_line(line: &Line, by: u64) -> Line {
    let mut line = line.clone();
    let shifted = |addr: u64| if addr != 0 && addr < TASK_SIZE { addr.wrapping_add(by) } else { addr };
    line.call = line.call.moved(shifted);
    if let (true, Some(Expect::Value(addr))) = (line.call.returns_address(), &mut line.expect) {
        *addr = shifted(*addr);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "mmap(0x40000000, 64K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x40000000\n\
        repeat 2 {\n\
        mremap(0x40000000, 4K, 8K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000000) = 0x50000000\n\
        }\n\
        munmap(0, 4K)\n\
        touch(0xffff800000000000, 4K, READ)\n";

    fn scenario(text: &str) -> Scenario {
        ptelab_scenario::parse(text).expect("it is well formed")
    }

    #[test]
    fn what_is_named_is_moved_and_nothing_else() {
        let scenario = scenario(TEXT);
        let (a, b) = (
            AddrRange { start: 0x4000_0000, end: 0x4001_0000 },
            AddrRange { start: 0x5000_0000, end: 0x5000_2000 },
        );
        assert_eq!(ranges(&scenario), [a, b]);
        let text = moved(&scenario, 0x1_0000_0000).to_string();
        assert_eq!(
            text,
            TEXT.replace("0x40000000", "0x140000000")
                .replace("0x50000000", "0x150000000")
                .replace("repeat 2 {\nm", "repeat 2 {\n  m")
                .replace("munmap(0, ", "munmap(NULL, ")
        );
    }

    #[test]
    fn a_free_place_is_found_or_there_is_none() {
        let wanted = [
            AddrRange { start: 0x7f00_0000_1000, end: 0x7f00_0000_2000 },
            AddrRange { start: 0x7f00_4000_0000, end: 0x7f00_4000_1000 },
        ];
        let by = free_place(&wanted, &[AddrRange { start: 0, end: 0x4000_1000 }]).expect("there is room");
        assert_eq!(wanted[0].moved(by).start, 0x4000_1000, "the lowest multiple of a gibibyte that is free");
        let by = free_place(&wanted, &[AddrRange { start: 0x8000_0000, end: 0x8000_0001 }])
            .expect("there is room");
        assert_eq!(wanted[0].moved(by).start, 0x8000_1000, "{by:#x}");
        assert_eq!(free_place(&wanted, &[AddrRange { start: 0, end: u64::MAX }]), None);
    }

    #[test]
    fn a_length_beyond_the_end_reaches_to_the_end() {
        let all = ranges(&scenario("madvise(0x40000000, 0x7000000000000000, MADV_DONTNEED)"));
        assert_eq!(all, [AddrRange { start: 0x4000_0000, end: TASK_SIZE }]);
    }
}
