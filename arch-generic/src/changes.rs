//! What this port does otherwise from one kernel to the next: nothing.

use ptelab_pgtable::changes;

changes! {
    /// The changes of the generic port that hold in a kernel.
    pub struct Rules;
}
