//! Which ports and kernels a command runs on, side by side.

use crate::bench::Subject;
use crate::exec::Watch;
use crate::parallel;
use crate::report::RunReport;
use ptelab_machine::{BuildError, Builder, HwKind, KernelRules, ports};
use ptelab_scenario::Scenario;

/// Ports, kernels, and what their machines have in common.
#[derive(Clone, Debug)]
pub struct Matrix {
    ports: Vec<&'static str>,
    kernels: Vec<&'static KernelRules>,
    cpu: Vec<CpuSwitch>,
    memory: Option<u64>,
    hw: HwKind,
}

/// A CPU feature of one port, switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSwitch {
    /// The port.
    pub port: String,
    /// The feature.
    pub feature: String,
    /// On or off.
    pub on: bool,
}

/// A selection that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No port has this name.
    #[error("no port `{0}`: choose from {ports}, all", ports = port_names().join(", "))]
    Port(String),
    /// No rules have this name.
    #[error("no kernel `{0}`: choose from {kernels}, all", kernels = kernel_names().join(", "))]
    Kernel(String),
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

/// Names of all kernels.
pub fn kernel_names() -> Vec<&'static str> {
    KernelRules::ALL.iter().map(|rules| rules.name).collect()
}

/// The kernel of this name.
///
/// # Errors
/// Where there is none.
pub fn kernel_by_name(name: &str) -> Result<&'static KernelRules, SelectError> {
    KernelRules::by_name(name).ok_or_else(|| SelectError::Kernel(name.to_owned()))
}

impl Matrix {
    /// All ports, and the default kernel.
    pub fn new() -> Self {
        Self {
            ports: port_names(),
            kernels: vec![KernelRules::DEFAULT],
            cpu: Vec::new(),
            memory: None,
            hw: HwKind::Counting,
        }
    }

    /// With these ports: names separated by commas, or `all`.
    ///
    /// # Errors
    /// The first name that is no port.
    pub fn ports(mut self, names: &str) -> Result<Self, SelectError> {
        let find = |name: &str| {
            let port = ports().into_iter().find(|port| port.name == name);
            port.map(|port| port.name).ok_or_else(|| SelectError::Port(name.to_owned()))
        };
        self.ports = select(names, &port_names(), find)?;
        Ok(self)
    }

    /// With these kernels: names separated by commas, or `all`.
    ///
    /// # Errors
    /// The first name that is no kernel.
    pub fn kernels(mut self, names: &str) -> Result<Self, SelectError> {
        self.kernels = select(names, &KernelRules::ALL, kernel_by_name)?;
        Ok(self)
    }

    /// With a CPU feature switched: `arm64.hafdbs=off`.
    ///
    /// # Errors
    /// Where it is not written `PORT.FEATURE=on` or `=off`, or there is no such port. Which features a port has is asked when its
    /// machine is built.
    pub fn cpu(mut self, switch: &str) -> Result<Self, SelectError> {
        let bad = || SelectError::Cpu(switch.to_owned());
        let (name, state) = switch.split_once('=').ok_or_else(bad)?;
        let (port, feature) = name.split_once('.').ok_or_else(bad)?;
        let on = match state {
            "on" => true,
            "off" => false,
            _ => return Err(bad()),
        };
        if !port_names().contains(&port) {
            return Err(SelectError::Port(port.to_owned()));
        }
        self.cpu.push(CpuSwitch { port: port.to_owned(), feature: feature.to_owned(), on });
        Ok(self)
    }

    /// With so much memory in each machine, in bytes.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// With machines of these primitives.
    #[must_use]
    pub const fn hw(mut self, hw: HwKind) -> Self {
        self.hw = hw;
        self
    }

    /// Names of the ports.
    pub fn port_list(&self) -> Vec<&'static str> {
        self.ports.clone()
    }

    /// The kernels.
    pub fn kernel_list(&self) -> Vec<&'static KernelRules> {
        self.kernels.clone()
    }

    /// How many machines that makes.
    pub const fn machines(&self) -> usize {
        self.ports.len() * self.kernels.len()
    }

    /// The machines: kernels by port.
    pub fn subjects(&self) -> Vec<Subject> {
        let pairs = self.ports.iter().flat_map(|port| self.kernels.iter().map(move |rules| (*port, *rules)));
        let subject = |(arch, rules): (&'static str, &'static KernelRules)| Subject {
            arch,
            kernel: rules.name,
            hw: self.hw,
            builder: self.builder(arch, rules),
        };
        pairs.map(subject).collect()
    }

    /// How each machine is built, in the same order.
    pub fn builders(&self) -> Vec<Builder> {
        self.subjects().into_iter().map(|subject| subject.builder).collect()
    }

    fn builder(&self, port: &str, rules: &'static KernelRules) -> Builder {
        let mut builder = Builder::new(port).kernel(rules).hw(self.hw);
        if let Some(bytes) = self.memory {
            builder = builder.memory(bytes);
        }
        for switch in self.cpu.iter().filter(|switch| switch.port == port) {
            builder = builder.cpu(&switch.feature, switch.on);
        }
        builder
    }

    /// Runs a scenario on every machine, side by side; reports in the order of [`subjects`](Self::subjects). Where it is stopped, every
    /// report ends there and says so.
    ///
    /// # Errors
    /// Where a machine cannot be built; then nothing has run.
    pub fn run(&self, scenario: &Scenario, watch: Watch<'_>) -> Result<Vec<RunReport>, BuildError> {
        let machines: Vec<_> = self.builders().iter().map(Builder::build).collect::<Result<_, _>>()?;
        Ok(parallel::map(machines, |mut vm| RunReport::of(&mut *vm, scenario, watch)))
    }
}

impl Default for Matrix {
    fn default() -> Self {
        Self::new()
    }
}

/// The things named in a list, in the list's order and each once.
fn select<T: Copy + PartialEq>(
    names: &str,
    all: &[T],
    find: impl Fn(&str) -> Result<T, SelectError>,
) -> Result<Vec<T>, SelectError> {
    if names == "all" {
        return Ok(all.to_vec());
    }
    let mut chosen = Vec::new();
    for name in names.split(',').map(str::trim) {
        let found = find(name)?;
        if !chosen.contains(&found) {
            chosen.push(found);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order_and_mistakes_are_named() {
        let m = Matrix::new().ports("x86_64,arm64,x86_64").and_then(|m| m.kernels("6.16, 6.17-rc1")).unwrap();
        assert_eq!((m.ports.as_slice(), m.machines()), (&["x86_64", "arm64"][..], 4));
        let wrong = Matrix::new().ports("x86").unwrap_err();
        assert_eq!(wrong.to_string(), "no port `x86`: choose from arm64, x86_64, generic, all");
        assert!(Matrix::new().kernels("6.15").is_err());
        assert!(Matrix::new().cpu("arm64.hafdbs").is_err());
        let unknown = Matrix::new().cpu("arm64.sse=on").unwrap().builders()[0].build().unwrap_err();
        assert!(unknown.to_string().contains("`sse`"), "{unknown}");
    }
}
