//! A saved /proc/PID/smaps: how much of each mapping was resident.

use crate::maps::{MapsError, MapsLine};

/// A mapping, and how much of it was resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmapsArea {
    /// First address.
    pub start: u64,
    /// End, exclusive.
    pub end: u64,
    /// Bytes that were resident. Which ones is not known: they are taken from the start on.
    pub rss: u64,
}

/// Reads an smaps file.
///
/// # Errors
/// Where no mapping with its `Rss:` is found, as in `smaps_rollup`, which has no mappings.
pub fn parse_smaps(text: &str) -> Result<Vec<SmapsArea>, MapsError> {
    let mut areas: Vec<SmapsArea> = Vec::new();
    let mut with_rss = 0;
    for line in text.lines() {
        if let Some(at) = MapsLine::parse(line).filter(|at| at.name != "[rollup]") {
            areas.push(SmapsArea { start: at.start, end: at.end, rss: 0 });
        } else if let (Some(kb), Some(area)) = (rss(line), areas.last_mut()) {
            area.rss = kb << 10;
            with_rss += 1;
        }
    }
    let first = text.lines().next().unwrap_or_default();
    let nothing = || MapsError { line: 1, text: first.chars().take(80).collect() };
    if with_rss > 0 { Ok(areas) } else { Err(nothing()) }
}

/// Reads which pages were in use, as `page-types -p PID -L` (or `-l`) of the kernel's tools prints it from pagemap, or as ranges,
/// `0x7f0000000000+8192`, each on a line or several, as `ptelab watch` writes them. What is not among them was not in use.
///
/// # Errors
/// The first line that is neither, or where there is none.
pub fn parse_pagemap(text: &str) -> Result<Vec<SmapsArea>, MapsError> {
    const PAGE: u64 = 4096;
    let mut pages = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("voffset") {
            continue;
        }
        let found = ranges(line).or_else(|| Some(vec![page_types(line, PAGE)?]));
        let wrong = || MapsError { line: i + 1, text: line.chars().take(80).collect() };
        pages.extend(found.ok_or_else(wrong)?);
    }
    pages.sort_unstable();
    let (mut areas, mut at) = (Vec::<SmapsArea>::new(), 0);
    for (start, end) in pages {
        let start = start.max(at);
        if start >= end {
            continue;
        }
        match areas.last_mut() {
            Some(last) if start == at => (last.end, last.rss) = (end, end - last.start),
            _ => {
                areas.push(SmapsArea { start: at, end: start, rss: 0 });
                areas.push(SmapsArea { start, end, rss: end - start });
            }
        }
        at = end;
    }
    if at == 0 {
        return Err(MapsError { line: 1, text: text.chars().take(80).collect() });
    }
    areas.push(SmapsArea { start: at, end: u64::MAX, rss: 0 });
    Ok(areas)
}

/// `7f0000000\t1a2b3\t__RUl__` and, where pages are put together, `7f0000000\t1a2b3\t2\t__RUl__`: page numbers.
fn page_types(line: &str, page: u64) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let (first, _) = (hex(words.first()?)?, hex(words.get(1)?)?);
    let count = if words.len() > 3 { hex(words[2])? } else { 1 };
    Some((first.checked_mul(page)?, first.checked_add(count)?.checked_mul(page)?))
}

/// `0x7f0000000000+8192 ...`, or a line of `ptelab watch` with them.
fn ranges(line: &str) -> Option<Vec<(u64, u64)>> {
    let inner = line.split_once("+++ in use ").map_or(line, |(_, rest)| rest).trim_end_matches(" +++");
    let range = |word: &str| {
        let (start, len) = word.split_once('+')?;
        let start = u64::from_str_radix(start.strip_prefix("0x")?, 16).ok()?;
        Some((start, start.checked_add(len.parse().ok()?)?))
    };
    inner.split_whitespace().map(range).collect()
}

/// `Rss:                 120 kB`
fn rss(line: &str) -> Option<u64> {
    line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok()
}

/// First addresses and ends.
type Bounds = Vec<(u64, u64)>;

/// Of a range, the parts that smaps shows in use, and those that it does not know.
pub(crate) fn used_of(areas: &[SmapsArea], (from, to): (u64, u64)) -> (Bounds, Bounds) {
    let (mut used, mut unknown, mut at) = (Vec::new(), Vec::new(), from);
    let first = areas.partition_point(|area| area.end <= from);
    for area in areas[first..].iter().take_while(|area| area.start < to) {
        if at < area.start {
            unknown.push((at, area.start));
        }
        let part = (area.start.max(from), (area.start + area.rss).min(to));
        if part.0 < part.1 {
            used.push(part);
        }
        at = area.end.min(to);
    }
    if at < to {
        unknown.push((at, to));
    }
    (used, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_read_and_what_is_not_shown_is_unknown() {
        let text = "1000-5000 rw-p 00000000 00:00 0\nSize: 16 kB\nRss:                   8 kB\n\
                    8000-9000 rw-p 00000000 00:00 0 [heap]\nRss: 0 kB\nVmFlags: rd wr\n";
        let areas = parse_smaps(text).unwrap();
        assert_eq!(areas[0], SmapsArea { start: 0x1000, end: 0x5000, rss: 0x2000 });
        let (used, unknown) = used_of(&areas, (0x2000, 0x9000));
        assert_eq!((used, unknown), (vec![(0x2000, 0x3000)], vec![(0x5000, 0x8000)]));
        assert_eq!(used_of(&areas, (0x8000, 0xa000)), (vec![], vec![(0x9000, 0xa000)]));
        let pages = parse_pagemap("voffset\toffset\tflags\n1\ta0\t__RUl_\n2\ta1\t2\t__RUl_\n").unwrap();
        assert_eq!(used_of(&pages, (0, 0x9000)), (vec![(0x1000, 0x4000)], vec![]));
        let watched = parse_pagemap("7 +++ in use 0x1000+4096 0x3000+4096 +++\n0x2000+4096\n").unwrap();
        assert_eq!(used_of(&watched, (0, 0x9000)).0, [(0x1000, 0x4000)]);
        assert_eq!(parse_pagemap("0x1000+4096\nnonsense\n").unwrap_err().line, 2);
        assert!(parse_pagemap("").is_err());
        let rollup = "1000-9000 ---p 00000000 00:00 0 [rollup]\nRss: 8 kB\n";
        assert!(parse_smaps(rollup).is_err() && parse_smaps("").is_err());
    }
}
