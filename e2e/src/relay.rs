//! A network between a server and its database, in a test's hands: each way takes its time, and
//! bytes can get lost.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are taken from a socket at once.
const CHUNK: usize = 64 << 10;

/// A relay to a port of this machine. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: u16,
    one_way: Duration,
    is_silent: AtomicBool,
    is_ended: AtomicBool,
    accepted: AtomicU64,
    flights: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Start a relay to this port, on which a round trip takes this long.
    #[must_use]
    pub fn start(to: u16, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            to,
            one_way: round_trip / 2,
            is_silent: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            flights: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_ended.load(Ordering::SeqCst) {
                    return;
                }
                accepting.accepted.fetch_add(1, Ordering::SeqCst);
                accepting.connect(client);
            }
        });
        Self { port, shared }
    }

    /// Return the port of the relay.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Return how many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Return how often clients have sent something, at once or in several parts.
    #[must_use]
    pub fn flights(&self) -> u64 {
        self.shared.flights.load(Ordering::SeqCst)
    }

    /// Lose everything from now on, and say nothing; or stop doing so for new connections.
    pub fn lose_everything(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// End all connections.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().expect("nobody panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::SeqCst);
        self.cut();
        // The listener's thread sees the end with the next connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Ok(database) = TcpStream::connect(("127.0.0.1", self.to)) else { return };
        for (from, to, is_asking) in [(&client, &database, true), (&database, &client, false)] {
            let _ = from.set_nodelay(true);
            let copy = |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
            let (from, to) = (copy(from), copy(to));
            self.open.lock().expect("nobody panics with it").push(copy(&from));
            let (send, receive) = channel();
            let shared = self.clone();
            thread::spawn(move || {
                let mut from = from;
                let mut chunk = vec![0; CHUNK];
                while let Ok(count @ 1..) = from.read(&mut chunk) {
                    shared.flights.fetch_add(u64::from(is_asking), Ordering::SeqCst);
                    let due = Instant::now() + shared.one_way;
                    if send.send((due, chunk[..count].to_vec())).is_err() {
                        return;
                    }
                }
            });
            let shared = self.clone();
            thread::spawn(move || shared.deliver(&receive, to));
        }
    }

    fn deliver(&self, chunks: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
        while let Ok((due, chunk)) = chunks.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.is_silent.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&chunk).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
