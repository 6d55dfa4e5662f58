//! A port of one's own: a made-up machine whose permissions stand in the low bits, in the manner of RISC-V.
//!
//! It names nothing of the workspace but the seam. What it does not say is Linux's fallback; `tests/laws.rs` holds it to the
//! laws of all ports with one line. Break a helper, and see which law says so.

use ptelab_pgtable::laws::{PortFacts, Setting};
use ptelab_pgtable::{
    Access, Arch, BitField, Change, CpuConfig, CpuFeature, EntryFormat, Fpb, KernelRules, Level, Mapping,
    ModifyProt, Pfn, PgProt, Pte, PteAttrs, PteOps, PteView, SoftFlags, SoftLeaf, VmFlags, Walk, changes,
};

const VALID: u64 = 1 << 0;
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 2;
const EXEC: u64 = 1 << 3;
/// Present to Linux, and no access is allowed.
const NONE: u64 = 1 << 5;
const YOUNG: u64 = 1 << 6;
const DIRTY: u64 = 1 << 7;
const SPECIAL: u64 = 1 << 8;
const UFFD: u64 = 1 << 9;
/// A leaf above the last level.
const LARGE: u64 = 1 << 10;
/// Set in every software entry. The offset stands above it, the type below.
const SOFT: u64 = 1 << 11;
const FRAME: u64 = ((1 << 40) - 1) << 12;
const OFFSETS: u64 = 1 << 50;

const PROT: u64 = VALID | NONE | READ | WRITE | EXEC;

/// Attributes, and the bits that say them.
const ATTRS: [(PteAttrs, u64); 8] = [
    (PteAttrs::USER, READ),
    (PteAttrs::WRITE, WRITE),
    (PteAttrs::EXEC, EXEC),
    (PteAttrs::PROTNONE, NONE),
    (PteAttrs::YOUNG, YOUNG),
    (PteAttrs::DIRTY, DIRTY),
    (PteAttrs::SPECIAL, SPECIAL),
    (PteAttrs::UFFD, UFFD),
];

changes! {
    /// What this port does otherwise from one kernel to the next. Nobody else need know of it.
    pub struct Rules;

    /// `pte_mkwrite` makes an entry dirty, as this machine's first kernels had it.
    own_mkwrite_dirties {
        until: Turn::at("6.17"),
        file: "arch/own/include/asm/pgtable.h, pte_mkwrite",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                madvise(0x40000000, 4K, MADV_FREE)
                mprotect(0x40000000, 4K, PROT_READ)
                mprotect(0x40000000, 4K, PROT_READ|PROT_WRITE)
                dump(0x40000000, 4K, "clean and writable")
            "#,
            shows: Shows::Words,
        },
    }
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    rules: Rules,
}

impl Arch for Own {
    const NAME: &'static str = "own";
    const FEATURES: &'static [CpuFeature] = &[];
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(_: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { rules: Rules::of(kernel) }
    }
}

impl PteOps for Own {}
impl ModifyProt for Own {}

impl PortFacts for Own {
    const EMPTY_SOFT_OFFSET: Option<u64> = None;

    fn is_expressible(_: &Setting, m: Mapping) -> bool {
        is_sensible(&m)
    }

    fn mkwrite_dirties(on: &Setting) -> bool {
        Rules::of(on.rules).own_mkwrite_dirties
    }
}

/// Whether there is a word for it: readable or nothing at all, and nothing that this machine has no bit for.
fn is_sensible(m: &Mapping) -> bool {
    let access = m.attrs & (PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC);
    let allowed = if m.attrs.contains(PteAttrs::PROTNONE) {
        access.is_empty()
    } else {
        access.contains(PteAttrs::USER)
    };
    let unsaid = PteAttrs::SOFT_DIRTY | PteAttrs::CONT;
    allowed && !m.attrs.intersects(unsaid) && m.pkey == 0
}

const fn has(pte: Pte, bits: u64) -> bool {
    pte.0 & bits != 0
}

const fn fits(pfn: Pfn) -> bool {
    pfn.get() <= FRAME >> 12
}

impl EntryFormat for Own {
    const PAGE_SHIFT: u32 = 12;
    const TABLE_SHIFT: u32 = 9;
    const ROOT: Level = Level::Pgd;
    const SWP_PFN_BITS: u32 = 40;
    const TASK_SIZE: u64 = 1 << 47;

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        if pte == Pte::NONE {
            return PteView::None;
        }
        if !self.pte_present(pte) {
            let flags = SoftFlags::from_bits_truncate((pte.0 & 1) as u8) | uffd_flag(pte);
            let (ty, offset) = ((pte.0 >> 4 & 31) as u8, pte.0 >> 12 & (OFFSETS - 1));
            return PteView::Soft(SoftLeaf::from_packed(ty, offset, flags, Self::SWP_PFN_BITS));
        }
        if level != Level::Pte && has(pte, VALID) && !has(pte, LARGE) {
            return PteView::Table(self.pte_pfn(pte));
        }
        let attrs = ATTRS.iter().filter(|(_, bit)| has(pte, *bit)).map(|(attr, _)| *attr).collect();
        PteView::Present(Mapping { pfn: self.pte_pfn(pte), level, attrs, pkey: 0 })
    }

    fn encode(&self, view: PteView, level: Level) -> Option<Pte> {
        match view {
            PteView::None => Some(Pte::NONE),
            PteView::Table(pfn) => (level != Level::Pte && fits(pfn)).then(|| self.mk_table(pfn)),
            PteView::Soft(leaf) => (level <= Level::Pmd).then(|| self.soft_leaf(leaf)).flatten(),
            PteView::Present(m) => {
                let aligned = level != Level::Pmd || m.pfn.get().is_multiple_of(1 << Self::PMD_ORDER);
                if m.level != level || level > Level::Pmd || !aligned || !fits(m.pfn) || !is_sensible(&m) {
                    return None;
                }
                let bits = ATTRS
                    .iter()
                    .filter(|(attr, _)| m.attrs.contains(*attr))
                    .fold(0, |all, (_, bit)| all | bit);
                let valid = if m.attrs.contains(PteAttrs::PROTNONE) { 0 } else { VALID };
                let large = if level == Level::Pmd { LARGE } else { 0 };
                Some(Pte(m.pfn.get() << 12 | bits | valid | large))
            }
        }
    }

    fn describe(&self, pte: Pte, level: Level) -> String {
        format!("{:?}", self.decode(pte, level))
    }

    fn fields(&self, _: Pte, _: Level) -> Vec<BitField> {
        let named = [
            ("VALID", VALID),
            ("READ", READ),
            ("WRITE", WRITE),
            ("EXEC", EXEC),
            ("NONE", NONE),
            ("YOUNG", YOUNG),
            ("DIRTY", DIRTY),
            ("SPECIAL", SPECIAL),
            ("UFFD", UFFD),
            ("LARGE", LARGE),
            ("SOFT", SOFT),
            ("FRAME", FRAME),
        ];
        named.map(|(name, mask)| BitField { name, mask }).to_vec()
    }

    fn pfn_mask(&self) -> u64 {
        FRAME
    }

    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte(pfn.get() << 12 & FRAME | prot.0)
    }

    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        Pte(pte.0 | LARGE)
    }

    fn mk_table(&self, pfn: Pfn) -> Pte {
        self.pfn_pte(pfn, PgProt(VALID))
    }

    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        if !flags.intersects(VmFlags::ACCESS) {
            return PgProt(NONE | YOUNG);
        }
        let bit = |on, bit| if on { bit } else { 0 };
        let write = bit(flags.contains(VmFlags::WRITE | VmFlags::SHARED), WRITE);
        PgProt(VALID | READ | YOUNG | write | bit(flags.contains(VmFlags::EXEC), EXEC))
    }

    fn pte_present(&self, pte: Pte) -> bool {
        has(pte, VALID | NONE) && !has(pte, SOFT)
    }

    fn pte_pfn(&self, pte: Pte) -> Pfn {
        Pfn::new((pte.0 & FRAME) >> 12)
    }

    fn pte_write(&self, pte: Pte) -> bool {
        has(pte, WRITE)
    }

    fn pte_dirty(&self, pte: Pte) -> bool {
        has(pte, DIRTY)
    }

    fn pte_young(&self, pte: Pte) -> bool {
        has(pte, YOUNG)
    }

    fn pte_special(&self, pte: Pte) -> bool {
        has(pte, SPECIAL)
    }

    fn pte_protnone(&self, pte: Pte) -> bool {
        has(pte, NONE) && !has(pte, VALID)
    }

    fn pte_uffd_wp(&self, pte: Pte) -> bool {
        has(pte, UFFD)
    }

    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd) && has(pmd, LARGE)
    }

    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        let dirty = if self.rules.own_mkwrite_dirties { DIRTY } else { 0 };
        Pte(pte.0 | WRITE | dirty)
    }

    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !WRITE)
    }

    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        Pte(pte.0 | DIRTY)
    }

    fn pte_mkclean(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !DIRTY)
    }

    fn pte_mkyoung(&self, pte: Pte) -> Pte {
        Pte(pte.0 | YOUNG)
    }

    fn pte_mkold(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !YOUNG)
    }

    fn pte_mkspecial(&self, pte: Pte) -> Pte {
        Pte(pte.0 | SPECIAL)
    }

    fn pte_mkuffd_wp(&self, pte: Pte) -> Pte {
        Pte((pte.0 | UFFD) & !WRITE)
    }

    fn pte_clear_uffd_wp(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !UFFD)
    }

    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        Pte(pte.0 & !PROT | prot.0 & PROT)
    }

    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        Pte(pmd.0 & !VALID | NONE)
    }

    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let dirty = if flags.contains(Fpb::RESPECT_DIRTY) { 0 } else { DIRTY };
        let write = if flags.contains(Fpb::RESPECT_WRITE) { 0 } else { WRITE };
        YOUNG | dirty | write
    }

    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte> {
        let offset = leaf.packed_offset(Self::SWP_PFN_BITS)?;
        let fits = leaf.ty < 32 && offset < OFFSETS && !leaf.flags.contains(SoftFlags::SOFT_DIRTY);
        let exclusive = u64::from(leaf.flags.contains(SoftFlags::EXCLUSIVE));
        let uffd = u64::from(leaf.flags.contains(SoftFlags::UFFD)) << 3;
        fits.then_some(Pte(offset << 12 | SOFT | u64::from(leaf.ty) << 4 | uffd | exclusive))
    }

    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let is_leaf = has(pte, LARGE) == (level == Level::Pmd) && level <= Level::Pmd && !has(pte, SOFT);
        if !is_leaf || !has(pte, VALID) || !has(pte, READ) {
            return Walk::Fault;
        }
        match access {
            Access::Read => Walk::Allowed(Pte(pte.0 | YOUNG)),
            Access::Write if has(pte, WRITE) => Walk::Allowed(Pte(pte.0 | YOUNG | DIRTY)),
            Access::Write => Walk::Fault,
        }
    }
}

fn uffd_flag(pte: Pte) -> SoftFlags {
    if has(pte, 1 << 3) { SoftFlags::UFFD } else { SoftFlags::empty() }
}
