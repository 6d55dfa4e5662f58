//! Which ports there are. A new port is one line here, and one from outside is registered.

use crate::any_hw::AnyHw;
use crate::backend::Backend;
use crate::hw_kind::HwKind;
use crate::machine::PortMachine;
use crate::shape::Shape;
use enum_dispatch::enum_dispatch;
use ptelab_mm::{Config, Rules};
use ptelab_pgtable::laws::PortFacts;
use ptelab_pgtable::{
    Arch, Change, CountingHw, CpuConfig, CpuFeature, KernelRules, PlainHw, RecordingHw, SoftleafRules,
    TableMemory,
};
use std::any::Any;
use std::sync::{PoisonError, RwLock};

/// What is known of a port before a machine of it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Name, as on the command line.
    pub name: &'static str,
    /// Other names that people know it by.
    pub aliases: &'static [&'static str],
    /// What its CPUs may have or lack.
    pub features: &'static [CpuFeature],
    /// What it does otherwise from one kernel to the next.
    pub changes: &'static [&'static Change],
    /// How its tables and pages are laid out.
    pub shape: Shape,
}

/// What is generic over ports and wants one that is chosen by name, see [`visit_port`].
pub trait PortVisitor {
    /// Its result.
    type Out;

    /// Is shown the port.
    fn visit<P: PortFacts>(self) -> Self::Out;
}

macro_rules! ports {
    ($($port:ident = $arch:ty,)*) => {
        /// A machine of any port, on one kind of primitives.
        #[enum_dispatch(Backend)]
        #[derive(Clone, Debug)]
        pub(crate) enum Ports<H: TableMemory + Clone + Send> { $($port(PortMachine<$arch, H>),)* }

        /// Ports of this project, in the order in which they are shown.
        const PORTS: &[PortInfo] = &[$(PortInfo::of::<$arch>(),)*];

        /// Shows a visitor the project's own port of this name, if there is one.
        pub fn visit_port<V: PortVisitor>(name: &str, visitor: V) -> Option<V::Out> {
            $(if name == <$arch as Arch>::NAME {
                return Some(visitor.visit::<$arch>());
            })*
            None
        }

        impl<H: TableMemory + Clone + Send> Ports<H> {
            /// A machine of the port of this name, if there is one.
            fn build(
                name: &str,
                cpu: &CpuConfig,
                rules: &'static KernelRules,
                config: Config,
            ) -> Option<Self> {
                $(if name == <$arch as Arch>::NAME {
                    return Some(Self::$port(PortMachine::new(<$arch as Arch>::new(cpu, rules), rules, config)));
                })*
                None
            }
        }
    };
}

ports! {
    Arm64 = arch_arm64::Arm64,
    X86_64 = arch_x86_64::X86_64,
    Generic = arch_generic::Generic,
}

/// A port from outside: what is known of it, and how a machine of it is built.
#[derive(Clone, Copy)]
struct Registered {
    info: PortInfo,
    build: fn(HwKind, &CpuConfig, &'static KernelRules, Config) -> Box<dyn Backend>,
    beside: &'static (dyn Any + Send + Sync),
    /// Commands run on it only where it, or all ports, are asked for.
    on_request: bool,
}

static REGISTERED: RwLock<Vec<Registered>> = RwLock::new(Vec::new());

/// Adds a port from outside to those that machines are built of, behind the others. One of the same name takes the place of
/// another that was added.
///
/// # Panics
/// Where the project has a port of this name.
pub fn register<P: PortFacts>() {
    register_with::<P>(&());
}

/// The same, with a value that is looked up later by the name of the port ([`beside`]), so that there is no second list.
///
/// # Panics
/// Where the project has a port of this name.
pub fn register_with<P: PortFacts>(beside: &'static (dyn Any + Send + Sync)) {
    add::<P>(beside, false);
}

/// The same for a port that commands run on only where it, or all ports, are asked for.
///
/// # Panics
/// Where the project has a port of this name.
pub fn register_on_request<P: PortFacts>(beside: &'static (dyn Any + Send + Sync)) {
    add::<P>(beside, true);
}

fn add<P: PortFacts>(beside: &'static (dyn Any + Send + Sync), on_request: bool) {
    let info = PortInfo::of::<P>();
    assert!(PORTS.iter().all(|port| port.name != info.name), "there is a port {} already", info.name);
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|port| port.info.name != info.name);
    registered.push(Registered { info, build: machine_of::<P>, beside, on_request });
}

/// What a port from outside was registered with, if there is one of this name.
pub fn beside(name: &str) -> Option<&'static (dyn Any + Send + Sync)> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    registered.iter().find(|port| port.info.name == name).map(|port| port.beside)
}

/// A machine of a port known by its type, registered or not, with hardware of this kind.
pub fn machine_of<P: PortFacts>(
    kind: HwKind,
    cpu: &CpuConfig,
    rules: &'static KernelRules,
    config: Config,
) -> Box<dyn Backend> {
    let mut machine = PortMachine::<P, AnyHw>::new(P::new(cpu, rules), rules, config);
    machine.kernel.pt.hw.keep(kind);
    Box::new(machine)
}

/// Every port that machines are built of, in the order in which they are shown.
pub fn ports() -> Vec<PortInfo> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    PORTS.iter().copied().chain(registered.iter().map(|port| port.info)).collect()
}

/// What a command runs on unless told otherwise.
pub fn default_ports() -> Vec<PortInfo> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let others = registered.iter().filter(|port| !port.on_request).map(|port| port.info);
    PORTS.iter().copied().chain(others).collect()
}

/// The port of this name, or that people know by it.
pub fn port_named(name: &str) -> Option<PortInfo> {
    ports().into_iter().find(|port| port.name == name || port.aliases.contains(&name))
}

/// The changes that are of all ports.
pub fn changes_of_all() -> impl Iterator<Item = (&'static str, &'static Change)> {
    Rules::CHANGES.iter().chain(SoftleafRules::CHANGES).map(|change| ("mm", *change))
}

/// Every change between kernels, with whose it is: mm's, then each port's. Ports that differ in the size of pages only have theirs
/// by the first of them.
pub fn changes() -> impl Iterator<Item = (&'static str, &'static Change)> {
    let of_port = |port: PortInfo| port.changes.iter().map(move |change| (port.name, *change));
    let mut all: Vec<(&'static str, &'static Change)> = changes_of_all().collect();
    for (port, change) in ports().into_iter().flat_map(of_port) {
        if !all.iter().any(|(_, known)| (known.id, known.file) == (change.id, change.file)) {
            all.push((port, change));
        }
    }
    all.into_iter()
}

impl PortInfo {
    const fn of<P: Arch>() -> Self {
        let shape = Shape::of::<P>();
        Self { name: P::NAME, aliases: P::ALIASES, features: P::FEATURES, changes: P::CHANGES, shape }
    }
}

/// A machine of the port of this name, if there is one.
///
/// Those of the project's own ports are compiled here, once. Users call them through `dyn Backend`.
pub(crate) fn build(
    kind: HwKind,
    name: &str,
    cpu: &CpuConfig,
    rules: &'static KernelRules,
    config: Config,
) -> Option<Box<dyn Backend>> {
    fn boxed<H: TableMemory + Clone + Send + 'static>(ports: Ports<H>) -> Box<dyn Backend> {
        Box::new(ports)
    }
    let own = match kind {
        HwKind::Plain => Ports::<PlainHw>::build(name, cpu, rules, config).map(boxed),
        HwKind::Counting => Ports::<CountingHw>::build(name, cpu, rules, config).map(boxed),
        HwKind::Recording => Ports::<RecordingHw>::build(name, cpu, rules, config).map(boxed),
    };
    own.or_else(|| {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        let port = registered.iter().find(|port| port.info.name == name)?;
        Some((port.build)(kind, cpu, rules, config))
    })
}
