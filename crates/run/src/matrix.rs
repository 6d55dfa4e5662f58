//! Which ports and kernels a command runs on, side by side.

use crate::exec::Watch;
use crate::kernels::{self, NamedKernel};
use crate::parallel;
use crate::report::RunReport;
use crate::select::{DEFAULT_PORTS, SelectError, default_port_names, port_names, thp_sizes_of};
use ptelab_machine::uapi::ByteSize;
use ptelab_machine::{BuildError, Builder, Call, CpuConfig, HwKind, KernelRules, Level, port_named};
use ptelab_scenario::Scenario;
use std::cell::Cell;
use std::fmt;

/// Ports, kernels, and what their machines have in common.
#[derive(Clone, Debug)]
pub struct Matrix {
    ports: Vec<&'static str>,
    kernels: Vec<&'static KernelRules>,
    notes: Vec<String>,
    cpu: Vec<CpuSwitch>,
    memory: Option<u64>,
    hw: HwKind,
    /// Machines of other kinds.
    others: Vec<Subject>,
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

impl CpuSwitch {
    /// Reads `arm64.hafdbs=off`.
    ///
    /// # Errors
    /// Where it is not written `PORT.FEATURE=on` or `=off`, or there is no such port. Which features a port has is asked when its
    /// machine is built.
    pub fn parse(switch: &str) -> Result<Self, SelectError> {
        let bad = || SelectError::Cpu(switch.to_owned());
        let (name, state) = switch.split_once('=').ok_or_else(bad)?;
        let (port, feature) = name.split_once('.').ok_or_else(bad)?;
        let port = port_named(port).ok_or_else(|| SelectError::Port(port.to_owned()))?;
        let known = port.features.iter().find(|known| known.name == feature);
        let on = match (known, state) {
            (Some(known), state) => known.state(state).ok_or_else(bad)?,
            (None, "on" | "off") => state == "on",
            (None, _) => return Err(bad()),
        };
        Ok(Self { port: port.name.to_owned(), feature: feature.to_owned(), on })
    }
}

impl fmt::Display for CpuSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, feature, on } = self;
        write!(f, "{port}.{feature}={}", if *on { "on" } else { "off" })
    }
}

/// One machine of many, before it is built.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its port.
    pub arch: &'static str,
    /// Its kernel.
    pub kernel: &'static str,
    /// Its primitives.
    pub hw: HwKind,
    /// How it is built.
    pub builder: Builder,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.arch, self.kernel, self.hw.name())
    }
}

impl Matrix {
    /// The default ports and the default kernel.
    pub fn new() -> Self {
        Self {
            ports: default_port_names(),
            kernels: vec![KernelRules::DEFAULT],
            notes: Vec::new(),
            cpu: Vec::new(),
            memory: None,
            hw: HwKind::Counting,
            others: Vec::new(),
        }
    }

    /// Nothing yet.
    pub fn none() -> Self {
        Self { kernels: Vec::new(), ..Self::new() }
    }

    /// With one more machine, which is built so.
    #[must_use]
    pub fn and(mut self, arch: &'static str, rules: &'static KernelRules, builder: Builder) -> Self {
        let builder = builder.kernel(rules);
        self.others.push(Subject { arch, kernel: rules.name, hw: self.hw, builder });
        self
    }

    /// With these ports: names separated by commas, `default`, or `all`.
    ///
    /// # Errors
    /// The first name that is no port.
    pub fn ports(mut self, names: &str) -> Result<Self, SelectError> {
        if names == DEFAULT_PORTS {
            self.ports = default_port_names();
            return Ok(self);
        }
        let find = |name: &str| {
            port_named(name).map(|port| port.name).ok_or_else(|| SelectError::Port(name.to_owned()))
        };
        self.ports = select(names, &port_names(), find)?;
        Ok(self)
    }

    /// With these kernels: releases and files of rules separated by commas, or `all`.
    ///
    /// # Errors
    /// The first name that is no kernel, a file of rules with mistakes, or two kernels of one name.
    pub fn kernels(mut self, names: &str) -> Result<Self, SelectError> {
        let all: Vec<NamedKernel> =
            KernelRules::ALL.iter().map(|rules| NamedKernel { rules, note: None }).collect();
        let named = select(names, &all, kernels::kernel)?;
        self.kernels.clear();
        self.notes.clear();
        for NamedKernel { rules, note } in named {
            if self.kernels.iter().any(|other| other.name == rules.name && *other != rules) {
                return Err(SelectError::SameName(rules.name.to_owned()));
            }
            if !self.kernels.contains(&rules) {
                self.kernels.push(rules);
            }
            self.notes.extend(note);
        }
        Ok(self)
    }

    /// What is to be said of the kernels that were named: a line where one has the rules of another.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// With a CPU feature switched: `arm64.hafdbs=off`.
    ///
    /// # Errors
    /// Those of [`CpuSwitch::parse`].
    pub fn cpu(mut self, switch: &str) -> Result<Self, SelectError> {
        self.cpu.push(CpuSwitch::parse(switch)?);
        Ok(self)
    }

    /// What was switched.
    pub fn switches(&self) -> &[CpuSwitch] {
        &self.cpu
    }

    /// The CPU of a port, as it was switched.
    pub fn cpu_of(&self, port: &str) -> CpuConfig {
        let switches = self.cpu.iter().filter(|switch| switch.port == port);
        switches.fold(CpuConfig::default(), |cpu, switch| cpu.with(&switch.feature, switch.on))
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
        self.ports.len() * self.kernels.len() + self.others.len()
    }

    /// Without the ports whose pages are not those that the scenario is written for ([`Call::Page`]).
    ///
    /// # Errors
    /// Where that leaves none.
    pub fn for_pages_of(mut self, scenario: &Scenario) -> Result<Self, SelectError> {
        let said = Cell::new(None);
        let _ = scenario.step_sum(|line| {
            if let Call::Page { size } = line.call {
                said.set(Some(size));
            }
            0
        });
        let Some(size) = said.get() else { return Ok(self) };
        let fits =
            |port: &str| port_named(port).is_some_and(|port| port.shape.entry_size(Level::Pte) == size);
        let (kept, left_out): (Vec<_>, Vec<_>) = self.ports.iter().copied().partition(|port| fits(port));
        if kept.is_empty() {
            return Err(SelectError::Pages(ByteSize(size).to_string()));
        }
        if !left_out.is_empty() {
            let (ports, size) = (left_out.join(", "), ByteSize(size));
            self.notes.push(format!("{ports}: left out, as the scenario is for pages of {size}"));
        }
        Ok(Self { ports: kept, ..self })
    }

    /// Without the ports whose pages and huge pages are not of these sizes, in bytes.
    ///
    /// # Errors
    /// Where that leaves none.
    pub fn with_pages(mut self, page: u64, huge: u64) -> Result<Self, SelectError> {
        let fits = |port: &str| port_named(port).is_some_and(|port| port.shape.page_sizes() == [page, huge]);
        let (kept, left_out): (Vec<_>, Vec<_>) = self.ports.iter().copied().partition(|port| fits(port));
        let (page, huge) = (ByteSize(page), ByteSize(huge));
        if kept.is_empty() {
            return Err(SelectError::Pages(format!("{page}, and huge pages of {huge}")));
        }
        if !left_out.is_empty() {
            let ports = left_out.join(", ");
            self.notes
                .push(format!("{ports}: left out, as this is for pages of {page} and huge pages of {huge}"));
        }
        Ok(Self { ports: kept, ..self })
    }

    /// The ports that have no huge pages of a size, in units of 1024 bytes.
    pub fn without_thp(&self, kb: u64) -> Vec<&'static str> {
        let arches = self.subjects().into_iter().map(|subject| subject.arch);
        let lacks =
            |name: &&str| port_named(name).is_some_and(|port| !thp_sizes_of(&port).any(|size| size == kb));
        let mut ports: Vec<_> = arches.filter(lacks).collect();
        ports.dedup();
        ports
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
        let others = self.others.iter().map(|other| Subject {
            hw: self.hw,
            builder: other.builder.clone().hw(self.hw),
            ..other.clone()
        });
        pairs.map(subject).chain(others).collect()
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
fn select<T: Clone + PartialEq>(
    names: &str,
    all: &[T],
    find: impl Fn(&str) -> Result<T, SelectError>,
) -> Result<Vec<T>, SelectError> {
    if names == "all" {
        return Ok(all.to_vec());
    }
    let mut chosen = Vec::new();
    for name in names.split(',').map(str::trim) {
        if name == "all" {
            return Err(SelectError::All(names.to_owned()));
        }
        if name.is_empty() && names.contains(',') {
            return Err(SelectError::Empty(names.to_owned()));
        }
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
        let wrong = Matrix::new().ports("mips").unwrap_err();
        assert_eq!(wrong.to_string(), "no port `mips`: choose from arm64, x86_64, generic, default, all");
        let near = Matrix::new().ports("arm65").unwrap_err();
        assert!(
            near.to_string().starts_with("no port `arm65`: did you mean `arm64`? Choose from arm64, "),
            "{near}"
        );
        let aliases = Matrix::new().ports("aarch64,x86").map(|m| m.port_list());
        assert_eq!(aliases, Ok(vec!["arm64", "x86_64"]));
        assert!(Matrix::new().kernels("6.11").is_err());
        let empty = Matrix::new().kernels("6.16,").unwrap_err();
        assert_eq!(empty.to_string(), "an empty name in the list `6.16,`");
        let unknown = Matrix::new().kernels("8.0").unwrap_err();
        assert!(unknown.to_string().starts_with("no kernel `8.0`: choose from 6.12, "), "{unknown}");
        let twice = Matrix::new().kernels("7.3,7.3.1").map(|m| (m.machines() / m.ports.len(), m.notes));
        assert_eq!(twice, Ok((1, vec!["7.3.1 is not known; taking the rules of 7.3, as 7.3.4".to_owned()])));
        assert!(Matrix::new().cpu("arm64.hafdbs").is_err());
        let unknown = Matrix::new().cpu("arm64.sse=on").unwrap().builders()[0].build().unwrap_err();
        assert!(unknown.to_string().contains("`sse`"), "{unknown}");
    }
}
