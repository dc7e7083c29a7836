//! The peers: Redis and etcd, doing what comes nearest.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use seatmeter_protocol::signature::random_id;

use crate::cluster::free_port;
use crate::load::Bench;
use crate::wire::{By, post, redis_command};
use crate::{DEVICES, Rates, now};

impl Bench {
    /// `None` when it is not on the machine.
    pub(crate) fn redis(&self) -> Option<Rates> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = free_port();
        let mut redis = Command::new("redis-server");
        redis
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path());
        redis.args(["--appendonly", "yes", "--appendfsync", "always"]);
        let _peer = Peer::start(&mut redis, port)?;
        let connections = self.connections(([127, 0, 0, 1], port).into());
        let keep_maximum = "for i = 2, #ARGV, 2 do
              local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i - 1]) or 0)
              if tonumber(ARGV[i]) > known then redis.call('HSET', KEYS[1], ARGV[i - 1], ARGV[i]) \
              end
            end return 1";
        let lease = "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
            if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
            redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) return 1";
        let turn = Arc::new(AtomicU64::new(0));
        let work = connections.clone();
        let reports = self.measure("reports, Redis", move |client| {
            let (connections, turn) = (work.clone(), turn.clone());
            async move {
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                let key = format!("usage:{}", turn % DEVICES as u64);
                let (scan, image) = (
                    format!("{}:scan", turn / DEVICES as u64),
                    format!("{}:image", turn / DEVICES as u64),
                );
                let mut connection = connections[client].lock().await;
                redis_command(
                    &mut connection,
                    &["EVAL", keep_maximum, "1", &key, &scan, "7", &image, "7"],
                )
                .await;
            }
        });
        let authorizations = self.measure("authorizations, Redis", move |client| {
            let connections = connections.clone();
            async move {
                let (device, now) = (random_id().unwrap(), now());
                let (now, until) = (now.to_string(), (now + 604_800).to_string());
                let mut connection = connections[client].lock().await;
                redis_command(
                    &mut connection,
                    &["EVAL", lease, "1", "leases", &device, &now, &until, "100000000"],
                )
                .await;
            }
        });
        Some((reports, authorizations))
    }

    /// `None` when it is not on the machine.
    pub(crate) fn etcd(&self) -> Option<Rates> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let url = format!("http://127.0.0.1:{port}");
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(folder.path().join("data")).args(["--listen-client-urls", &url]);
        etcd.args([
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &format!("http://127.0.0.1:{peer_port}"),
        ]);
        let _peer = Peer::start(&mut etcd, port)?;
        let connections = self.connections(([127, 0, 0, 1], port).into());
        let turn = Arc::new(AtomicU64::new(0));
        let work = connections.clone();
        let reports = self.measure("reports, etcd", move |client| {
            let (connections, turn) = (work.clone(), turn.clone());
            async move {
                let key = BASE64_STANDARD
                    .encode(format!("usage/{}", turn.fetch_add(1, Ordering::Relaxed)));
                let body = format!(r#"{{"key":"{key}","value":"Nw=="}}"#);
                let mut connection = connections[client].lock().await;
                let _: serde_json::Value =
                    post(&mut connection, "/v3/kv/put", body.as_bytes(), By::Nothing).await;
            }
        });
        let authorizations = self.measure("authorizations, etcd", move |client| {
            let connections = connections.clone();
            async move {
                let mut connection = connections[client].lock().await;
                let lease: serde_json::Value =
                    post(&mut connection, "/v3/lease/grant", br#"{"TTL":604800}"#, By::Nothing)
                        .await;
                let key = BASE64_STANDARD.encode(random_id().unwrap());
                let body = format!(
                    r#"{{"key":"{key}","value":"MQ==","lease":"{}"}}"#,
                    lease["ID"].as_str().unwrap()
                );
                let _: serde_json::Value =
                    post(&mut connection, "/v3/kv/put", body.as_bytes(), By::Nothing).await;
            }
        });
        Some((reports, authorizations))
    }
}

/// A peer's process.
struct Peer(Child);

impl Peer {
    /// `None` when it is not on the machine.
    fn start(command: &mut Command, port: u16) -> Option<Self> {
        let peer = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{command:?} does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        // etcd listens before it has elected itself.
        std::thread::sleep(Duration::from_secs(2));
        Some(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
