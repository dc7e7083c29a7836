//! A list that only grows, without a lock. A child that is forked while another thread adds to the
//! list finds it whole.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

#[derive(Debug)]
pub(super) struct AppendList<T> {
    newest: AtomicPtr<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    older: *mut Node<T>,
}

// SAFETY: nodes are not changed once they can be reached, and are freed only with the log.
unsafe impl<T: Send + Sync> Send for AppendList<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for AppendList<T> {}

impl<T> AppendList<T> {
    pub(super) fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Add a value. The returned reference lives as long as the list.
    pub(super) fn push(&self, value: T) -> &T {
        let node = Box::into_raw(Box::new(Node { value, older: ptr::null_mut() }));
        let mut newest = self.newest.load(Ordering::Acquire);
        loop {
            // SAFETY: nobody else can reach the node yet.
            unsafe { (*node).older = newest };
            match self.newest.compare_exchange_weak(
                newest,
                node,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                // SAFETY: nodes live as long as the log.
                Ok(_) => return unsafe { &(*node).value },
                Err(now) => newest = now,
            }
        }
    }

    /// Return the values, the newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut next = self.newest.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: null or a node, which lives as long as the log.
            let node = unsafe { next.as_ref() }?;
            next = node.older;
            Some(&node.value)
        })
    }

    /// Return the newest value, if there is one.
    #[inline(always)]
    pub(super) fn newest(&self) -> Option<&T> {
        // SAFETY: null or a node, which lives as long as the log.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }.map(|node| &node.value)
    }
}

impl<T> Drop for AppendList<T> {
    fn drop(&mut self) {
        let mut next = *self.newest.get_mut();
        while !next.is_null() {
            // SAFETY: made by `Box::into_raw` in `push`, and reached once.
            let node = unsafe { Box::from_raw(next) };
            next = node.older;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_newest_first() {
        let log = AppendList::new();
        assert!(log.newest().is_none());
        for value in 1..=3 {
            log.push(value);
        }
        assert_eq!(log.newest(), Some(&3));
        assert_eq!(log.iter().copied().collect::<Vec<_>>(), [3, 2, 1]);
    }
}
