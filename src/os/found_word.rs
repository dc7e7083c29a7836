//! A word of a mapped file that stays where it is, whatever the system is.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A word of a mapped file, looked up once for repeated counting. It keeps the owner of the file
/// alive, and so the mapping.
#[derive(Debug)]
pub struct FoundWord<T> {
    word: NonNull<AtomicU64>,
    owner: Arc<T>,
}

impl<T> FoundWord<T> {
    /// Keep `owner` and the word that `find` returns from it.
    pub fn new(owner: Arc<T>, find: impl FnOnce(&T) -> &AtomicU64) -> Self {
        Self { word: NonNull::from(find(&owner)), owner }
    }
}

impl<T> Clone for FoundWord<T> {
    fn clone(&self) -> Self {
        Self { word: self.word, owner: self.owner.clone() }
    }
}

impl<T> Deref for FoundWord<T> {
    type Target = AtomicU64;

    #[inline(always)]
    fn deref(&self) -> &AtomicU64 {
        // SAFETY: borrowed from the owner, which `self` keeps, and which nobody can change as long
        // as it does.
        unsafe { self.word.as_ref() }
    }
}

// SAFETY: an atomic may be used by any thread, and its owner goes along.
unsafe impl<T: Send + Sync> Send for FoundWord<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for FoundWord<T> {}
