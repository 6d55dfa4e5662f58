//! Entries that machines hold, and the states that they are in.

use ptelab_machine::Pid;
use ptelab_machine::mm::LeafEntry;
use ptelab_machine::pgtable::{Level, Mapping, PteAttrs, PteView, SoftLeaf, VirtAddr, marker, swp_type};
use ptelab_run::show::view_text;

/// The state of an entry, as far as it decides what a call does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Nothing.
    Empty,
    /// A guard, or a write-protected page that is not there.
    Marker,
    /// In swap.
    Swap,
    /// On its way.
    Migration,
    /// In a device's memory, or lent to it.
    Device,
    /// Failed, or poisoned.
    Poison,
    /// The zero page.
    Zero,
    /// No access is allowed.
    NoAccess,
    /// Read-only, of a page that others may have.
    ReadShared,
    /// The same, one of a contiguous block.
    ReadSharedCont,
    /// Read-only, of a page of its own.
    ReadOwn,
    /// The same, one of a contiguous block.
    ReadOwnCont,
    /// Writable.
    Writable,
    /// Writable, one of a contiguous block.
    WritableCont,
    /// A huge leaf.
    Huge,
}

impl EntryKind {
    pub(super) const ALL: [Self; 15] = [
        Self::Empty,
        Self::Marker,
        Self::Swap,
        Self::Migration,
        Self::Device,
        Self::Poison,
        Self::Zero,
        Self::NoAccess,
        Self::ReadShared,
        Self::ReadSharedCont,
        Self::ReadOwn,
        Self::ReadOwnCont,
        Self::Writable,
        Self::WritableCont,
        Self::Huge,
    ];

    /// That of a software entry.
    pub(super) const fn of_software(leaf: SoftLeaf) -> Self {
        match leaf.ty {
            swp_type::MARKER if leaf.is_marker(marker::POISONED) => Self::Poison,
            swp_type::MARKER => Self::Marker,
            swp_type::HWPOISON => Self::Poison,
            _ if leaf.is_swap() => Self::Swap,
            _ if leaf.is_migration() => Self::Migration,
            _ => Self::Device,
        }
    }

    /// A short name for a column.
    pub(super) const fn short(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Marker => "marker",
            Self::Swap => "swap",
            Self::Migration => "migrates",
            Self::Device => "device",
            Self::Poison => "failed",
            Self::Zero => "zero",
            Self::NoAccess => "none",
            Self::ReadShared => "r",
            Self::ReadSharedCont => "r cont",
            Self::ReadOwn => "r own",
            Self::ReadOwnCont => "r own c",
            Self::Writable => "rw",
            Self::WritableCont => "rw cont",
            Self::Huge => "huge",
        }
    }
}

/// An entry that a machine holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(super) pid: Pid,
    pub(super) entry: LeafEntry,
    pub(super) view: PteView,
}

impl Seen {
    pub(super) const fn mapping(&self) -> Option<&Mapping> {
        match &self.view {
            PteView::Present(m) => Some(m),
            _ => None,
        }
    }

    pub(super) fn attrs(&self) -> PteAttrs {
        self.mapping().map_or(PteAttrs::empty(), |m| m.attrs)
    }

    pub(super) const fn place(&self) -> (Pid, VirtAddr) {
        (self.pid, self.entry.addr)
    }

    pub(super) const fn is_in_device(&self) -> bool {
        matches!(self.view, PteView::Soft(leaf) if leaf.is_device_private())
    }

    pub(super) fn text(&self) -> String {
        let Self { pid, entry, view } = self;
        let shared = entry.page.map_or_else(String::new, |page| {
            format!(
                ", page {} mapped {}{}",
                page.pfn,
                page.mapcount,
                if page.exclusive { ", exclusive" } else { "" }
            )
        });
        format!("[pid {pid}] {} {}{shared}", entry.addr, view_text(view))
    }
}

/// What kind of state an entry is in, for the coverage of transitions.
pub(super) fn state_of(seen: Option<&Seen>) -> EntryKind {
    let Some(seen) = seen else { return EntryKind::Empty };
    let m = match &seen.view {
        PteView::Present(m) => m,
        PteView::Soft(leaf) => return EntryKind::of_software(*leaf),
        PteView::None | PteView::Table(_) => return EntryKind::Empty,
    };
    let is = |attr| m.attrs.contains(attr);
    let own = seen.entry.page.is_some_and(|page| page.exclusive);
    match () {
        () if m.level == Level::Pmd => EntryKind::Huge,
        () if is(PteAttrs::PROTNONE) => EntryKind::NoAccess,
        () if is(PteAttrs::SPECIAL) => EntryKind::Zero,
        () if is(PteAttrs::WRITE) && is(PteAttrs::CONT) => EntryKind::WritableCont,
        () if is(PteAttrs::WRITE) => EntryKind::Writable,
        () if own && is(PteAttrs::CONT) => EntryKind::ReadOwnCont,
        () if own => EntryKind::ReadOwn,
        () if is(PteAttrs::CONT) => EntryKind::ReadSharedCont,
        () => EntryKind::ReadShared,
    }
}

/// What a software entry names: a slot, or a page that migrates, however that is said.
pub(super) const fn named(leaf: SoftLeaf) -> (u8, u64) {
    let ty = if leaf.is_migration() { swp_type::MIGRATION_READ } else { leaf.ty };
    (ty, leaf.offset)
}
