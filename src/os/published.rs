//! A value that is seldom replaced, always as a whole, and that everybody reads without a lock,
//! also in a forked child.
//!
//! Old values are never freed, because a reader may still be using one. So this is only for values
//! whose number is bounded by what a program does on purpose (initializing with other parameters,
//! for example), not by time.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A place for a value that may be absent.
#[derive(Debug)]
pub struct Published<T: 'static> {
    value: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> Published<T> {
    /// Make a place without a value.
    pub const fn absent() -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Return the current value.
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: NULL, or a reference that lives for ever, put there by `publish`; the Acquire
        // pairs with its Release, so that what it points to is complete.
        unsafe { self.value.load(Ordering::Acquire).as_ref() }
    }

    /// Replace the value.
    pub fn publish(&self, value: &'static T) {
        self.value.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// Replace the value by a new one, which is never freed.
    pub fn publish_new(&self, value: T) -> &'static T {
        let value = Box::leak(Box::new(value));
        self.publish(value);
        value
    }

    /// Remove the value. Threads that have a reference to it may continue to use it.
    pub fn withdraw(&self) {
        self.value.store(ptr::null_mut(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_is_seen_and_the_old_stays_usable() {
        let place = Published::absent();
        assert!(place.get().is_none());
        let old = place.publish_new(1);
        place.publish_new(2);
        assert_eq!((old, place.get()), (&1, Some(&2)));
        place.withdraw();
        assert!(place.get().is_none());
    }
}
