//! Every law of all ports, on this one: a test a law.

use own_port::Own;
use ptelab_pgtable::port_laws;

port_laws!(Own);
