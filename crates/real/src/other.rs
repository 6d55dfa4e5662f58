//! Hosts that are no Linux.

use crate::RegionError;
use ptelab_uapi::{Advice, Prot};

/// Memory that real calls work on. Here there is none.
#[derive(Debug)]
pub struct Region(std::convert::Infallible);

impl Region {
    /// Fails: there is no Linux to ask.
    ///
    /// # Errors
    /// Always.
    pub const fn map(_: u64) -> Result<Self, RegionError> {
        Err(RegionError::NotLinux)
    }

    /// As on Linux.
    ///
    /// # Errors
    /// As on Linux.
    pub const fn mprotect(&mut self, _: u64, _: u64, _: Prot) -> Result<(), RegionError> {
        match self.0 {}
    }

    /// As on Linux.
    ///
    /// # Errors
    /// As on Linux.
    pub const fn madvise(&mut self, _: u64, _: u64, _: Advice) -> Result<(), RegionError> {
        match self.0 {}
    }

    /// As on Linux.
    ///
    /// # Errors
    /// As on Linux.
    pub const fn write_pages(&mut self, _: u64, _: u64) -> Result<(), RegionError> {
        match self.0 {}
    }

    /// As on Linux.
    ///
    /// # Errors
    /// As on Linux.
    pub const fn share(&mut self) -> Result<(), RegionError> {
        match self.0 {}
    }
}
