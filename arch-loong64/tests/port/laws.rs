//! The laws of all ports, on this one.

use arch_loong64::Loong64;
use ptelab_pgtable::port_laws;

port_laws!(Loong64);
