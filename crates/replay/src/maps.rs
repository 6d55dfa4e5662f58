//! A saved /proc/PID/maps, and how it compares with the VMAs of a replayed process.

use ptelab_machine::{VmFlags, VmaFacts};
use serde::Serialize;
use std::fmt;

/// One line of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapsLine {
    /// First address.
    pub start: u64,
    /// End, exclusive.
    pub end: u64,
    /// `rw-p`.
    pub perms: String,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Whether a file stands behind it: its inode is not 0.
    pub file: bool,
    /// The last column: a path or a name in brackets.
    pub name: String,
}

/// A line of a maps file that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: `{text}` is not a line of /proc/PID/maps, such as `7f0000000000-7f0000002000 rw-p 00000000 00:00 0`"
)]
pub struct MapsError {
    /// The line, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// Reads a maps file.
///
/// # Errors
/// All lines that are none.
pub fn parse_maps(text: &str) -> Result<Vec<MapsLine>, Vec<MapsError>> {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (i, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        match MapsLine::parse(text) {
            Some(line) => lines.push(line),
            None => errors.push(MapsError { line: i + 1, text: text.chars().take(80).collect() }),
        }
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

impl MapsLine {
    /// Reads a line of /proc/PID/maps, or the first of a mapping in /proc/PID/smaps; nothing where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let perms = words.next().filter(|perms| perms.len() == 4)?;
        let offset = words.next()?;
        let (_device, inode) = (words.next()?, words.next()?);
        let name = words.collect::<Vec<_>>().join(" ");
        let number = |word| u64::from_str_radix(word, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        (start < end).then_some(())?;
        let file = inode.parse::<u64>().ok()? != 0;
        Some(Self { start, end, perms: perms.to_owned(), offset: number(offset)?, file, name })
    }

    fn of(vma: &VmaFacts, page_size: u64) -> Self {
        Self {
            start: vma.start.get(),
            end: vma.end.get(),
            perms: vma.perms(),
            offset: vma.pgoff * page_size,
            file: vma.backing.has_file(),
            name: vma.backing.to_string(),
        }
    }

    /// Whether another line says the same: addresses, permissions, file or not, and where in it.
    fn same(&self, other: &Self) -> bool {
        let place = |line: &Self| (line.start, line.end, line.file, if line.file { line.offset } else { 0 });
        place(self) == place(other) && self.perms == other.perms
    }

    /// Whether all of it lies in others that are like it, private, and so may be one mapping or several: mappings are put together
    /// or not by which of their pages were used, and when.
    fn is_divided(&self, others: &[Self]) -> bool {
        let is_like = |other: &&Self| {
            let goes_on = other.offset.wrapping_sub(other.start) == self.offset.wrapping_sub(self.start);
            other.perms == self.perms && other.file == self.file && (goes_on || !self.file)
        };
        let mut at = self.start;
        for other in others.iter().filter(is_like) {
            if other.start <= at {
                at = at.max(other.end);
            }
        }
        self.perms.ends_with('p') && at >= self.end
    }

    /// Memory that the kernel makes by itself, of sizes of its own.
    fn is_kernels(&self) -> bool {
        ["[stack]", "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]"]
            .contains(&self.name.as_str())
    }
}

impl fmt::Display for MapsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end, perms, offset, name, .. } = self;
        write!(f, "{start:x}-{end:x} {perms} {offset:08x}")?;
        if name.is_empty() { Ok(()) } else { write!(f, " {name}") }
    }
}

/// How the VMAs of a process compare with its maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MapsReport {
    /// The log's line where the program opened the file; each line of it is compared from there until it was closed.
    pub line: u64,
    /// Lines that are equal.
    pub equal: usize,
    /// Lines of the file that no VMA has.
    pub missing: Vec<String>,
    /// VMAs that the file has no line for.
    pub extra: Vec<String>,
    /// Lines of memory that is there all the same, in more mappings or in fewer: which of its pages were used decides that, and when.
    pub divided: usize,
    /// Lines that were left out: what the kernel mapped before the log begins, and memory of its own.
    pub left_out: usize,
}

impl MapsReport {
    /// Whether nothing differs.
    pub const fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

/// VMAs of a process at one moment, and which of their memory was adopted: it was there before the log begins.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) vmas: Vec<VmaFacts>,
    pub(crate) adopted: Vec<(u64, u64)>,
    pub(crate) page_size: u64,
}

impl Moment {
    fn is_adopted(&self, start: u64, end: u64) -> bool {
        self.adopted.iter().any(|&(from, to)| start < to && from < end)
    }

    /// How each line of a maps file compares, and what VMAs it has no line for. Left out are memory of the kernel's own, and what
    /// was mapped before the log begins: files that nothing of the log mapped there, and memory without a name that goes
    /// on after such a file (the program's own variables).
    fn compare(&self, file: &[MapsLine]) -> (Vec<Held>, Vec<String>) {
        let ours: Vec<MapsLine> = self.vmas.iter().map(|vma| MapsLine::of(vma, self.page_size)).collect();
        let mut before_end = None;
        let mut held = Vec::new();
        for line in file {
            let met = self.vmas.iter().any(|vma| vma.start.get() < line.end && line.start < vma.end.get());
            let before = line.file || before_end == Some(line.start) && line.name.is_empty();
            held.push(if line.is_kernels() || before && (!met || self.is_adopted(line.start, line.end)) {
                before_end = Some(line.end);
                Held::LeftOut
            } else if ours.iter().any(|own| own.same(line)) {
                Held::Equal
            } else if line.is_divided(&ours) {
                Held::Divided
            } else {
                Held::Not
            });
        }
        let mut extra = Vec::new();
        for (own, vma) in ours.iter().zip(&self.vmas) {
            let known = file.iter().any(|line| own.same(line));
            let before = self.is_adopted(own.start, own.end) || vma.flags.contains(VmFlags::GROWSDOWN);
            if !known && !before && !own.is_divided(file) {
                extra.push(own.to_string());
            }
        }
        (held, extra)
    }
}

/// What a line of a maps file was at the best of the moments at which it may have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Not,
    Divided,
    LeftOut,
    Equal,
}

/// A maps file while the program reads it, which it may do in pieces: each line held at some moment from the open to the close,
/// and what had no line did not stay all the while.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    line: u64,
    held: Vec<Held>,
    extra: Option<Vec<String>>,
}

impl Reading {
    /// It was opened at a line of the log.
    pub(crate) const fn opened(line: u64) -> Self {
        Self { line, held: Vec::new(), extra: None }
    }

    /// One of the moments.
    pub(crate) fn look(&mut self, moment: &Moment, file: &[MapsLine]) {
        let (held, extra) = moment.compare(file);
        self.held.resize(file.len(), Held::Not);
        for (best, now) in self.held.iter_mut().zip(held) {
            *best = now.max(*best);
        }
        match &mut self.extra {
            Some(stayed) => stayed.retain(|line| extra.contains(line)),
            None => self.extra = Some(extra),
        }
    }

    pub(crate) fn report(&self, file: &[MapsLine]) -> MapsReport {
        let count = |what| self.held.iter().filter(|held| **held == what).count();
        let missing = file.iter().zip(&self.held).filter(|(_, held)| **held == Held::Not);
        MapsReport {
            line: self.line,
            equal: count(Held::Equal),
            missing: missing.map(|(line, _)| line.to_string()).collect(),
            extra: self.extra.clone().unwrap_or_default(),
            divided: count(Held::Divided),
            left_out: count(Held::LeftOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_are_named() {
        let text = "7f0a-7f0c rw-p 00001000 fe:00 18504                      /opt/a file\n7f0d-7f0e ---p 00000000 00:00 0 \n";
        let lines = parse_maps(text).unwrap();
        assert_eq!((lines[0].start, lines[0].offset, lines[0].file), (0x7f0a, 0x1000, true));
        assert_eq!((lines[0].name.as_str(), lines[1].file), ("/opt/a file", false));
        let errors = parse_maps("7f0a-7f0c rw-p 0 0:0 0\nnonsense\n5-4 r--p 0 0:0 0\n").unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3]);
    }
}
