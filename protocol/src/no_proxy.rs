//! `NO_PROXY`, as the library and `seatmeterd doctor` take it beside the matcher of the HTTP client: to that a star stands
//! for all names, and not for addresses.

/// Whether the list names every host.
#[must_use]
pub fn names_every_host(list: &str) -> bool {
    list.split(',').any(|entry| entry.trim() == "*")
}

#[cfg(test)]
mod tests {
    use super::names_every_host;

    #[test]
    fn a_star_alone_is_every_host() {
        for list in ["*", "localhost, *"] {
            assert!(names_every_host(list), "{list}");
        }
        for list in ["", "localhost", "*.company.com"] {
            assert!(!names_every_host(list), "{list}");
        }
    }
}
