//! What is found of a series.

use serde::Serialize;

/// The cause where a kernel did not survive a program.
pub(super) const LOST: &str = "the kernel is lost";

/// What a finding says of a series.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// The two kernels differ.
    Changed,
    /// Something is wrong with the patched one.
    Wrong,
    /// The same is wrong with both.
    Both,
    /// The patched one differs from the emulator, and the base does not.
    Unlike,
}

/// What is found, and what shows it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) cause: String,
    pub(super) text: String,
}
