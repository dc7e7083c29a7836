//! The generated parts of `docs/wire.md`: each stands between two comments, of which the first
//! names it.

/// The page, while its parts are compared or written.
pub(crate) struct Page {
    path: std::path::PathBuf,
    committed: String,
    text: String,
}

impl Page {
    pub(crate) fn open() -> Self {
        let path =
            std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md"));
        let committed = std::fs::read_to_string(&path).unwrap();
        Self { path, text: committed.clone(), committed }
    }

    /// Set what stands in the part with this name.
    pub(crate) fn part(&mut self, name: &str, content: &str) {
        let begin = format!("<!-- generated: {name} -->\n");
        let (before, rest) = self.text.split_once(&begin).unwrap_or_else(|| panic!("{begin}"));
        let (_, after) = rest.split_once("<!-- /generated -->").unwrap();
        self.text = format!("{before}{begin}{content}<!-- /generated -->{after}");
    }

    /// Compare the page with its parts, or write it if the environment asks for that.
    pub(crate) fn close(self, test: &str) {
        if std::env::var_os("UPDATE_WIRE").is_some() {
            std::fs::write(&self.path, &self.text).unwrap();
            return;
        }
        assert!(
            self.committed == self.text,
            "docs/wire.md differs from the code: UPDATE_WIRE=1 cargo test -p seatmeter-protocol \
             --test {test}"
        );
    }
}
