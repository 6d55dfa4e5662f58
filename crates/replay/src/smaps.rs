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

/// `Rss:                 120 kB`
fn rss(line: &str) -> Option<u64> {
    line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok()
}

/// First addresses and ends.
type Bounds = Vec<(u64, u64)>;

/// Of a range, the parts that smaps shows in use, and those that it does not know.
pub(crate) fn used_of(areas: &[SmapsArea], (from, to): (u64, u64)) -> (Bounds, Bounds) {
    let (mut used, mut unknown, mut at) = (Vec::new(), Vec::new(), from);
    for area in areas.iter().filter(|area| area.start < to && from < area.end) {
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
        let rollup = "1000-9000 ---p 00000000 00:00 0 [rollup]\nRss: 8 kB\n";
        assert!(parse_smaps(rollup).is_err() && parse_smaps("").is_err());
    }
}
