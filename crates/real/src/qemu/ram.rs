//! The guest's memory: files without a name that QEMU uses as its memory, and that are mapped here.

use crate::real::RealError;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Physical memory, a part for each NUMA node.
#[derive(Debug)]
pub(super) struct Ram {
    /// The addresses at which it begins, each with the bytes there at most.
    starts: &'static [(u64, u64)],
    parts: Vec<Part>,
}

/// A file and where it is mapped.
#[derive(Debug)]
struct Part {
    file: OwnedFd,
    memory: *mut c_void,
    len: u64,
}

// SAFETY: the mapping is this value's own, and its memory is accessed by atomic operations only.
unsafe impl Send for Part {}

impl Ram {
    /// So many bytes at these addresses, in so many parts. Nothing is taken of the host's memory until the guest writes there.
    pub(super) fn new(starts: &'static [(u64, u64)], len: u64, parts: u8) -> Result<Self, RealError> {
        let parts = (0..parts).map(|_| Part::new(len / u64::from(parts)));
        Ok(Self { starts, parts: parts.collect::<Result<_, _>>()? })
    }

    /// The path by which another process of this user opens each part, and its bytes.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let process = std::process::id();
        self.parts.iter().map(move |part| (format!("/proc/{process}/fd/{}", part.file.as_raw_fd()), part.len))
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// The word at a physical address, as this host reads it; nothing where there is no memory.
    pub(super) fn word(&self, addr: u64) -> Option<u64> {
        let at = self.place::<AtomicU64>(addr)?;
        // SAFETY: `place` gives a place in a mapping that lives as long as `self`, aligned for the type.
        Some(unsafe { &*at }.load(Ordering::Relaxed))
    }

    /// Writes the word at a physical address, if there is one.
    pub(super) fn set_word(&self, addr: u64, word: u64) {
        if let Some(at) = self.place::<AtomicU64>(addr) {
            // SAFETY: as above.
            unsafe { &*at }.store(word, Ordering::Relaxed);
        }
    }

    /// The number of 32 bits at a physical address, which the guest changes meanwhile.
    pub(super) fn number(&self, addr: u64) -> Option<&AtomicU32> {
        // SAFETY: as above.
        self.place(addr).map(|at| unsafe { &*at })
    }

    fn place<T>(&self, addr: u64) -> Option<*const T> {
        let mut offset = self.offset(addr)?;
        if !offset.is_multiple_of(size_of::<T>() as u64) {
            return None;
        }
        for part in &self.parts {
            if offset < part.len {
                return Some(part.memory.cast::<u8>().cast_const().wrapping_add(offset as usize).cast());
            }
            offset -= part.len;
        }
        None
    }
}

impl Ram {
    /// The bytes of memory before a physical address.
    fn offset(&self, addr: u64) -> Option<u64> {
        let mut before = 0;
        for (start, len) in self.starts {
            match addr.checked_sub(*start) {
                Some(offset) if offset < *len => return Some(before + offset),
                _ => before = u64::saturating_add(before, *len),
            }
        }
        None
    }
}

impl Part {
    fn new(len: u64) -> Result<Self, RealError> {
        let make = || {
            let file = memfd_create("ptelab-guest", MemfdFlags::CLOEXEC)?;
            ftruncate(&file, len)?;
            // SAFETY: a new mapping at an address that the kernel chooses, which this value alone knows.
            let memory = unsafe {
                let prot = ProtFlags::READ | ProtFlags::WRITE;
                mmap(ptr::null_mut(), len as usize, prot, MapFlags::SHARED, &file, 0)?
            };
            Ok(Self { file, memory, len })
        };
        make().map_err(|error: rustix::io::Errno| RealError::io("the guest's memory")(error.into()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping any more.
        let _ = unsafe { munmap(self.memory, self.len as usize) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_they_were_written() {
        let ram = Ram::new(&[(1 << 30, u64::MAX)], 64 << 10, 2).expect("there is memory");
        for (addr, word) in [(1 << 30, 7), ((1 << 30) + (32 << 10), 8), ((1 << 30) + (64 << 10) - 8, 9)] {
            ram.set_word(addr, word);
            assert_eq!(ram.word(addr), Some(word));
        }
        for nowhere in [0, (1 << 30) - 8, (1 << 30) + (64 << 10), (1 << 30) + 4] {
            assert_eq!(ram.word(nowhere), None, "{nowhere:#x}");
        }
    }

    #[test]
    fn memory_may_begin_at_several_addresses() {
        let ram = Ram::new(&[(0, 16 << 10), (2 << 30, u64::MAX)], 64 << 10, 1).expect("there is memory");
        for (addr, offset) in [(0, 0), ((16 << 10) - 8, (16 << 10) - 8), (2 << 30, 16 << 10)] {
            assert_eq!(ram.offset(addr), Some(offset));
        }
        assert_eq!((ram.offset(16 << 10), ram.word((2 << 30) + (48 << 10))), (None, None));
    }
}
