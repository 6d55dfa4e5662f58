//! Which pages a process has in use, as /proc says it.

use ptelab::{ThpKey, ThpMode, thp_settings};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of a page of this system.
pub(crate) fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Entries of pagemap that are read at once.
const CHUNK: usize = 1 << 16;
/// Present, or in swap.
const IN_USE: u64 = 1 << 63 | 1 << 62;
/// A page of a file, or of shared memory.
const OF_FILE: u64 = 1 << 61;
/// Mapped once only.
const EXCLUSIVE: u64 = 1 << 56;

/// First address and end of a mapping that may have pages.
pub(crate) type Mapping = (u64, u64);

/// The process that a thread belongs to.
pub(crate) fn process_of(pid: u32) -> Option<u32> {
    status(pid, "Tgid:")?.parse().ok()
}

/// The most that a process had resident so far, in KiB.
pub(crate) fn most_resident(pid: u32) -> Option<u64> {
    status(pid, "VmHWM:")?.strip_suffix(" kB")?.trim().parse().ok()
}

fn status(pid: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
}

/// What this system allows of huge pages, as `enabled=madvise 2048kB=inherit`; sizes that are never used are left out.
pub(crate) fn huge_pages() -> Option<String> {
    let said = thp_settings().filter(|&(key, mode)| key == ThpKey::Enabled || mode != ThpMode::Never);
    let said: Vec<String> = said.map(|(key, mode)| format!("{key}={}", mode.name())).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// The mappings of a process, but for those that nobody can access.
pub(crate) fn mappings(pid: u32) -> Vec<Mapping> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines()
        .filter(|line| !line.contains(" ---") && !line.ends_with("[vsyscall]"))
        .filter_map(mapping)
        .collect()
}

fn mapping(line: &str) -> Option<Mapping> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

/// Pages in use that lie beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Whether they are the process's own, not a file's.
    pub(crate) anon: bool,
}

/// The pages in use of a mapping.
pub(crate) fn runs(pid: u32, mapping: Mapping) -> Vec<Run> {
    let (mut runs, size): (Vec<Run>, _) = (Vec::new(), page_size());
    each_in_use(pid, &[mapping], |start, word| {
        let run = Run { start, end: start + size, anon: word & OF_FILE == 0 };
        match runs.last_mut() {
            Some(last) if (last.end, last.anon) == (start, run.anon) => last.end = run.end,
            _ => runs.push(run),
        }
    });
    runs
}

/// Calls a function for each page in use, with its word of pagemap.
fn each_in_use(pid: u32, mappings: &[Mapping], mut page: impl FnMut(u64, u64)) {
    let Ok(pagemap) = File::open(format!("/proc/{pid}/pagemap")) else { return };
    let (mut bytes, size) = (vec![0; CHUNK * 8], page_size());
    for &(start, end) in mappings {
        let mut at = start / size;
        while at < end / size {
            let wanted = (end / size - at).min(CHUNK as u64) as usize * 8;
            let Ok(read) = pagemap.read_at(&mut bytes[..wanted], at * 8) else { break };
            if read < 8 {
                break;
            }
            for word in bytes[..read].chunks_exact(8) {
                let word = word.try_into().map_or(0, u64::from_ne_bytes);
                if word & IN_USE != 0 {
                    page(at * size, word);
                }
                at += 1;
            }
        }
    }
}

/// Ranges of pages, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages(pub(crate) Vec<(u64, u64)>);

impl Pages {
    /// Those that a process has in use of its mappings; of a child not those that it has from its parent, and did not write.
    pub(crate) fn of(pid: u32, mappings: &[Mapping], is_child: bool) -> Self {
        let mut pages = Self::default();
        each_in_use(pid, mappings, |addr, word| {
            if !is_child || word & (OF_FILE | EXCLUSIVE) != 0 {
                pages.push(addr);
            }
        });
        pages
    }

    fn push(&mut self, addr: u64) {
        let next = addr + page_size();
        match self.0.last_mut() {
            Some((_, end)) if *end == addr => *end = next,
            _ => self.0.push((addr, next)),
        }
    }

    /// Whether they are the whole address space.
    pub(crate) fn is_all(&self) -> bool {
        self.0.first().is_some_and(|&(start, end)| start == 0 && end == u64::MAX)
    }

    /// Those that are not among others.
    pub(crate) fn without(&self, others: &Self) -> Self {
        let mut left = Vec::new();
        let mut rest = others.0.as_slice();
        for &(mut start, end) in &self.0 {
            rest = &rest[rest.partition_point(|other| other.1 <= start)..];
            for &(from, to) in rest.iter().take_while(|other| other.0 < end) {
                if start < from {
                    left.push((start, from));
                }
                start = to.max(start);
            }
            if start < end {
                left.push((start, end));
            }
        }
        Self(left)
    }
}

impl From<Vec<(u64, u64)>> for Pages {
    fn from(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        let (mut pages, size): (Vec<(u64, u64)>, _) = (Vec::with_capacity(ranges.len()), page_size());
        for (start, end) in ranges {
            let (start, end) = (start - start % size, end.checked_next_multiple_of(size).unwrap_or(end));
            match pages.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => pages.push((start, end)),
            }
        }
        Self(pages)
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (start, end)) in self.0.iter().enumerate() {
            write!(f, "{}{start:#x}+{}", if i == 0 { "" } else { " " }, end - start)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pages;

    #[test]
    fn what_is_new_is_what_was_not_there() {
        let pages = |ranges: &[(u64, u64)]| Pages(ranges.to_vec());
        let now = pages(&[(0, 10), (20, 30), (40, 50)]);
        let before = pages(&[(2, 4), (8, 22), (25, 26), (45, 60)]);
        assert_eq!(now.without(&before).0, [(0, 2), (4, 8), (22, 25), (26, 30), (40, 45)]);
        assert_eq!(now.without(&pages(&[])).0, now.0);
        assert_eq!(now.without(&now).0, []);
        assert_eq!(pages(&[(0x1000, 0x3000), (0x5000, 0x6000)]).to_string(), "0x1000+8192 0x5000+4096");
    }
}
