//! What any real kernel is to those who ask it, and what its /proc says about memory.

use crate::shape::{ENTRIES, PAGE};
use procfs_core::FromBufRead;
use procfs_core::process::{MemoryMaps, MemoryPageFlags};
use procfs_core::{PhysicalPageFlags, ProcError};
use ptelab_uapi::{Call, Class, Outcome};
use std::io;
use std::ops::Range;

/// A real kernel with the processes of one scenario. Process 1 is there from the start; a fork's child has the next number.
pub trait RealKernel {
    /// Makes calls in processes, in their order, each of which [can be asked](asked), and looks at memory then. A call that makes or
    /// ends a process is the last one.
    ///
    /// # Errors
    /// Where a process does not answer, or what is looked at cannot be read; a call that fails is no error.
    fn play(
        &mut self,
        calls: &[(u32, &Call)],
        looks: &[Look],
    ) -> Result<(Vec<Outcome>, Vec<Looked>), RealError>;
    /// Makes a call in a process.
    ///
    /// # Errors
    /// Where the process does not answer; a call that fails is no error.
    fn call(&mut self, pid: u32, call: &Call) -> Result<Outcome, RealError> {
        let (outcomes, _) = self.play(&[(pid, call)], &[])?;
        outcomes.first().copied().ok_or(RealError::Died(pid))
    }
    /// Whether a process lives.
    fn lives(&self, pid: u32) -> bool;
    /// A process's topmost table, where tables can be read.
    ///
    /// # Errors
    /// Where it should be found, and is not.
    fn root(&mut self, pid: u32, translate: &Translate<'_>) -> Result<Option<Root>, RealError>;
    /// Forgets a process's topmost table, which turned out to be none, so that it is looked for again.
    fn forget_root(&mut self, pid: u32);
    /// The word of a table at a physical address; nothing where it cannot be read.
    fn entry(&self, addr: u64) -> Option<u64>;
    /// The byte at a physical address; nothing where it cannot be read.
    fn byte(&self, addr: u64) -> Option<u8>;
}

/// The physical address that a virtual one is translated to by a topmost table, where it is: by what stands at physical addresses.
pub type Translate<'a> = dyn Fn(Root, u64, &dyn Fn(u64) -> Option<u64>) -> Option<u64> + 'a;

/// The topmost table of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// Its physical address.
    pub addr: u64,
    /// Levels of tables, this one and the last among them.
    pub levels: u8,
}

/// What is to be looked at: pages of a range of a process, and its VMAs in an area.
#[derive(Clone, Debug)]
pub struct Look {
    /// The process.
    pub pid: u32,
    /// The pages' addresses.
    pub pages: Range<u64>,
    /// The area.
    pub area: Range<u64>,
}

/// What is seen then.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The VMAs: others may stand among them.
    pub vmas: Vec<RealVma>,
    /// The pages.
    pub pages: Vec<RealPage>,
}

/// What reads files of /proc.
pub trait WordFiles {
    /// `count` words of a file from the one at `index` on; fewer where the file ends, none where it may not be read.
    ///
    /// # Errors
    /// Where no process answers that may read it.
    fn words(&mut self, file: WordFile, index: u64, count: u64) -> Result<Vec<u64>, RealError>;
}

/// Whether a real kernel can be asked for a call.
pub fn asked(call: &Call) -> bool {
    match call.form().class {
        Class::Memory | Class::Access | Class::Process | Class::Setting | Class::Control | Class::Look => {
            true
        }
        Class::Emulated | Class::Given => false,
    }
}

/// A file of 64-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordFile {
    /// /proc/PID/pagemap, a word a page.
    Pagemap(u32),
    /// /proc/kpageflags, a word a frame.
    KPageFlags,
    /// /proc/kpagecount, a word a frame.
    KPageCount,
}

/// Why a real kernel did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// A process of the scenario is gone, by no call of its own.
    #[error("process {0} of the scenario died")]
    Died(u32),
    /// The machine ended or hangs, and what its console said last.
    #[error("the kernel does not answer `{asked}`; its console ended with:\n{}", console.join("\n"))]
    Gone {
        /// What was asked.
        asked: String,
        /// The console's last lines.
        console: Vec<String>,
    },
    /// What was said is not an answer.
    #[error("{from} said {said:?}")]
    Nonsense {
        /// Who.
        from: &'static str,
        /// What.
        said: String,
    },
    /// Tables of a process lead to what is no memory.
    #[error("tables of process {0} lead where there is no memory")]
    Nowhere(u32),
    /// A file or a process could not be used.
    #[error("{what}: {error}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// /proc holds what it should not.
    #[error("/proc: {0}")]
    Proc(#[from] ProcError),
    /// Who asked has stopped it.
    #[error("it was stopped")]
    Stopped,
    /// Something is missing that a person can add, in a sentence.
    #[error("{0}")]
    Missing(String),
}

impl RealError {
    /// For `map_err`: this file or process could not be used.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |error| Self::Io { what, error }
    }
}

/// What smaps says of a VMA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealVma {
    /// First address.
    pub start: u64,
    /// End, exclusive.
    pub end: u64,
    /// `rw-p`
    pub perms: String,
    /// Resident, in bytes.
    pub rss: u64,
    /// Of that mapped by huge leaves, in bytes.
    pub anon_huge: u64,
    /// Two-letter flags.
    pub vmflags: String,
}

/// The VMAs of which /proc/PID/smaps tells.
///
/// # Errors
/// Where it holds what it should not.
pub fn vmas(text: &str) -> Result<Vec<RealVma>, RealError> {
    let maps = MemoryMaps::from_buf_read(text.as_bytes())?;
    // The crate knows fewer flags than kernels do.
    let flags = text.lines().filter_map(|line| line.strip_prefix("VmFlags:"));
    let vma = |(map, flags): (procfs_core::process::MemoryMap, &str)| {
        let size = |key: &str| map.extension.map.get(key).copied().unwrap_or(0);
        RealVma {
            start: map.address.0,
            end: map.address.1,
            perms: map.perms.as_str(),
            rss: size("Rss"),
            anon_huge: size("AnonHugePages"),
            vmflags: flags.trim().to_owned(),
        }
    };
    Ok(maps.into_iter().zip(flags).map(vma).collect())
}

/// What /proc says of a page of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RealPage {
    /// Bits 63:52 of its pagemap word.
    pub pagemap: u16,
    /// The frame that it maps, where it maps one and that may be known.
    pub frame: Option<Frame>,
}

/// A frame that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub pfn: u64,
    /// The number of its folio's first frame.
    pub head: u64,
    /// Pages in the folio.
    pub folio_pages: u32,
    /// /proc/kpagecount of it.
    pub mapcount: u32,
}

/// The pages of a range of a process, in order.
///
/// # Errors
/// Where the files of /proc cannot be read.
pub fn pages(files: &mut dyn WordFiles, pid: u32, range: &Range<u64>) -> Result<Vec<RealPage>, RealError> {
    let (index, count) = (range.start / PAGE, (range.end - range.start).div_ceil(PAGE));
    let words = files.words(WordFile::Pagemap(pid), index, count)?;
    let mut folios = Folios { files, last: None };
    let mut pages = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let n = frames_in_row(&words[at..]);
        let Some(pfn) = frame_number(words[at]) else {
            pages.push(RealPage { pagemap: upper(words[at]), frame: None });
            at += 1;
            continue;
        };
        let flags = folios.files.words(WordFile::KPageFlags, pfn, n as u64)?;
        let counts = folios.files.words(WordFile::KPageCount, pfn, n as u64)?;
        for (i, &word) in words[at..at + n].iter().enumerate() {
            let known = flags.get(i).zip(counts.get(i));
            let frame =
                known.map(|(&flags, &count)| folios.frame(pfn + i as u64, flags, count)).transpose()?;
            pages.push(RealPage { pagemap: upper(word), frame });
        }
        at += n;
    }
    Ok(pages)
}

const fn upper(word: u64) -> u16 {
    (word >> 52) as u16
}

/// The frame in a pagemap word: none where nothing is mapped, or where that is not for us to know.
fn frame_number(word: u64) -> Option<u64> {
    let flags = MemoryPageFlags::from_bits_retain(word);
    let pfn = flags.get_page_frame_number().0;
    (flags.contains(MemoryPageFlags::PRESENT) && pfn != 0).then_some(pfn)
}

/// How many of the first words map frames that follow each other, at least one.
fn frames_in_row(words: &[u64]) -> usize {
    let follows = |pair: &&[u64]| match (frame_number(pair[0]), frame_number(pair[1])) {
        (Some(a), Some(b)) => a + 1 == b,
        _ => false,
    };
    1 + words.windows(2).take_while(follows).count()
}

/// Folios, looked up by their frames.
struct Folios<'a> {
    files: &'a mut dyn WordFiles,
    /// First frame and pages of the one that was looked up last.
    last: Option<(u64, u32)>,
}

impl Folios<'_> {
    fn frame(&mut self, pfn: u64, flags: u64, mapcount: u64) -> Result<Frame, RealError> {
        let compound = PhysicalPageFlags::COMPOUND_HEAD | PhysicalPageFlags::COMPOUND_TAIL;
        let known = self.last.filter(|&(head, pages)| (head..head + u64::from(pages)).contains(&pfn));
        let (head, folio_pages) = match known {
            _ if !PhysicalPageFlags::from_bits_truncate(flags).intersects(compound) => (pfn, 1),
            Some(known) => known,
            None => self.look_up(pfn)?,
        };
        self.last = Some((head, folio_pages));
        Ok(Frame { pfn, head, folio_pages, mapcount: mapcount as u32 })
    }

    /// The folio of a frame that belongs to a compound page.
    fn look_up(&mut self, pfn: u64) -> Result<(u64, u32), RealError> {
        let from = pfn.saturating_sub(ENTRIES - 1);
        let window = self.files.words(WordFile::KPageFlags, from, 2 * ENTRIES)?;
        let is_tail = |&word: &u64| {
            PhysicalPageFlags::from_bits_truncate(word).contains(PhysicalPageFlags::COMPOUND_TAIL)
        };
        let here = (pfn - from) as usize;
        let before =
            window[..=here.min(window.len() - 1)].iter().rev().take_while(|word| is_tail(word)).count();
        let head = here - before;
        let tails = window[head + 1..].iter().take_while(|word| is_tail(word)).count();
        Ok((from + head as u64, 1 + tails as u32))
    }
}
