//! Kinds of hardware.

use crate::{BASE, FIXED};
use arch_arm64::Arm64;
use ptelab_machine::pgtable::{Counters, Record};
use ptelab_machine::{
    Access, Backend, Builder, Call, Config, CpuConfig, HwKind, KernelRules, MapFlags, Prot, machine_of,
};

const CALLS: [Call; 5] = [
    Call::Mmap {
        addr: BASE,
        len: 4 << 20,
        prot: Prot::READ.union(Prot::WRITE),
        flags: MapFlags::PRIVATE.union(MapFlags::ANONYMOUS).union(FIXED),
        fd: -1,
        offset: 0,
    },
    Call::Touch { addr: BASE, len: 4 << 20, access: Access::Write },
    Call::Mprotect { addr: BASE, len: 4 << 20, prot: Prot::READ },
    Call::Fork {},
    Call::Munmap { addr: BASE, len: 1 << 20 },
];

/// What calls come to, what was counted and what was recorded.
fn account(machine: &mut dyn Backend) -> (String, Option<Counters>, Vec<Record>) {
    let outcomes: Vec<_> = CALLS.iter().map(|call| machine.call(1, call)).collect();
    let about = machine.about().records;
    (format!("{outcomes:?} {about}"), machine.counters(), machine.take_records())
}

#[test]
fn a_kind_chosen_late_is_as_one_chosen_by_type() {
    for kind in HwKind::ALL {
        let mut late =
            machine_of::<Arm64>(kind, &CpuConfig::default(), KernelRules::DEFAULT, Config::DEFAULT);
        let mut early = Builder::new("arm64").hw(kind).build().expect("there is such a port");
        assert_eq!(account(&mut *late), account(&mut *early), "{kind:?}");
    }
}
