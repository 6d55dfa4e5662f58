//! When a page that a look at a process finds in use was used first.
//!
//! A look says that a page came into use since the one before it, not when. Here it is taken to be used as early as it can have been:
//! after the call that mapped it or made it accessible, and after what the program said of it in its very next call.

use crate::effects::{Range, gets, makes, prepares};
use ptelab_machine::uapi::Advice;
use ptelab_machine::{MapFlags, Prot};
use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedCall, LoggedOutcome, Reader, Syscall};
use std::collections::BTreeMap;

/// How far below its new end a heap may have grown, in bytes.
const HEAP: u64 = 16 << 20;

/// A process at a look: ranges are first addresses and ends.
#[derive(Clone, Debug, Default)]
pub struct PagesSeen {
    /// Its number.
    pub process: u32,
    /// The pages that came into use since the look before.
    pub new: Vec<(u64, u64)>,
    /// What was mapped, and could be accessed, at that one.
    pub mapped: Vec<(u64, u64)>,
}

/// Pages that are used between two lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// How many lines stand before it.
    pub after: u64,
    /// The process.
    pub process: u32,
    /// First addresses and ends, ascending.
    pub pages: Vec<(u64, u64)>,
}

/// When pages, of `page` bytes, came into use that looks found after these lines, in the order of the lines; `process_of` knows the
/// process of a task.
pub fn first_uses(
    lines: &str,
    looks: &[PagesSeen],
    page: u64,
    process_of: impl Fn(u32) -> u32,
) -> Vec<FirstUse> {
    let end = lines.lines().count() as u64;
    let mut pages: BTreeMap<u32, Pages> =
        looks.iter().map(|look| (look.process, Pages::of(look, page))).collect();
    let mut calls_before: BTreeMap<Option<u32>, u64> = BTreeMap::new();
    for entry in Reader::new(lines.as_bytes()).flatten() {
        let LogEntry { pid, end_line, kind: LogEvent::Call(call), .. } = entry else { continue };
        let before = calls_before.insert(pid, end_line);
        if let Some(pages) = pages.get_mut(&process_of(pid.unwrap_or(0)))
            && let LoggedOutcome::Value(value) = call.outcome
        {
            pages.call(&call, value, (before, end_line));
        }
    }
    let mut uses: BTreeMap<(u64, u32), Vec<(u64, u64)>> = BTreeMap::new();
    for (process, Pages { parts, .. }) in pages {
        for part in parts {
            let used = uses.entry((part.after.unwrap_or(end), process)).or_default();
            match used.last_mut() {
                Some((_, end)) if *end == part.start => *end = part.end,
                _ => used.push((part.start, part.end)),
            }
        }
    }
    uses.into_iter().map(|((after, process), pages)| FirstUse { after, process, pages }).collect()
}

/// Pages of a process, ascending.
struct Pages {
    parts: Vec<Part>,
    page: u64,
}

/// Pages that lie beside each other and can have been used since the same line.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    end: u64,
    /// That line; nothing where they cannot be used yet.
    after: Option<u64>,
}

impl Pages {
    fn of(look: &PagesSeen, page: u64) -> Self {
        let parts = look.new.iter().map(|&(start, end)| Part { start, end, after: None });
        let mut pages = Self { parts: parts.collect(), page };
        for &(start, end) in &look.mapped {
            pages.since(Some((start, end - start)), |_| Some(0));
        }
        pages
    }

    /// Says since when the pages of a range can have been used, from what was known of each.
    fn since(&mut self, range: Option<Range>, line: impl Fn(Option<u64>) -> Option<u64>) {
        let Some((addr, len)) = range else { return };
        let end = addr.saturating_add(len);
        let (from, to) = (addr - addr % self.page, end.checked_next_multiple_of(self.page).unwrap_or(end));
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in self.parts.drain(..) {
            let (low, high) = (from.clamp(part.start, part.end), to.clamp(part.start, part.end));
            let pieces = [
                Part { end: low, ..part },
                Part { start: low, end: high, after: line(part.after) },
                Part { start: high.max(low), ..part },
            ];
            parts.extend(pieces.into_iter().filter(|piece| piece.start < piece.end));
        }
        self.parts = parts;
    }

    /// A call that succeeded, at this line; its task's call before it was at that one.
    fn call(&mut self, call: &LoggedCall, value: u64, (before, line): (Option<u64>, u64)) {
        let at = Some(line);
        match call.call {
            Syscall::Execve { .. } => self.since(Some((0, u64::MAX)), |_| None),
            Syscall::Mmap { prot, flags, .. } => {
                let usable = !prot.is_empty() || flags.contains(MapFlags::GROWSDOWN);
                self.since(makes(call), |_| at.filter(|_| usable));
            }
            Syscall::Mremap { old_addr, .. } => {
                let grown = if value == old_addr { gets(call) } else { makes(call) };
                self.since(grown, |_| at);
            }
            Syscall::Mprotect { addr, len, prot, .. } if prot.intersects(Prot::READ | Prot::WRITE) => {
                self.since(Some((addr, len)), |known| known.or(at));
            }
            Syscall::Brk { addr } if addr == value => {
                let from = addr.saturating_sub(HEAP);
                self.since(Some((from, addr - from)), |known| known.or(at));
            }
            Syscall::Madvise { addr, len, advice }
                if [Advice::DONTNEED, Advice::DONTNEED_LOCKED, Advice::REMOVE].contains(&advice) =>
            {
                self.since(Some((addr, len)), |_| at);
            }
            _ => {
                let next = |known: Option<u64>| if known.is_some() && known == before { at } else { known };
                self.since(prepares(call), next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(lines: &str, new: &[(u64, u64)], mapped: &[(u64, u64)]) -> Vec<(u64, Vec<(u64, u64)>)> {
        let look = PagesSeen { process: 7, new: new.to_vec(), mapped: mapped.to_vec() };
        let uses = first_uses(lines, &[look], 4096, |task| if task == 8 { 7 } else { task });
        uses.into_iter().map(|first| (first.after, first.pages)).collect()
    }

    const MAP: &str =
        "7 mmap(NULL, 16384, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n";
    const PAGES: (u64, u64) = (0x7f00_0000_0000, 0x7f00_0000_4000);

    #[test]
    fn pages_are_used_once_they_are_mapped() {
        let text = format!("9 brk(NULL) = 0x1000\n{MAP}7 mprotect(0x7f0000000000, 4096, PROT_READ) = 0\n");
        assert_eq!(uses(&text, &[PAGES], &[]), [(2, vec![PAGES])]);
        // To the end of its last page.
        assert_eq!(uses(&text.replace("16384", "12289"), &[PAGES], &[]), [(2, vec![PAGES])]);
        // Another process has other memory at the same address, and a thread the same.
        assert_eq!(uses(&text.replace("7 mmap", "9 mmap"), &[PAGES], &[]), [(3, vec![PAGES])]);
        assert_eq!(uses(&text.replace("7 mmap", "8 mmap"), &[PAGES], &[]), [(2, vec![PAGES])]);
        // What was mapped before is used at once, but for what is mapped anew.
        let (before, more) = ((0x5000, 0x6000), [(0x5000, 0x6000), PAGES]);
        assert_eq!(uses(&text, &more, &more), [(0, vec![before]), (2, vec![PAGES])]);
    }

    #[test]
    fn pages_are_used_once_they_can_be_accessed() {
        let text = format!("{MAP}7 mprotect(0x7f0000002000, 4096, PROT_READ|PROT_WRITE) = 0\n")
            .replace("PROT_READ|PROT_WRITE, MAP", "PROT_NONE, MAP");
        let page = (0x7f00_0000_2000, 0x7f00_0000_3000);
        assert_eq!(uses(&text, &[page], &[]), [(2, vec![page])]);
        let text = format!("{text}7 madvise(0x7f0000002000, 4096, MADV_DONTNEED) = 0\n");
        assert_eq!(uses(&text, &[page], &[page]), [(3, vec![page])]);
        let text = "7 brk(0x21000) = 0x21000\n7 brk(0x22000) = 0x22000\n7 execve(\"/x\", [\"x\"], 0x7ffd /* 1 var */) = 0\n";
        assert_eq!(uses(text, &[(0x20000, 0x21000)], &[]), [(3, vec![(0x20000, 0x21000)])]);
        let text = &text[..text.find("7 exec").unwrap()];
        assert_eq!(uses(text, &[(0x20000, 0x21000)], &[]), [(1, vec![(0x20000, 0x21000)])]);
    }

    #[test]
    fn pages_are_used_once_the_program_has_said_what_of() {
        let text = format!("{MAP}8 brk(NULL) = 0x1000\n7 madvise(0x7f0000002000, 8192, MADV_HUGEPAGE) = 0\n");
        let [low, high] = [(PAGES.0, PAGES.0 + 0x2000), (PAGES.0 + 0x2000, PAGES.1)];
        assert_eq!(uses(&text, &[PAGES], &[]), [(1, vec![low]), (3, vec![high])]);
        // What it says later, it may say of pages in use.
        assert_eq!(uses(&text.replace("8 brk", "7 brk"), &[PAGES], &[]), [(1, vec![PAGES])]);
    }
}
