//! The laws of all ports, on this one.

use arch_ppc64::Ppc64;
use ptelab_pgtable::port_laws;

port_laws!(Ppc64);
