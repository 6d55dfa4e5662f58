//! Memory of this process, and the real calls on it.

use crate::RegionError;
use crate::shape::{PAGE, PMD_SIZE};
use ptelab_uapi::{Advice, Prot};
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, MprotectFlags, ProtFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use std::ffi::c_void;
use std::ptr;

/// Private anonymous memory, aligned as huge pages are, unmapped when dropped.
#[derive(Debug)]
pub struct Region {
    base: *mut c_void,
    mapped: usize,
    /// First aligned byte, from `base`.
    skip: u64,
    len: u64,
    /// Processes that share its pages.
    sharers: Vec<Pid>,
}

impl Region {
    /// Maps `len` bytes, readable and writable.
    ///
    /// # Errors
    /// Where there is no memory, or no address space, of that size.
    pub fn map(len: u64) -> Result<Self, RegionError> {
        let mapped = usize::try_from(len + PMD_SIZE).map_err(|_| RegionError::Range { offset: 0, len })?;
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing that exists.
        let base = unsafe {
            mm::mmap_anonymous(ptr::null_mut(), mapped, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let base = base.map_err(|errno| failed("mmap", errno))?;
        let skip = (base as u64).next_multiple_of(PMD_SIZE) - base as u64;
        Ok(Self { base, mapped, skip, len, sharers: Vec::new() })
    }

    /// A part of the region. `offset` and `len` are in bytes.
    fn part(&self, offset: u64, len: u64) -> Result<(*mut c_void, usize), RegionError> {
        let bad = RegionError::Range { offset, len };
        let end = offset.checked_add(len).ok_or(bad)?;
        if end > self.len {
            return Err(bad);
        }
        Ok((self.base.wrapping_byte_add((self.skip + offset) as usize), len as usize))
    }

    /// mprotect(2) of a part.
    ///
    /// # Errors
    /// Where the part reaches beyond the region, or the kernel's error.
    pub fn mprotect(&mut self, offset: u64, len: u64, prot: Prot) -> Result<(), RegionError> {
        let (at, len) = self.part(offset, len)?;
        let flags = MprotectFlags::from_bits_truncate(prot.bits() as u32);
        // SAFETY: the range lies in a mapping of our own, to which no reference exists.
        unsafe { mm::mprotect(at, len, flags) }.map_err(|errno| failed("mprotect", errno))
    }

    /// madvise(2) of a part.
    ///
    /// # Errors
    /// Where the part reaches beyond the region, or the kernel's error.
    pub fn madvise(&mut self, offset: u64, len: u64, advice: Advice) -> Result<(), RegionError> {
        let (at, len) = self.part(offset, len)?;
        // SAFETY: the range lies in a mapping of our own, to which no reference exists: its contents may change.
        match unsafe { libc::madvise(at, len, advice.raw() as libc::c_int) } {
            0 => Ok(()),
            _ => Err(failed(
                "madvise",
                Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO),
            )),
        }
    }

    /// Writes a byte to every page of a part, which must be writable.
    ///
    /// # Errors
    /// Where the part reaches beyond the region.
    pub fn write_pages(&mut self, offset: u64, len: u64) -> Result<(), RegionError> {
        let (at, len) = self.part(offset, len)?;
        for page in (0..len).step_by(PAGE as usize) {
            // SAFETY: the byte lies in a mapping of our own, to which no reference exists.
            unsafe { at.byte_add(page).cast::<u8>().write_volatile(1) };
        }
        Ok(())
    }

    /// Forks a child that does nothing but share this memory, copy on write, until the region is dropped.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn share(&mut self) -> Result<(), RegionError> {
        let parent = rustix::process::getpid();
        // SAFETY: the child makes nothing but system calls on its own stack: no allocation, no lock, no return.
        match unsafe { libc::fork() } {
            0 => sleep_until_killed(parent),
            child => match Pid::from_raw(child) {
                Some(child) if child.as_raw_nonzero().get() > 0 => self.sharers.push(child),
                _ => return Err(RegionError::Errno { call: "fork", errno: last_errno() }),
            },
        }
        Ok(())
    }
}

/// What the child does: it ends with its parent, or when the parent kills it.
fn sleep_until_killed(parent: Pid) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let hour = rustix::thread::Timespec { tv_sec: 3600, tv_nsec: 0 };
    while rustix::process::getppid() == Some(parent) {
        let _ = rustix::thread::nanosleep(&hour);
    }
    // SAFETY: it ends the child without running anything of the parent's.
    unsafe { libc::_exit(0) }
}

impl Drop for Region {
    fn drop(&mut self) {
        for &child in &self.sharers {
            // A child that has gone already leaves nothing to do.
            let _ = rustix::process::kill_process(child, Signal::KILL);
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        }
        // SAFETY: the mapping is our own, and nothing refers to it after this.
        let _ = unsafe { mm::munmap(self.base, self.mapped) };
    }
}

/// What the call before left in errno.
pub(crate) fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

const fn failed(call: &'static str, errno: Errno) -> RegionError {
    RegionError::Errno { call, errno: errno.raw_os_error() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_checked_and_protected() {
        let mut region = Region::map(4 << 20).expect("memory is there");
        region.write_pages(0, 4 << 20).expect("it is writable");
        region.madvise(0, 4096, Advice::DONTFORK).expect("advice is taken");
        region.madvise(0, 4096, Advice::DOFORK).expect("advice is taken");
        region.mprotect(0, 4 << 20, Prot::READ).expect("it is ours");
        region.mprotect(0, 4 << 20, Prot::READ | Prot::WRITE).expect("it is ours");
        region.share().expect("a child is made");
        region.write_pages(4096, 4096).expect("it is writable still");
        assert_eq!(
            region.mprotect(4096, 4 << 20, Prot::READ),
            Err(RegionError::Range { offset: 4096, len: 4 << 20 })
        );
        assert_eq!(
            region.mprotect(1, 4096, Prot::READ),
            Err(RegionError::Errno { call: "mprotect", errno: Errno::INVAL.raw_os_error() })
        );
    }
}
