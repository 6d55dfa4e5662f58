//! `process_madvise` of a process on itself (`mm/madvise.c`, 7.3).

use crate::kernel::Kernel;
use crate::madvise::madvise;
use crate::mm_types::Mm;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use ptelab_uapi::{Advice, Errno};

/// The most ranges of one call (`UIO_MAXIOV`).
const UIO_MAXIOV: usize = 1024;

/// Gives advice on several ranges and returns how many bytes were advised: those of the ranges before the first that failed.
///
/// # Errors
/// That of the first range; `EINVAL` for flags, too many ranges, or a length that is none.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn process_madvise<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    ranges: &[(u64, u64)],
    advice: Advice,
    flags: u64,
) -> Result<u64, Errno> {
    let lengths_fit = ranges.iter().all(|&(_, len)| i64::try_from(len).is_ok());
    if flags != 0 || ranges.len() > UIO_MAXIOV || !lengths_fit {
        return Err(Errno::EINVAL);
    }
    // One call takes no more than read and write do (`MAX_RW_COUNT`).
    let mut left = (1 << 31) - A::PAGE_SIZE;
    let mut done = 0;
    for &(start, len) in ranges {
        let len = len.min(left);
        if len == 0 {
            continue;
        }
        match madvise(k, mm, VirtAddr::new(start), len, advice) {
            Ok(()) => done += len,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        left -= len;
    }
    Ok(done)
}
