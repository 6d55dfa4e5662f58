//! The arm64 port, with the 4K granule.
//!
//! What it does differently: sixteen entries that map a naturally aligned 64K may be joined to a contiguous
//! block, and this port joins and separates them behind the operations' backs; hardware keeps dirtiness as
//! "writable, and no longer read-only", so that a writable page starts clean; changing the size of a
//! translation takes break-before-make; TLB invalidations are broadcast and framed by barriers.

mod bits;
mod cause;
mod changes;
mod contpte;
mod facts;
mod modify_prot;
mod ops;
mod pte;
mod tlb;
mod view;

pub use bits::{PteBits, SoftBits};
pub use changes::Rules;

use ptelab_pgtable::{Arch, Cause, Change, CpuConfig, CpuFeature, KernelRules};

/// A 64-bit Arm machine with 4K pages, 48-bit addresses and four levels of tables.
#[expect(clippy::struct_excessive_bools, reason = "one for each feature that a CPU has or lacks")]
#[derive(Clone, Copy, Debug)]
pub struct Arm64 {
    hafdbs: bool,
    range_tlbi: bool,
    bbml3: bool,
    bti: bool,
    epan: bool,
    poe: bool,
    erratum_2645198: bool,
    rules: Rules,
}

/// By default an Armv8.7-A core.
impl Arch for Arm64 {
    const NAME: &'static str = "arm64";
    const ALIASES: &'static [&'static str] = &["aarch64"];
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;
    const FEATURES: &'static [CpuFeature] = &[
        CpuFeature {
            name: "hafdbs",
            default: true,
            doc: "hardware sets the access flag and dirty state (FEAT_HAFDBS)",
        },
        CpuFeature {
            name: "range_tlbi",
            default: true,
            doc: "one instruction invalidates a range (FEAT_TLBIRANGE)",
        },
        CpuFeature {
            name: "bbml3",
            default: false,
            doc: "block size may change without break-before-make (FEAT_BBML3)",
        },
        CpuFeature { name: "bti", default: true, doc: "branch target identification (FEAT_BTI)" },
        CpuFeature { name: "epan", default: true, doc: "execute-only memory (FEAT_PAN3)" },
        CpuFeature { name: "poe", default: false, doc: "permission overlays: protection keys (FEAT_S1POE)" },
        CpuFeature {
            name: "erratum_2645198",
            default: false,
            doc: "losing execute permission takes break-before-make (Cortex-A715 erratum 2645198)",
        },
    ];

    const CAUSES: &'static [&'static Cause] = cause::ALL;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        let has = |name| cpu.has(Self::FEATURES, name);
        Self {
            hafdbs: has("hafdbs"),
            range_tlbi: has("range_tlbi"),
            bbml3: has("bbml3"),
            bti: has("bti"),
            epan: has("epan"),
            poe: has("poe"),
            erratum_2645198: has("erratum_2645198"),
            rules: Rules::of(kernel),
        }
    }
}
