//! What this port does otherwise from one kernel to the next: nothing that is known, of 7.2 and 7.3.

use ptelab_pgtable::changes;

changes! {
    /// The changes of loong64 that hold in a kernel.
    pub struct Rules;
}
