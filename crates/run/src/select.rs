//! Ports and kernels by name, and names that are none.

use ptelab_machine::{BuildError, KernelRules, default_ports, ports};

/// A selection that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No port has this name.
    #[error("no port `{0}`: choose from {ports}, default, all", ports = port_names().join(", "))]
    Port(String),
    /// No rules have this name.
    #[error(
        "no kernel `{0}`: choose from {kernels}, all; another release from {oldest} on; or a file of rules, as mine.toml",
        kernels = kernel_names().join(", "),
        oldest = KernelRules::OLDEST
    )]
    Kernel(String),
    /// A file of rules that cannot be used: what is wrong with it, a line each.
    #[error("{0}")]
    RulesFile(String),
    /// Two kernels with different rules have one name.
    #[error("two kernels are named `{0}`")]
    SameName(String),
    /// The running kernel, which is no emulated one.
    #[error("`host` is the running kernel: `ptelab verify --host FILE` plays scenarios there")]
    Host,
    /// A kernel image, which is no emulated kernel.
    #[error(
        "`{0}` is a kernel image, which this command does not ask: `run`, `compare`, `verify`, `explain`, `cost`, `fuzz` and `series` play on images"
    )]
    Image(String),
    /// A scenario is for pages that no port chosen has.
    #[error("this is for pages of {0}, and no port chosen has such")]
    Pages(String),
    /// A CPU feature is not written as it should be.
    #[error("`{0}` is no CPU feature: write PORT.FEATURE=on or PORT.FEATURE=off")]
    Cpu(String),
    /// A machine of this kind cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
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

/// Names of all kernels.
pub fn kernel_names() -> Vec<&'static str> {
    KernelRules::ALL.iter().map(|rules| rules.name).collect()
}
