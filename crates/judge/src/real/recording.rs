//! What a real kernel did in a scenario.

use super::moving::AddrRange;
use super::walk::TableWord;
use crate::golden::GoldenVma;
use ptelab_machine::Outcome;
use ptelab_real::RealPage;

/// What a real kernel did in a scenario.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    pub(super) calls: Vec<RealCall>,
    /// How many of them the kernel has answered.
    pub(super) played: usize,
    pub(super) dumps: Vec<RealDump>,
    /// The memory whose VMAs are compared.
    pub(super) area: Vec<AddrRange>,
}

#[derive(Clone, Debug)]
pub(super) struct RealCall {
    pub(super) text: String,
    pub(super) reply: Outcome,
    /// Whether the kernel was free to choose the address that it returned.
    pub(super) chosen: bool,
}

/// What /proc said at a dump, and the tables.
#[derive(Clone, Debug)]
pub(super) struct RealDump {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) vmas: Vec<GoldenVma>,
    pub(super) pages: Vec<RealPage>,
    /// What the page of each holds at some places, where that can be read.
    #[cfg_attr(not(feature = "fuzz"), expect(dead_code, reason = "it is for who judges kernels"))]
    pub(super) bytes: Vec<Option<[u8; 4]>>,
    /// Where they can be read.
    pub(super) words: Option<Vec<TableWord>>,
}
