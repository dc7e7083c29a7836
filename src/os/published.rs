//! A value that is replaced whole, seldom, and read without a lock by everybody, in a forked child
//! too.
//!
//! Old values are never freed: a reader may still be looking at one. So this is for values whose
//! number is bounded by what a program does on purpose (initializing with other parameters, say),
//! not by time.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A place for a value that may be absent.
#[derive(Debug)]
pub struct Published<T: 'static> {
    value: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> Published<T> {
    /// Nothing yet.
    pub const fn absent() -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The value of the moment.
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: NULL, or a reference that lives for ever, put there by `publish`; the Acquire
        // pairs with its Release, so that what it points to is complete.
        unsafe { self.value.load(Ordering::Acquire).as_ref() }
    }

    /// Replaces the value.
    pub fn publish(&self, value: &'static T) {
        self.value.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// Replaces the value by one that is made for it.
    pub fn publish_new(&self, value: T) -> &'static T {
        let value = Box::leak(Box::new(value));
        self.publish(value);
        value
    }

    /// Takes the value away; who has it may go on using it.
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
