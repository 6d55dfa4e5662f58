//! The files of `strace -ff -o PREFIX`, one a thread, put together by their times.

use crate::strace::columns::columns;
use crate::strace::entry::Clock;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadLog {
    /// The thread, by which the file's name ends.
    pub pid: u32,
    /// The file.
    pub path: PathBuf,
}

impl ThreadLog {
    /// What a path is, if it ends as those of `strace -ff` do.
    pub fn of(path: &Path) -> Option<Self> {
        let pid = path.extension()?.to_str()?.parse().ok()?;
        Some(Self { pid, path: path.to_owned() })
    }
}

/// The files of a prefix, in the order of their threads.
pub fn thread_logs(prefix: &Path) -> Vec<ThreadLog> {
    let dir = prefix.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_one =
        |path: &Path| path.file_stem() == prefix.file_name() && path.file_stem() != Some(OsStr::new(""));
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<ThreadLog> =
        paths.filter(|path| is_one(path)).filter_map(|path| ThreadLog::of(&path)).collect();
    found.sort_by_key(|log| log.pid);
    found
}

/// A line, with those that belong to it: where it is, and when it was printed.
struct Place {
    seconds: f64,
    file: usize,
    start: usize,
    end: usize,
}

/// One log of the files' lines, each with its thread before it, in the order of their times.
///
/// # Errors
/// Where a file cannot be read, or has no times that order it among others.
pub(super) fn together(logs: &[ThreadLog]) -> io::Result<Vec<u8>> {
    let texts = logs.iter().map(|log| fs::read(&log.path)).collect::<io::Result<Vec<_>>>()?;
    let mut places = Vec::new();
    for (file, text) in texts.iter().enumerate() {
        let alone = texts.len() == 1;
        if !place(file, text, &mut places) && !alone {
            let name = logs[file].path.display();
            let text = format!(
                "{name} has no times, without which threads cannot be put in order: strace -ff is to be given -ttt too"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    places.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let mut whole = Vec::with_capacity(texts.iter().map(Vec::len).sum());
    for Place { file, start, end, .. } in places {
        write!(whole, "{} ", logs[file].pid)?;
        whole.extend_from_slice(&texts[file][start..end]);
        if !whole.ends_with(b"\n") {
            whole.push(b'\n');
        }
    }
    Ok(whole)
}

/// Finds the lines of a file; says whether the first has a time of a clock that all threads share.
fn place(file: usize, text: &[u8], places: &mut Vec<Place>) -> bool {
    let first = places.len();
    let mut timed = true;
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let time = columns(line).time.filter(|time| matches!(time.clock, Clock::Epoch | Clock::Midnight));
        let before = places[first..].last_mut();
        match (time, before) {
            (None, Some(before)) if line.starts_with(b" > ") => before.end = end,
            (time, before) => {
                timed &= time.is_some() || before.is_some();
                let seconds = time.map(|time| time.seconds).or(before.map(|before| before.seconds));
                places.push(Place { seconds: seconds.unwrap_or(0.0), file, start, end });
            }
        }
        start = end;
    }
    timed
}

#[cfg(test)]
mod tests {
    use super::{thread_logs, together};

    #[test]
    fn lines_of_threads_in_the_order_of_their_times() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "log.7",
            "1795508980.5 brk(NULL) = 0x1000\n > /lib/libc.so(brk+0x1) [0x1]\n1795508982.5 exit(0) = ?\n",
        );
        write("log.12", "1795508981.5 brk(NULL) = 0x1000");
        write("log.x", "no log");
        write("other.7", "no log");
        let logs = thread_logs(&dir.path().join("log"));
        let whole = String::from_utf8(together(&logs).unwrap()).unwrap();
        assert_eq!(
            whole,
            "7 1795508980.5 brk(NULL) = 0x1000\n > /lib/libc.so(brk+0x1) [0x1]\n12 1795508981.5 brk(NULL) = 0x1000\n\
             7 1795508982.5 exit(0) = ?\n"
        );
        write("log.12", "brk(NULL) = 0x1000\n");
        assert!(together(&logs).unwrap_err().to_string().contains("log.12 has no times"));
        assert_eq!(together(&logs[1..]).unwrap(), b"12 brk(NULL) = 0x1000\n");
    }
}
