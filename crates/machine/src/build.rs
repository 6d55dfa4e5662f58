//! Building machines.

use crate::backend::Backend;
use crate::hw_kind::HwKind;
use crate::ports::{self, port_named, ports};
use ptelab_mm::{Absent, Config};
use ptelab_pgtable::{CpuConfig, KernelRules, UnknownFeature};

/// Why a machine cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No port has this name.
    #[error("no port `{name}` (there are: {})", known.join(", "))]
    UnknownPort {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The port has no such CPU feature.
    #[error(transparent)]
    UnknownFeature(#[from] UnknownFeature),
    /// The memory is too small or too large to be a machine's.
    #[error("memory of {0} bytes: a machine has at least 1 MiB and at most 8 TiB")]
    Memory(u64),
}

/// Settings of a machine to be built.
#[derive(Clone, Debug)]
pub struct Builder {
    port: String,
    cpu: CpuConfig,
    rules: &'static KernelRules,
    config: Config,
    hw: HwKind,
}

impl Builder {
    /// A machine of the port of this name: default CPU, default kernel, 64 GiB, plain.
    pub fn new(port: &str) -> Self {
        Self {
            port: port_named(port).map_or(port, |known| known.name).to_owned(),
            cpu: CpuConfig::default(),
            rules: KernelRules::DEFAULT,
            config: Config::DEFAULT,
            hw: HwKind::Plain,
        }
    }

    /// With this kernel.
    #[must_use]
    pub const fn kernel(mut self, rules: &'static KernelRules) -> Self {
        self.rules = rules;
        self
    }

    /// Its kernel.
    pub const fn rules(&self) -> &'static KernelRules {
        self.rules
    }

    /// With a CPU feature on or off.
    #[must_use]
    pub fn cpu(mut self, feature: &str, on: bool) -> Self {
        self.cpu = self.cpu.with(feature, on);
        self
    }

    /// With so much physical memory, in bytes.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.config.memory = bytes;
        self
    }

    /// With at most so many VMAs an address space (`vm.max_map_count`).
    #[must_use]
    pub const fn max_map_count(mut self, count: u64) -> Self {
        self.config.max_map_count = count;
        self
    }

    /// With a kernel that was built without these.
    #[must_use]
    pub const fn without(mut self, absent: Absent) -> Self {
        self.config.absent = absent;
        self
    }

    /// With these primitives.
    #[must_use]
    pub const fn hw(mut self, hw: HwKind) -> Self {
        self.hw = hw;
        self
    }

    fn unknown_port(&self) -> BuildError {
        let known = ports().iter().map(|port| port.name).collect();
        BuildError::UnknownPort { name: self.port.clone(), known }
    }

    /// Whether such a machine can be built.
    ///
    /// # Errors
    /// An unknown port or feature, or an amount of memory that is out of range.
    pub fn check(&self) -> Result<(), BuildError> {
        let port = port_named(&self.port).ok_or_else(|| self.unknown_port())?;
        self.cpu.validate(port.features)?;
        if !(1 << 20..=Config::MAX_MEMORY).contains(&self.config.memory) {
            return Err(BuildError::Memory(self.config.memory));
        }
        Ok(())
    }

    /// The machine, just booted, with process 1.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn build(&self) -> Result<Box<dyn Backend>, BuildError> {
        self.check()?;
        ports::build(self.hw, &self.port, &self.cpu, self.rules, self.config)
            .ok_or_else(|| self.unknown_port())
    }
}
