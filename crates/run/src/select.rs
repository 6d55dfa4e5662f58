//! Ports and kernels by name, and names that are none.

use ptelab_machine::{BuildError, KernelRules, Level, PortInfo, Release, default_ports, ports};
use std::collections::BTreeSet;

/// A selection that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No port has this name.
    #[error("no port `{0}`: {choose} {ports}, default, all", choose = choose_from(.0, &port_names()), ports = port_names().join(", "))]
    Port(String),
    /// No rules have this name.
    #[error(
        "no kernel `{0}`: {choose} {kernels}, all; another release from {oldest} on; or a file of rules, as mine.toml",
        choose = choose_kernel(.0),
        kernels = kernel_names().join(", "),
        oldest = KernelRules::OLDEST
    )]
    Kernel(String),
    /// A list with nothing between two commas, or after the last.
    #[error("an empty name in the list `{0}`")]
    Empty(String),
    /// All, and others.
    #[error("`all` stands alone, not in a list as `{0}`")]
    All(String),
    /// A file of rules that cannot be used: what is wrong with it, a line each.
    #[error("{0}")]
    RulesFile(String),
    /// Two kernels with different rules have one name.
    #[error("two kernels are named `{0}`")]
    SameName(String),
    /// The running kernel, which is not emulated.
    #[error("`host` is the running kernel: `ptelab verify --host FILE` plays scenarios on it")]
    Host,
    /// A file, and not one of rules: at best a kernel image, which is no emulated kernel.
    #[error(
        "`{0}` is a kernel image, or some other file: this command takes emulated kernels only, such as 6.17 or rules in a file, mine.toml; `verify` plays scenarios on images"
    )]
    Image(String),
    /// A scenario is for pages that no chosen port has.
    #[error("this is for pages of {0}, which no chosen port has")]
    Pages(String),
    /// A CPU feature is not written as it should be.
    #[error("`{0}` switches no CPU feature: write PORT.FEATURE=on or PORT.FEATURE=off")]
    Cpu(String),
    /// A machine of this kind cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// `did you mean ...? Choose from`, where a name is near.
pub fn choose_from(name: &str, names: &[&'static str]) -> String {
    let hint = ptelab_scenario::did_you_mean(name, names.iter().copied());
    hint.map_or_else(|| "choose from".to_owned(), |hint| format!("{hint} Choose from"))
}

/// The same for kernels. A release newer than all of them is no slip of the pen.
fn choose_kernel(name: &str) -> String {
    let is_newer = |release| KernelRules::ALL.iter().all(|known| known.release < release);
    let names = if Release::parse(name).is_some_and(is_newer) { Vec::new() } else { kernel_names() };
    choose_from(name, &names)
}

/// Names of all ports.
pub fn port_names() -> Vec<&'static str> {
    ports().iter().map(|port| port.name).collect()
}

/// The list of ports that stands for [`default_port_names`].
pub const DEFAULT_PORTS: &str = "default";

/// Names of the ports that a command runs on unless told otherwise.
pub fn default_port_names() -> Vec<&'static str> {
    default_ports().iter().map(|port| port.name).collect()
}

/// Sizes of huge pages that some port has, as sysfs names them, in units of 1024 bytes.
pub fn thp_sizes() -> BTreeSet<u64> {
    ports().iter().flat_map(thp_sizes_of).collect()
}

/// Sizes of huge pages that a port has, in the same units.
pub fn thp_sizes_of(port: &PortInfo) -> impl Iterator<Item = u64> + use<> {
    let [page, huge] = [Level::Pte, Level::Pmd].map(|level| port.shape.entry_size(level));
    // From four pages on, as `MIN_THP_ORDER` has it.
    (2..=(huge / page).ilog2()).map(move |order| (page << order) >> 10)
}

/// Names of all kernels.
pub fn kernel_names() -> Vec<&'static str> {
    KernelRules::ALL.iter().map(|rules| rules.name).collect()
}
