//! The enum of all ports. A new port is one line here.

use crate::machine::Machine;
use enum_dispatch::enum_dispatch;
use ptelab_mm::Config;
use ptelab_pgtable::laws::PortFacts;
use ptelab_pgtable::{
    Arch, CountingHw, CpuConfig, CpuFeature, KernelRules, PlainHw, RecordingHw, TableMemory,
};

/// What is known of a port before a machine of it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Name, as on the command line.
    pub name: &'static str,
    /// What its CPUs may have or lack.
    pub features: &'static [CpuFeature],
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
        #[expect(missing_docs, reason = "a variant is a port, and says so")]
        pub enum Ports<H: TableMemory + Send> { $($port(Machine<$arch, H>),)* }

        /// Every port, in the order in which they are shown.
        pub const PORTS: &[PortInfo] =
            &[$(PortInfo { name: <$arch as Arch>::NAME, features: <$arch as Arch>::FEATURES },)*];

        /// Shows a visitor the port of this name, if there is one.
        pub fn visit_port<V: PortVisitor>(name: &str, visitor: V) -> Option<V::Out> {
            $(if name == <$arch as Arch>::NAME {
                return Some(visitor.visit::<$arch>());
            })*
            None
        }

        impl<H: TableMemory + Send> Ports<H> {
            /// A machine of the port of this name, if there is one.
            pub(crate) fn build(
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

/// A machine of any port, on any kind of primitives.
#[enum_dispatch(Vm)]
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a program holds a dozen machines; a box would cost a hop on every call"
)]
pub enum AnyVm {
    /// Fast.
    Plain(Ports<PlainHw>),
    /// Counts every primitive and event.
    Counting(Ports<CountingHw>),
    /// Records every primitive and event.
    Recording(Ports<RecordingHw>),
}
