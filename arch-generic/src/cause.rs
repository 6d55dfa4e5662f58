//! The causes that this port applies: none.

ptelab_pgtable::causes! {}
