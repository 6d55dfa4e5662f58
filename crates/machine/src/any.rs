//! The enum of all ports. A new port is one line here.

use crate::build::HwKind;
use crate::machine::Machine;
use crate::vm::Vm;
use enum_dispatch::enum_dispatch;
use ptelab_mm::{Config, Rules};
use ptelab_pgtable::laws::PortFacts;
use ptelab_pgtable::{
    Arch, Change, CountingHw, CpuConfig, CpuFeature, KernelRules, PlainHw, RecordingHw, TableMemory,
};
use std::ops::{Deref, DerefMut};

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
}

/// What is generic over ports and wants one that is chosen by name, see [`visit_port`].
pub trait PortVisitor {
    /// What it comes to.
    type Out;

    /// Is shown the port.
    fn visit<P: PortFacts>(self) -> Self::Out;
}

macro_rules! ports {
    ($($port:ident = $arch:ty,)*) => {
        /// A machine of any port, on one kind of primitives.
        #[enum_dispatch(Vm)]
        #[derive(Clone, Debug)]
        pub(crate) enum Ports<H: TableMemory + Send> { $($port(Machine<$arch, H>),)* }

        /// Every port, in the order in which they are shown.
        pub const PORTS: &[PortInfo] =
            &[$(PortInfo {
                name: <$arch as Arch>::NAME,
                aliases: <$arch as Arch>::ALIASES,
                features: <$arch as Arch>::FEATURES,
                changes: <$arch as Arch>::CHANGES,
            },)*];

        /// Shows a visitor the port of this name, if there is one.
        pub fn visit_port<V: PortVisitor>(name: &str, visitor: V) -> Option<V::Out> {
            $(if name == <$arch as Arch>::NAME {
                return Some(visitor.visit::<$arch>());
            })*
            None
        }

        impl<H: TableMemory + Send> Ports<H> {
            /// A machine of the port of this name, if there is one.
            fn build(
                name: &str,
                cpu: &CpuConfig,
                rules: &'static KernelRules,
                config: Config,
            ) -> Option<Self> {
                $(if name == <$arch as Arch>::NAME {
                    return Some(Self::$port(Machine::new(<$arch as Arch>::new(cpu, rules), rules, config)));
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

/// The port of this name, or that people know by it.
pub fn port_named(name: &str) -> Option<&'static PortInfo> {
    PORTS.iter().find(|port| port.name == name || port.aliases.contains(&name))
}

/// Every change between kernels, with whose it is: mm's, then each port's.
pub fn changes() -> impl Iterator<Item = (&'static str, &'static Change)> {
    let of_mm = Rules::CHANGES.iter().map(|change| ("mm", *change));
    of_mm.chain(PORTS.iter().flat_map(|port| port.changes.iter().map(|change| (port.name, *change))))
}

/// A machine on any kind of primitives.
#[enum_dispatch(Vm)]
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a program holds a dozen machines; a box would cost a hop on every call"
)]
pub(crate) enum Kinds {
    Plain(Ports<PlainHw>),
    Counting(Ports<CountingHw>),
    Recording(Ports<RecordingHw>),
}

/// A machine of any port, on any kind of primitives. What it does is [`Vm`]'s.
///
/// All machines are compiled here, once: who uses one calls through `dyn Vm`.
#[derive(Clone, Debug)]
pub struct AnyVm(Kinds);

impl AnyVm {
    /// A machine of the port of this name, if there is one.
    pub(crate) fn build(
        kind: HwKind,
        name: &str,
        cpu: &CpuConfig,
        rules: &'static KernelRules,
        config: Config,
    ) -> Option<Self> {
        let machine = match kind {
            HwKind::Plain => Kinds::Plain(Ports::build(name, cpu, rules, config)?),
            HwKind::Counting => Kinds::Counting(Ports::build(name, cpu, rules, config)?),
            HwKind::Recording => Kinds::Recording(Ports::build(name, cpu, rules, config)?),
        };
        Some(Self(machine))
    }

    /// Whether it records every primitive and event.
    pub const fn records(&self) -> bool {
        matches!(self.0, Kinds::Recording(_))
    }
}

impl Deref for AnyVm {
    type Target = dyn Vm;

    #[inline(never)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for AnyVm {
    #[inline(never)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
