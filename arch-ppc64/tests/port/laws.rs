//! The laws of all ports, on this one.

mod with_4k {
    use arch_ppc64::Ppc64;

    ptelab_pgtable::port_laws!(Ppc64);
}

mod with_64k {
    use arch_ppc64::Ppc64With64K;

    ptelab_pgtable::port_laws!(Ppc64With64K);
}
