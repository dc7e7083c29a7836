//! HTTP answers that do not come from a license server: who may have given one, and what to do.

/// What is known of an HTTP answer that is not a license server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// What happened; empty if the status does not show it.
    pub cause: &'static str,
    /// What to do.
    pub todo: &'static str,
}

impl ForeignAnswer {
    /// Return what an answer with this HTTP status means.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        let (cause, todo) = match status {
            200..=299 => (
                "a web page or another program answers there, for example the login page of this \
                 network",
                "check the URL, or open a web page with a browser and sign in to this network",
            ),
            300..=399 => (
                "it redirects its callers, and redirects are not followed",
                "use the license server's own URL, or sign in to this network",
            ),
            401 | 403 => (
                "a proxy or gateway asks for a login",
                "sign in to this network, or use the license server's own URL",
            ),
            407 => (
                "the proxy requires a login",
                "put the login into the proxy's URL (HTTP_PROXY, HTTPS_PROXY), or name the server in \
                 NO_PROXY",
            ),
            511 => (
                "this network requires a sign-in (a captive portal)",
                "open a web page with a browser and sign in to this network",
            ),
            502..=504 => (
                "a proxy or gateway cannot reach the license server",
                "start the license server, or correct its address in the proxy's settings",
            ),
            _ => ("", "check the URL, and any proxy or gateway on the way"),
        };
        Self { cause, todo }
    }
}
