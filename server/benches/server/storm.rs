//! A storm of TLS handshakes from clients that connect and leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use crate::load::connect;
use crate::say;

/// The handshakes that are offered in a second.
const OFFERED: u32 = 2_000;

/// The handshakes that may be under way: what is beyond would only fill the connection slots.
const UNDER_WAY_MAX: usize = 512;

/// A storm, until it is ended.
pub(crate) struct Storm {
    begun: Instant,
    ends: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Storm {
    /// Begins to connect, each time with a full handshake.
    pub(crate) fn begin(address: SocketAddr, trust: &ClientConfig) -> Self {
        let mut trust = trust.clone();
        trust.resumption = Resumption::disabled();
        let (trust, ends, made) = (Arc::new(trust), Arc::<AtomicBool>::default(), Arc::default());
        let thread = std::thread::spawn({
            let (ends, made) = (ends.clone(), Arc::<AtomicU64>::clone(&made));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(blow(address, &trust, &ends, &made));
            }
        });
        Self { begun: Instant::now(), ends, made, thread }
    }

    /// Ends, and says how many handshakes were made.
    pub(crate) fn end(self) -> f64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let rate = self.made.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64();
        say(&format!("the storm: {rate:.0} full handshakes a second, of {OFFERED} offered"));
        rate
    }
}

async fn blow(
    address: SocketAddr,
    trust: &Arc<ClientConfig>,
    ends: &AtomicBool,
    made: &Arc<AtomicU64>,
) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut ticks = interval(Duration::from_secs(1) / OFFERED);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !ends.load(Ordering::Relaxed) {
        ticks.tick().await;
        let Ok(place) = under_way.clone().try_acquire_owned() else { continue };
        let (trust, made) = (trust.clone(), made.clone());
        tokio::spawn(async move {
            drop(connect(address, Some(&trust)).await);
            made.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
    }
}
