//! The laws of all ports, on this one.

use arch_generic::Generic;
use ptelab_pgtable::port_laws;

port_laws!(Generic);
