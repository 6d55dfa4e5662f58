//! Real kernels on the other side: a scenario is played there, and machines are held against what it did.
//!
//! [`host::Host`] is the running kernel, [`qemu::Image`] one that QEMU boots.

pub mod cost;
mod entry;
pub mod host;
#[cfg(feature = "fuzz")]
mod judge;
pub mod learn;
pub mod learned_image;
mod lost;
mod moving;
#[cfg(feature = "fuzz")]
pub mod programs;
pub mod qemu;
mod record;
mod recording;
mod report;
#[cfg(feature = "fuzz")]
pub mod series;
#[cfg(feature = "fuzz")]
mod sound;
mod view;
mod walk;

pub use crate::verify::Beside;
pub use entry::EntryChange;
pub use moving::AddrRange;
pub use ptelab_real::RealError;
pub use ptelab_real::host::{Helpers, keep, play};
pub use report::as_seen;

use crate::golden::GoldenError;

/// Why a scenario could not be held against a real kernel.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The kernel did not answer.
    #[error(transparent)]
    Real(#[from] RealError),
    /// It was lost while it played: in which call, and at which entry as far as that can be seen.
    #[error("{0}: {1}")]
    Lost(String, RealError),
    /// What it answered makes no sense.
    #[error(transparent)]
    Golden(#[from] GoldenError),
}

impl VerifyError {
    /// Whether a kernel was lost while it played; another may be booted.
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_, error) | Self::Real(error) if !matches!(error, RealError::Missing(_) | RealError::Stopped))
    }

    /// Whether it was stopped by who asked.
    pub const fn is_stop(&self) -> bool {
        matches!(self, Self::Lost(_, RealError::Stopped) | Self::Real(RealError::Stopped))
    }
}

/// Nothing where it was stopped, wherever that was seen.
fn unless_stopped<T>(done: Result<Option<T>, VerifyError>) -> Result<Option<T>, VerifyError> {
    match done {
        Err(error) if error.is_stop() => Ok(None),
        done => done,
    }
}
