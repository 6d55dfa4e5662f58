//! When a page that a look at a process finds in use was used first.
//!
//! A look says that a page came into use since the one before it, not when. Here it is taken to be used as early as it can have been:
//! after the call that mapped it, made it accessible or dropped what was there, and after what the program said of it in its very
//! next call.

use crate::effects::{Range, frees, gets, makes, prepares};
use crate::tasks::Birth;
use ptelab_machine::Prot;
use ptelab_machine::uapi::Advice;
use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedCall, LoggedOutcome, Reader, Syscall};
use std::collections::BTreeMap;

/// How far below its new end a heap may have grown, and above it have reached, in bytes.
const HEAP: u64 = 16 << 20;

/// What a look at a process found: ranges are first addresses and ends.
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

/// The lines between two looks.
#[derive(Debug)]
pub struct Interval {
    calls: Vec<Made>,
    /// How many they are.
    lines: u64,
}

/// A call that succeeded.
#[derive(Debug)]
struct Made {
    process: u32,
    call: LoggedCall,
    value: u64,
    /// Its line, and that of its task's call before it.
    line: u64,
    before: Option<u64>,
}

impl Interval {
    /// Reads the lines; `process_of` knows the process of a task.
    pub fn read(lines: &str, process_of: impl Fn(u32) -> u32) -> Self {
        let mut calls_before: BTreeMap<Option<u32>, u64> = BTreeMap::new();
        let mut calls = Vec::new();
        for entry in Reader::new(lines.as_bytes()).flatten() {
            let LogEntry { pid, end_line: line, kind: LogEvent::Call(call), .. } = entry else { continue };
            let before = calls_before.insert(pid, line);
            if let LoggedOutcome::Value(value) = call.outcome {
                calls.push(Made { process: process_of(pid.unwrap_or(0)), call, value, line, before });
            }
        }
        Self { calls, lines: lines.lines().count() as u64 }
    }

    /// Where a process has other pages than before, if it has any: first addresses and ends.
    pub fn replaced(&self, process: u32) -> Vec<(u64, u64)> {
        let of = self.calls.iter().filter(|made| made.process == process);
        of.flat_map(|made| {
            let made_anew =
                if let Syscall::Mmap { .. } = made.call.call { makes(&made.call) } else { gets(&made.call) };
            let all = matches!(made.call.call, Syscall::Execve { .. }).then_some((0, u64::MAX));
            let heap = made.heap().map(|end| (end, HEAP));
            [frees(&made.call), made_anew, made.drops(), heap, all].into_iter().flatten()
        })
        .map(|(addr, len)| (addr, addr.saturating_add(len)))
        .collect()
    }
}

impl Made {
    /// The range whose pages it dropped.
    fn drops(&self) -> Option<Range> {
        match self.call.call {
            Syscall::Madvise { addr, len, advice }
                if [Advice::DONTNEED, Advice::DONTNEED_LOCKED, Advice::REMOVE].contains(&advice) =>
            {
                Some((addr, len))
            }
            _ => None,
        }
    }

    /// The end of the heap, where it says that.
    fn heap(&self) -> Option<u64> {
        matches!(self.call.call, Syscall::Brk { .. }).then_some(self.value)
    }
}

/// When pages come into use, look after look.
#[derive(Debug)]
pub struct FirstUses {
    /// Bytes of a page.
    page: u64,
    known: BTreeMap<u32, Known>,
}

/// What lines have shown of a process.
#[derive(Clone, Debug, Default)]
struct Known {
    heap: Option<u64>,
    /// What nobody can access.
    closed: Vec<(u64, u64)>,
    /// What was made accessible since the last look.
    opened: Vec<(u64, u64)>,
}

impl FirstUses {
    /// Of processes with pages of so many bytes.
    pub const fn new(page: u64) -> Self {
        Self { page, known: BTreeMap::new() }
    }

    /// When pages came into use that looks found after an interval, in the order of its lines.
    pub fn of(&mut self, interval: &Interval, looks: &[PagesSeen]) -> Vec<FirstUse> {
        let mut pages: BTreeMap<u32, Pages> = BTreeMap::new();
        for look in looks {
            let opened = self.known.entry(look.process).or_default().opened.split_off(0);
            pages.insert(look.process, Pages::of(look, &opened, self.page));
        }
        for made in &interval.calls {
            let mut known = self.known.remove(&made.process).unwrap_or_default();
            if Birth::of(&made.call.call).is_some_and(|birth| birth != Birth::Thread) {
                self.known.insert(made.value as u32, known.clone());
            }
            let mut none = Pages { parts: Vec::new(), page: self.page };
            pages.get_mut(&made.process).unwrap_or(&mut none).call(made, &mut known);
            self.known.insert(made.process, known);
        }
        let mut uses: BTreeMap<(u64, u32), Vec<(u64, u64)>> = BTreeMap::new();
        for (process, Pages { parts, .. }) in pages {
            for part in parts {
                let used = uses.entry((part.after.unwrap_or(interval.lines), process)).or_default();
                match used.last_mut() {
                    Some((_, end)) if *end == part.start => *end = part.end,
                    _ => used.push((part.start, part.end)),
                }
            }
        }
        uses.into_iter().map(|((after, process), pages)| FirstUse { after, process, pages }).collect()
    }
}

/// Takes a range out of others.
fn remove(ranges: &mut Vec<(u64, u64)>, (addr, len): Range) {
    let (from, to) = (addr, addr.saturating_add(len));
    let rest = |(start, end): (u64, u64)| [(start, end.min(from)), (start.max(to), end)];
    *ranges = ranges.drain(..).flat_map(rest).filter(|(start, end)| start < end).collect();
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
    fn of(look: &PagesSeen, opened: &[(u64, u64)], page: u64) -> Self {
        let parts = look.new.iter().map(|&(start, end)| Part { start, end, after: None });
        let mut pages = Self { parts: parts.collect(), page };
        for &(start, end) in look.mapped.iter().chain(opened) {
            pages.since(Some((start, end - start)), |_| Some(0));
        }
        pages
    }

    /// Says since when the pages of a range can have been used, from what was known of each.
    fn since(&mut self, range: Option<Range>, line: impl Fn(Option<u64>) -> Option<u64>) {
        let Some((addr, len)) = range else { return };
        let end = addr.saturating_add(len);
        let (from, to) = (addr - addr % self.page, end.checked_next_multiple_of(self.page).unwrap_or(end));
        let first = self.parts.partition_point(|part| part.end <= from);
        let past = self.parts.partition_point(|part| part.start < to).max(first);
        let mut parts = Vec::new();
        for part in &self.parts[first..past] {
            let (low, high) = (from.clamp(part.start, part.end), to.clamp(part.start, part.end));
            let pieces = [
                Part { end: low, ..*part },
                Part { start: low, end: high, after: line(part.after) },
                Part { start: high.max(low), ..*part },
            ];
            parts.extend(pieces.into_iter().filter(|piece| piece.start < piece.end));
        }
        self.parts.splice(first..past, parts);
    }

    fn call(&mut self, made: &Made, known: &mut Known) {
        let (call, at) = (&made.call, Some(made.line));
        if let Some(freed) = frees(call) {
            remove(&mut known.closed, freed);
            remove(&mut known.opened, freed);
        }
        match call.call {
            Syscall::Execve { .. } => {
                *known = Known::default();
                self.since(Some((0, u64::MAX)), |_| None);
            }
            Syscall::Mmap { prot, .. } => self.make(makes(call), known, at.filter(|_| !prot.is_empty())),
            Syscall::Mremap { old_addr, .. } => {
                self.make(if made.value == old_addr { gets(call) } else { makes(call) }, known, at);
            }
            Syscall::Mprotect { addr, len, prot, .. } if prot.intersects(Prot::READ | Prot::WRITE) => {
                let end = addr.saturating_add(len);
                let closed = known.closed.iter().map(|&(from, to)| (from.max(addr), to.min(end)));
                let closed: Vec<_> = closed.filter(|(from, to)| from < to).collect();
                for (from, to) in closed {
                    self.make(Some((from, to - from)), known, at);
                }
                self.since(Some((addr, len)), |since| since.or(at));
            }
            Syscall::Mprotect { addr, len, prot, .. } if prot.is_empty() => {
                remove(&mut known.opened, (addr, len));
                known.closed.push((addr, addr.saturating_add(len)));
            }
            Syscall::Brk { .. } => match known.heap.replace(made.value) {
                Some(heap) if heap < made.value => self.make(Some((heap, made.value - heap)), known, at),
                Some(_) => {}
                None => {
                    let from = made.value.saturating_sub(HEAP);
                    self.since(Some((from, made.value - from)), |since| since.or(at));
                }
            },
            _ => {
                self.since(made.drops(), |_| at);
                let next =
                    |since: Option<u64>| if since.is_some() && since == made.before { at } else { since };
                self.since(prepares(call), next);
            }
        }
    }

    /// There is new memory, which can be used since a line, or not yet.
    fn make(&mut self, range: Option<Range>, known: &mut Known, since: Option<u64>) {
        let Some((addr, len)) = range else { return };
        remove(&mut known.closed, (addr, len));
        remove(&mut known.opened, (addr, len));
        let which = if since.is_some() { &mut known.opened } else { &mut known.closed };
        which.push((addr, addr.saturating_add(len)));
        self.since(range, |_| since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(lines: &str, new: &[(u64, u64)], mapped: &[(u64, u64)]) -> Vec<(u64, Vec<(u64, u64)>)> {
        let look = PagesSeen { process: 7, new: new.to_vec(), mapped: mapped.to_vec() };
        let interval = Interval::read(lines, |task| if task == 8 { 7 } else { task });
        let uses = FirstUses::new(4096).of(&interval, &[look]);
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
    fn what_lines_show_outlasts_a_look() {
        let process_of = |task: u32| if task == 8 { 7 } else { task };
        let mut first_uses = FirstUses::new(4096);
        let mut after = |lines: &str, new: (u64, u64), mapped: &[(u64, u64)]| {
            let look = PagesSeen { process: 7, new: vec![new], mapped: mapped.to_vec() };
            let uses = first_uses.of(&Interval::read(lines, process_of), &[look]);
            uses.iter().map(|first| first.after).collect::<Vec<_>>()
        };
        let (low, high) = ((0x20000, 0x21000), (0x21000, 0x22000));
        // A look at /proc may see a heap before strace has written that it grew.
        assert_eq!(after("7 brk(NULL) = 0x20000\n7 brk(0x21000) = 0x21000\n", low, &[]), [2]);
        assert_eq!(
            after("7 brk(NULL) = 0x21000\n7 brk(0x22000) = 0x22000\n", high, &[(0x20000, 0x22000)]),
            [2]
        );
        // What was mapped after the last look at the mappings can be used from the first line on.
        assert_eq!(after(MAP, (0x20000, 0x21000), &[(0x20000, 0x22000)]), [0]);
        assert_eq!(after("7 brk(NULL) = 0x22000\n", PAGES, &[]), [0]);
        // The same of what nobody could access.
        let none = "7 mprotect(0x7f0000000000, 16384, PROT_NONE) = 0\n";
        assert_eq!(after(none, low, &[low]), [0]);
        let text = "8 brk(NULL) = 0x22000\n8 mprotect(0x7f0000000000, 16384, PROT_READ) = 0\n";
        assert_eq!(after(text, PAGES, &[PAGES]), [2]);
    }

    #[test]
    fn pages_that_others_replace_are_new() {
        let text = format!(
            "{MAP}7 munmap(0x1000, 4096) = 0\n9 munmap(0x2000, 4096) = 0\n7 madvise(0x3000, 4096, MADV_DONTNEED) = 0\n\
             7 munmap(0x5000, 4096) = -1 EINVAL (Invalid argument)\n"
        );
        let replaced = Interval::read(&text, |task| task).replaced(7);
        assert_eq!(replaced, [PAGES, (0x1000, 0x2000), (0x3000, 0x4000)]);
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
