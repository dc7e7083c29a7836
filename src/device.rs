//! Who this device is: one installation, known to the server by its client UUID.
//!
//! The UUID is stored in the state directory and never changes with host name, address or network card.
//! Two ways to get the first one: at random, or derived from the machine id (see machine-id(5)), which is
//! hashed with our own name first so that no other software can be linked by it.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::signature::{digest_hex, random_id};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::{Kind, Loaded, StateDirectory};

/// How a new device gets its UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UuidMethod {
    /// 128 random bits.
    Random,
    /// Derived from the machine id; random where there is none.
    Hardware,
}

/// This device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// 32 hexadecimal digits.
    pub uuid: String,
}

impl Device {
    /// The device of this state directory, made when it is new there.
    ///
    /// # Errors
    /// When the file cannot be read or written, or the system gives no random numbers.
    pub fn load_or_create(state: &StateDirectory, method: UuidMethod) -> Result<Self> {
        let file = state.file("device", Kind::Device);
        // Two rounds: another process may make the file between our look and our own attempt.
        for _ in 0..2 {
            match file.load::<Self>()? {
                Loaded::Content(device) => return Ok(device),
                Loaded::Absent | Loaded::SetAside { .. } => {
                    let device = Self { uuid: new_uuid(method)? };
                    if file.store_new(&device)? {
                        return Ok(device);
                    }
                }
            }
        }
        Err(Error::new(
            ErrorCode::LICENSE_BUFFER_FAILED,
            format!("{} is written and removed by others all the time", file.path().display()),
        ))
    }
}

fn new_uuid(method: UuidMethod) -> Result<String> {
    if method == UuidMethod::Hardware
        && let Ok(machine_id) = std::fs::read_to_string("/etc/machine-id")
        && machine_id.trim().len() == 32
    {
        let mut digest = digest_hex(format!("seatmeter device {}", machine_id.trim()).as_bytes());
        digest.truncate(32);
        return Ok(digest);
    }
    random_id().ok_or_else(|| {
        Error::new(ErrorCode::BIND_DEVICE_FAILED, "the system gives no random numbers for a device id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_uuid() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let first = Device::load_or_create(&state, UuidMethod::Random).unwrap();
        assert_eq!(first.uuid.len(), 32);
        for method in [UuidMethod::Random, UuidMethod::Hardware] {
            assert_eq!(Device::load_or_create(&state, method).unwrap(), first);
        }
    }

    #[test]
    fn two_directories_are_two_devices() {
        let folder = tempfile::tempdir().unwrap();
        let uuid = |name: &str| {
            let state = StateDirectory::open(folder.path().join(name)).unwrap();
            Device::load_or_create(&state, UuidMethod::Random).unwrap().uuid
        };
        assert_ne!(uuid("a"), uuid("b"));
    }

    #[test]
    fn racing_processes_agree_on_one_uuid() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let uuids: Vec<String> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Device::load_or_create(&state, UuidMethod::Random).unwrap().uuid))
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(uuids.iter().all(|uuid| uuid == &uuids[0]));
    }
}
