//! The laws of all ports, on this one.

use arch_x86_64::X86_64;
use ptelab_pgtable::port_laws;

port_laws!(X86_64);
