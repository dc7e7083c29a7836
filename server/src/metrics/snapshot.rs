//! The snapshot of the data that scrapes show. It is taken when somebody scrapes, and kept for some
//! seconds, so that scrapes cost the database nothing however many there are.
//!
//! | the snapshot | a scrape |
//! | --- | --- |
//! | is fresh | shows it |
//! | is old | lets another one be taken; waits [`WAIT_MAX`] for it, then shows the old one |
//! | is missing | waits for the first one |

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::queries::gauges::{DeviceCounts, DeviceCountsQuery, Gauges, GaugesQuery};

/// The time for which a snapshot is fresh.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// Taking snapshots may use this fraction of the time of one connection: a snapshot that took long
/// is kept longer.
const TIME_SHARE: u32 = 20;

/// The time for which the number of devices is kept: all devices have to be counted.
const DEVICES_FRESH_FOR: Duration = Duration::from_secs(300);

/// The time for which a scrape waits for another snapshot when it has an old one.
const WAIT_MAX: Duration = Duration::from_millis(25);

/// The figures of a snapshot.
#[derive(Debug)]
pub struct Snapshot {
    /// The figures of the items and the data.
    pub gauges: Gauges,
    /// The number of devices by state.
    pub devices: DeviceCounts,
    taken: Instant,
    took: Duration,
    devices_counted: Instant,
    devices_took: Duration,
}

impl Snapshot {
    fn is_fresh(&self) -> bool {
        self.taken.elapsed() < FRESH_FOR.max(self.took * TIME_SHARE)
    }

    fn has_fresh_devices(&self) -> bool {
        self.devices_counted.elapsed() < DEVICES_FRESH_FOR.max(self.devices_took * TIME_SHARE)
    }
}

/// The last snapshot, if there is one.
#[derive(Debug, Default)]
pub struct Kept {
    last: Mutex<Option<Arc<Snapshot>>>,
    /// Only one snapshot is taken at a time.
    turn: Arc<Turn<()>>,
}

impl Kept {
    /// Return a snapshot that is fresh, or the last one if another takes too long.
    ///
    /// # Errors
    /// Fails when there is none yet, and the data cannot be read.
    pub async fn get(self: &Arc<Self>, licensing: &Arc<Licensing>) -> Result<Arc<Snapshot>, Error> {
        let known = self.last.lock().clone();
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
            return Ok(known.clone());
        }
        // The task continues when the scrape no longer waits for it.
        let taking = tokio::spawn(self.clone().take(licensing.clone()));
        let Some(known) = known else {
            let taken = taking.await;
            return taken.map_err(|e| Error::Internal(format!("a snapshot panicked: {e}")))?;
        };
        let taken = tokio::time::timeout(WAIT_MAX, taking).await;
        Ok(match taken {
            Ok(Ok(Ok(taken))) => taken,
            _ => known,
        })
    }

    async fn take(self: Arc<Self>, licensing: Arc<Licensing>) -> Result<Arc<Snapshot>, Error> {
        let _turn = self.turn.clone().lock_owned().await;
        let known = self.last.lock().clone();
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
            return Ok(known.clone());
        }
        let begun = Instant::now();
        let gauges = licensing.ask(GaugesQuery, None).await?;
        let took = begun.elapsed();
        let counted = known.filter(|known| known.has_fresh_devices());
        let (devices, devices_counted, devices_took) = match counted {
            Some(known) => (known.devices.clone(), known.devices_counted, known.devices_took),
            None => {
                let begun = Instant::now();
                let devices = licensing.ask(DeviceCountsQuery, None).await?;
                (devices, Instant::now(), begun.elapsed())
            }
        };
        let taken = Instant::now();
        let snapshot = Snapshot { gauges, devices, taken, took, devices_counted, devices_took };
        let snapshot = Arc::new(snapshot);
        *self.last.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }
}
