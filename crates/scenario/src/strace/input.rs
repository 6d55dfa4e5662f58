//! Files, and their lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::strace::threads::{ThreadLog, thread_logs, together};
use flate2::bufread::MultiGzDecoder;

/// How many bytes a line may have. Longer ones are skipped and counted.
pub const MAX_LINE: usize = 1 << 20;

const BUFFER: usize = 1 << 16;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A log for a [`crate::strace::Reader`]: a file, or standard input for `-`. What is gzip's by its first two bytes is
/// unpacked, however it is named and in however many members, and if it was cut off, up to there. A path of no file that
/// `strace -ff -o` was given stands for its files, which are put together.
///
/// # Errors
/// Where it cannot be opened, or its first bytes not be read; where the files of `-ff` have no times.
pub fn open(path: impl AsRef<Path>) -> io::Result<Box<dyn BufRead + Send>> {
    let path = path.as_ref();
    let threads = if path == Path::new("-") || path.exists() { Vec::new() } else { thread_logs(path) };
    if !threads.is_empty() {
        return open_threads(&threads);
    }
    let input: Box<dyn Read + Send> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    unpack(input)
}

/// The files of `strace -ff`, as one log.
///
/// # Errors
/// Where one cannot be read, or has no times.
pub fn open_threads(threads: &[ThreadLog]) -> io::Result<Box<dyn BufRead + Send>> {
    Ok(Box::new(io::Cursor::new(together(threads)?)))
}

/// A log that is read from somewhere, unpacked where it is gzip's.
///
/// # Errors
/// Where its first bytes cannot be read.
pub fn unpack(mut input: Box<dyn Read + Send>) -> io::Result<Box<dyn BufRead + Send>> {
    let mut magic = Vec::new();
    input.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let packed = is_packed(&magic);
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(magic).chain(input));
    if packed {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, UpToCut(MultiGzDecoder::new(whole)))));
    }
    Ok(Box::new(whole))
}

/// Whether bytes begin as gzip's do.
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

/// A packed file that was cut off: what there is of it.
struct UpToCut<R>(R);

impl<R: Read> Read for UpToCut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

/// What reading a line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// There is no line any more.
    End,
    /// A line; whether it had an end.
    Line { ended: bool },
    /// A line of more than [`MAX_LINE`] bytes, of which only the beginning was kept; whether it had an end.
    TooLong { ended: bool },
}

/// Reads a line into `line`, without its end.
pub(super) fn fetch(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Fetched> {
    line.clear();
    let read = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(Fetched::End);
    }
    let ended = line.last() == Some(&b'\n');
    if ended {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if read > MAX_LINE {
        return Ok(Fetched::TooLong { ended: skip_to_end(input)? });
    }
    Ok(Fetched::Line { ended })
}

/// Leaves the rest of a line out; whether it had an end.
fn skip_to_end(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let part = match input.fill_buf() {
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if part.is_empty() {
            return Ok(false);
        }
        let end = part.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(part.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}
