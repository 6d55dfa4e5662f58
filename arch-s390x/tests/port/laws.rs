//! The laws of all ports, on this one.

use arch_s390x::S390x;
use ptelab_pgtable::port_laws;

port_laws!(S390x);
