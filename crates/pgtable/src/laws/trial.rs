//! What laws are tried with: a port's facts, a setting, and what is said where a law does not hold.

use crate::{
    Arch, CpuConfig, CpuFeature, KernelRules, Level, Mapping, Pte, PteAttrs, PteView, SoftleafRules,
};
use std::collections::HashSet;
use std::fmt;

/// What a port says of itself for the laws to hold it to.
pub trait PortFacts: Arch {
    /// The offset at which a software entry of type 0 without flags would be the empty entry.
    const EMPTY_SOFT_OFFSET: Option<u64> = None;

    /// Whether there is a word for a page that may be executed and not read.
    const EXECUTE_ONLY: bool = true;

    /// Whether a huge page that is on its way elsewhere has an entry of its own (`CONFIG_ARCH_HAS_PMD_SOFTLEAVES`).
    const HUGE_SOFT_LEAVES: bool = true;

    /// Whether a huge leaf says that no page struct is behind it.
    const HUGE_SPECIAL: bool = true;
    /// Whether `pmd_mkspecial` says it.
    const HUGE_MKSPECIAL: bool = Self::HUGE_SPECIAL;

    /// Whether a huge leaf is told from a page by the table that it stands in only.
    const HUGE_BY_PLACE: bool = false;

    /// Whether a protection that allows an access makes an entry young.
    const MODIFY_MAKES_YOUNG: bool = false;

    /// Whether one that allows none makes it old.
    const MODIFY_MAKES_OLD: bool = false;

    /// Whether what writes to a writable page can always set what is missing of its dirtiness, so that an entry that Linux takes for
    /// dirty may be clean to hardware.
    const DIRTY_ON_STORE: bool = false;

    /// Whether a page that allows no access is an entry without rights, valid to hardware: made writable, it can be read and written.
    const VALID_PROTNONE: bool = false;

    /// Whether the soft-dirty bit of a software entry makes it present, and a leaf, where it stands for a huge page.
    const SOFT_DIRTY_LOOKS_HUGE: bool = false;

    /// The attributes that no word says.
    fn unsaid(on: &Setting) -> PteAttrs {
        let _ = on;
        PteAttrs::SOFT_DIRTY | PteAttrs::CONT
    }

    /// How many protection keys entries tell apart.
    fn pkeys(on: &Setting) -> u8 {
        let _ = on;
        1
    }

    /// Whether the walker sets accessed and dirty, rather than to fault for software to do it.
    fn walker_sets(on: &Setting) -> bool {
        let _ = on;
        true
    }

    /// Whether write protection makes a page readable that could only be executed.
    fn wrprotect_makes_readable(on: &Setting) -> bool {
        let _ = on;
        false
    }

    /// Whether making a clean entry writable makes it dirty.
    fn mkwrite_dirties(on: &Setting) -> bool {
        let _ = on;
        false
    }

    /// Whether entries that are not valid to hardware may say that they are of a contiguous block.
    fn has_cont_on_invalid(on: &Setting) -> bool {
        let _ = on;
        false
    }

    /// Whether a huge leaf that hardware has made dirty stays so where its permissions change.
    fn pmd_modify_keeps_dirty(on: &Setting) -> bool {
        let _ = on;
        true
    }

    /// Whether a huge leaf without a page struct stays so where its permissions change.
    fn pmd_modify_keeps_special(on: &Setting) -> bool {
        let _ = on;
        true
    }

    /// Whether an entry that hardware sees may join or leave a contiguous block without being empty, and flushed, in between.
    fn resizes_live(on: &Setting) -> bool {
        let _ = on;
        false
    }
}

/// Whether a mapping has a word. It is readable or of an access that a port allows without, or `PROTNONE` and nothing else; blocks
/// are of small pages.
pub(crate) fn is_expressible<P: PortFacts>(on: &Setting, m: &Mapping) -> bool {
    let is = |attr| m.attrs.contains(attr);
    let accesses: &[PteAttrs] = match (is(PteAttrs::PROTNONE), P::EXECUTE_ONLY) {
        (true, _) => &[PteAttrs::empty()],
        (false, true) => &[READ, READ_WRITE, READ_EXEC, ACCESS, PteAttrs::EXEC],
        (false, false) => &[READ, READ_WRITE, READ_EXEC, ACCESS],
    };
    accesses.contains(&(m.attrs & ACCESS))
        && !m.attrs.intersects(P::unsaid(on))
        && !(is(PteAttrs::CONT) && m.level == Level::Pmd)
        && !(is(PteAttrs::SPECIAL) && m.level == Level::Pmd && !P::HUGE_SPECIAL)
        && m.pkey < P::pkeys(on)
}

const READ: PteAttrs = PteAttrs::USER;
const READ_WRITE: PteAttrs = PteAttrs::USER.union(PteAttrs::WRITE);
const READ_EXEC: PteAttrs = PteAttrs::USER.union(PteAttrs::EXEC);
const ACCESS: PteAttrs = READ_WRITE.union(PteAttrs::EXEC);

/// A CPU of a port and a kernel's rules.
#[derive(Clone, Debug)]
pub struct Setting {
    cpu: CpuConfig,
    features: &'static [CpuFeature],
    /// The kernel's rules.
    pub rules: &'static KernelRules,
}

impl Setting {
    /// A CPU of the port `P` with these switches, under a kernel's rules.
    pub const fn of<P: Arch>(cpu: CpuConfig, rules: &'static KernelRules) -> Self {
        Self { cpu, features: P::FEATURES, rules }
    }

    /// Whether the CPU has a feature of the port's.
    pub fn has(&self, feature: &str) -> bool {
        self.cpu.has(self.features, feature)
    }

    /// The CPU's switches.
    pub const fn cpu(&self) -> &CpuConfig {
        &self.cpu
    }

    /// The same without what was planted in the kernel.
    #[must_use]
    pub fn sound(&self) -> Self {
        Self { rules: self.rules.sound(), ..self.clone() }
    }

    /// Every setting of a port: each kernel in which it is otherwise than in an older one, on the default CPU, and with each
    /// feature the other way.
    pub fn all<P: Arch>() -> Vec<Self> {
        let rows = |rules: &KernelRules| {
            P::CHANGES.iter().chain(SoftleafRules::CHANGES).map(|row| rules.has(row)).collect::<Vec<_>>()
        };
        let mut seen = HashSet::new();
        let kernels = KernelRules::ALL.iter().filter(|rules| seen.insert(rows(rules)));
        kernels.flat_map(Self::with::<P>).collect()
    }

    /// Every CPU of a port under these rules: the default one, and one with each feature the other way.
    pub fn with<P: Arch>(rules: &'static KernelRules) -> Vec<Self> {
        let switched = P::FEATURES.iter().map(|f| CpuConfig::default().with(f.name, !f.default));
        std::iter::once(CpuConfig::default()).chain(switched).map(|cpu| Self::of::<P>(cpu, rules)).collect()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.rules.name)?;
        for feature in self.features.iter().filter(|feature| self.has(feature.name) != feature.default) {
            write!(f, ", {} {}", feature.name, if feature.default { "off" } else { "on" })?;
        }
        Ok(())
    }
}

/// How a case came out otherwise than the law says: words in hex with their neutral views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The operation, with its arguments.
    pub operation: String,
    /// What it was given.
    pub before: String,
    /// What it made.
    pub after: String,
    /// What it should have made.
    pub expected: String,
}

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The law.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Name of the port.
    pub port: &'static str,
    /// The kernel, and the CPU's features that are not as usual.
    pub setting: String,
    /// The first case that shows it.
    pub broken: Broken,
    /// A scenario whose dumps show such entries.
    pub scenario: &'static str,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, port, setting, broken, scenario } = self;
        writeln!(f, "{id} does not hold: {name} ({port}, {setting})")?;
        writeln!(f, "  {}", broken.operation)?;
        writeln!(f, "    before    {}", broken.before)?;
        writeln!(f, "    after     {}", broken.after)?;
        writeln!(f, "    expected  {}", broken.expected)?;
        writeln!(f, "  a scenario that shows such entries:")?;
        scenario.lines().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// A port on trial in one setting.
pub(crate) struct Trial<'a, P> {
    /// The port.
    pub(crate) port: &'a P,
    /// Its CPU and kernel.
    pub(crate) on: &'a Setting,
    pub(super) cases: u64,
}

impl<P: PortFacts> Trial<'_, P> {
    /// A case that is judged by hand.
    pub(crate) fn case(&mut self, holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
        self.cases += 1;
        if holds { Ok(()) } else { Err(broken()) }
    }

    /// A case: what `operation` says of, or makes of, a word at `level`.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over what they have just made")]
    pub(crate) fn same<T: PartialEq + fmt::Debug>(
        &mut self,
        operation: impl FnOnce() -> String,
        (before, level): (Pte, Level),
        got: T,
        expected: T,
    ) -> Result<(), Broken> {
        let port = self.port;
        self.case(got == expected, || Broken {
            operation: operation(),
            before: word_text(port, before, level),
            after: format!("{got:x?}"),
            expected: format!("{expected:x?}"),
        })
    }

    /// A case: `operation` makes the word `after` of `before`, which must say `expected`.
    pub(crate) fn word(
        &mut self,
        operation: impl FnOnce() -> String,
        (before, level): (Pte, Level),
        after: Pte,
        expected: PteView,
    ) -> Result<(), Broken> {
        let port = self.port;
        self.case(port.decode(after, level) == expected, || Broken {
            operation: operation(),
            before: word_text(port, before, level),
            after: word_text(port, after, level),
            expected: view_text(&expected),
        })
    }
}

/// A word and what it says.
pub(crate) fn word_text<P: Arch>(port: &P, pte: Pte, level: Level) -> String {
    format!("{:016x}  {}", pte.0, view_text(&port.decode(pte, level)))
}

/// A view for people.
pub(crate) fn view_text(view: &PteView) -> String {
    match view {
        PteView::None => "empty".to_owned(),
        PteView::Table(pfn) => format!("table at {pfn:?}"),
        PteView::Soft(leaf) => format!("{leaf:x?}"),
        PteView::Present(m) => mapping_text(m),
    }
}

/// A mapping for people.
pub(crate) fn mapping_text(m: &Mapping) -> String {
    let names: Vec<String> = m.attrs.iter_names().map(|(name, _)| name.to_lowercase()).collect();
    let level = if m.level == Level::Pte { "page" } else { "huge page" };
    let key = if m.pkey == 0 { String::new() } else { format!(" key {}", m.pkey) };
    format!("{level} {}: {}{key}", m.pfn, names.join(" "))
}
