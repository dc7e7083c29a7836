//! The functions that the other modules mirror: their accesses, in their order.

use std::fs;

use seatmeter_e2e::root;

/// Check that a function makes these accesses one after the other, with these orders.
#[track_caller]
fn makes(path: &str, function: &str, accesses: &[&str]) {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let start = text.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("no {function}"));
    let line = text[..start].rfind('\n').map_or(0, |line| line + 1);
    let indent = text[line..].len() - text[line..].trim_start().len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    let end = text[start..].find(&end).map_or(text.len(), |end| start + end);
    // The formatter may have broken an access into lines.
    let body: String = text[start..end].split_whitespace().collect();
    let mut rest = &body[..];
    for access in accesses {
        let squeezed: String = access.split_whitespace().collect();
        let at = rest.find(&squeezed).unwrap_or_else(|| {
            panic!("{path}: {function} does not make the access {access:?} in its turn")
        });
        rest = &rest[at + squeezed.len()..];
    }
}

#[test]
fn of_an_entry() {
    let path = "src/usage/segment/mod.rs";
    makes(
        path,
        "fill",
        &[
            "0x00).store(slot, Ordering::Relaxed)",
            "0x08).store(what, Ordering::Relaxed)",
            "0x0c).store(entry_check(slot, kind.number(), what), Ordering::Relaxed)",
            "0x04).store(u32::from(kind.number()), Ordering::Release)",
        ],
    );
    let reads =
        ["acknowledged(entry).load(Ordering::Acquire)", "total(entry).load(Ordering::Relaxed)"];
    makes(path, "state_of", &[&["0x04).load(Ordering::Acquire)"], &reads[..]].concat());
    makes(path, "read_entry", &[&["self.state_of(entry)"], &reads[..]].concat());
    makes(path, "acknowledge", &["fetch_max(total, Ordering::Release)"]);
    makes("src/usage/counter.rs", "count", &["fetch_add(*n, Ordering::Relaxed)"]);
}

#[test]
fn of_waiting() {
    let path = "src/seats/waiting.rs";
    makes(
        path,
        "read",
        &[
            "wake_word().load(Ordering::SeqCst)",
            "waiters().store(1, Ordering::SeqCst)",
            "fence(Ordering::SeqCst)",
        ],
    );
    makes(path, "wake_one", &["waiters().load(Ordering::SeqCst)"]);
    makes(
        path,
        "wake",
        &[
            "waiters.swap(0, Ordering::SeqCst)",
            "wake_word.fetch_add(WAKE_STEP, Ordering::SeqCst)",
            "futex_wake(wake_word",
        ],
    );
}

#[test]
fn of_an_allowance() {
    let path = "src/usage/allowance/mod.rs";
    makes(
        path,
        "spend",
        &[
            "spent.load(Ordering::Acquire)",
            "self.allowed(module)",
            "self.kept(module).load(Ordering::Acquire)",
            "spent.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire)",
        ],
    );
    makes(
        path,
        "keep",
        &["self.make_durable()?", "self.kept(module).fetch_max(", "Ordering::AcqRel)"],
    );
    makes(
        path,
        "begin",
        &[
            "word64(BOOT).store(self.boot, Ordering::Release)",
            "word64(0).store(MAGIC, Ordering::Release)",
        ],
    );
    let path = "src/usage/allowance/lost.rs";
    makes(path, "carry", &["fetch_or(CLOSED, Ordering::AcqRel)"]);
}

#[test]
fn of_what_is_published() {
    makes(
        "src/os/fork.rs",
        "get_slow",
        &["compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire)"],
    );
    let path = "src/capi/memories.rs";
    let exchange =
        "self.free.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire)";
    let head = "self.free.load(Ordering::Acquire)";
    makes(path, "pop", &[head, "place.next.load(Ordering::Acquire)", exchange]);
    makes(path, "push", &[head, "place.next.store(head as u32, Ordering::Release)", exchange]);
}
