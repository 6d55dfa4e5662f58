//! The running Linux kernel, as something to hold the emulator against.
//!
//! [`Region`] is memory of this process that real calls work on; [`thp`] says which sizes of huge pages the kernel's
//! settings allow; [`facts`] tells which machine this is. [`RealKernel`] is a real kernel that plays a scenario call by call:
//! the running one, in child processes ([`host`]), or an image under QEMU ([`qemu`]). Where the host is no Linux, a
//! region cannot be made and says so, and there is no [`RealKernel`].

pub mod command;
pub mod facts;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "this is where Linux itself is called")]
#[deny(clippy::undocumented_unsafe_blocks)]
pub mod host;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "this is where Linux itself is called")]
#[deny(clippy::undocumented_unsafe_blocks)]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(target_os = "linux")]
#[deny(clippy::undocumented_unsafe_blocks)]
pub mod qemu;
mod real;
pub mod shape;
pub mod thp;

#[cfg(target_os = "linux")]
pub use linux::Region;
#[cfg(not(target_os = "linux"))]
pub use other::Region;
pub use real::{
    Frame, Look, Looked, RealError, RealKernel, RealPage, RealVma, Root, Translate, WordFile, WordFiles,
    asked, pages, vmas,
};

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// The kernel's error number.
    #[error("{call}: errno {errno}")]
    Errno {
        /// The call.
        call: &'static str,
        /// Its error number.
        errno: i32,
    },
    /// The range does not lie in the region.
    #[error("{len} bytes at {offset} are not in the region")]
    Range {
        /// Bytes from the region's start.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// This is no Linux.
    #[error("the host is no Linux")]
    NotLinux,
}
