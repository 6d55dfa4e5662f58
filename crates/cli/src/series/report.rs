//! What came of a series.

use crate::cost_real::Measured;
use ptelab::real::series::SeriesReport;
use serde::Serialize;

/// Kinds of findings that are shown with their programs.
pub(super) const SHOWN: usize = 12;
/// What came of a series.
#[derive(Serialize)]
pub(super) struct Report {
    /// The command that comes to it, with the names of the images.
    pub(super) command: String,
    pub(super) architectures: Vec<OfArch>,
    pub(super) seconds: f64,
    pub(super) finished: bool,
}

/// What came of it on one architecture.
#[derive(Serialize)]
pub(super) struct OfArch {
    pub(super) arch: &'static str,
    pub(super) base: String,
    pub(super) patched: String,
    pub(super) words: SeriesReport,
    /// What workloads took on the one and on the other.
    pub(super) cost: Vec<[Measured; 2]>,
}

impl OfArch {
    pub(super) fn is_wrong(&self) -> bool {
        !self.words.wrong.is_empty() || !self.words.unlike_rules.is_empty()
    }
}
