//! Requests of the admin API with a token, which is looked up for each of them.

use std::path::Path;
use std::process::Command;

use crate::load::Bench;
use crate::ours::Server;
use crate::wire::get;

impl Bench {
    /// Who the caller is, which costs only the way in; and a list.
    pub(crate) fn admin(&self, seatmeterd: &Path, name: &str, database: Option<&str>) {
        let server = Server::start_with(seatmeterd, database, |_| ());
        let made = Command::new(seatmeterd)
            .args(["token", "create", "bench", "--role", "viewer", "--data"])
            .arg(server.data())
            .args(database.iter().flat_map(|url| ["--database", url]))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let connections = self.connections(server.address);
        for path in ["/admin/v1/session", "/admin/v1/organizations"] {
            let (connections, token) = (connections.clone(), token.clone());
            self.measure(&format!("{path}, {name}"), move |client| {
                let (connections, token) = (connections.clone(), token.clone());
                async move {
                    let mut connection = connections[client].lock().await;
                    let _: serde_json::Value = get(&mut connection, path, &token).await;
                }
            });
        }
    }
}
