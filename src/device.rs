//! The device: one installation, which the server knows by its client UUID.
//!
//! The UUID is stored in the state directory and never changes with host name, address or network
//! card. So containers that are recreated and share a state directory are one device. The first
//! UUID is either random, or derived from the machine id (see machine-id(5)) and the processor.
//! These are hashed together with our own name, so that no other software can link the device by
//! it.
//!
//! A device is a key pair. Its secret half is in the same file, and signs the device's requests.
//! The server binds the UUID to the key at the first contact. A second file has a copy of both, so
//! that the loss of one file does not make another device.
//!
//! A copied state directory makes two installations with one UUID and key. The server distinguishes
//! them by the history that they show (server/src/policy/history.rs). The installation that
//! contacts it second takes a fresh UUID and key: that is the next *generation* of the device.
//! Earlier counts are still reported under the former UUID, with its key, and a former grant is
//! valid until the next one arrives.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::signature::{PublicKey, SigningKey, digest_hex, random_bytes, random_id};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::{Kind, Loaded, StateDirectory};

/// The method by which a new device gets its UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UuidMethod {
    /// 128 random bits.
    Random,
    /// Derived from the machine id and the processor; random when there is no machine id.
    Hardware,
}

/// The most former UUIDs that are remembered.
const FORMER_MAX: usize = 128;

/// The name of the file with the identity.
const FILE: &str = "device";

/// The name of the file with the copy of the identity.
const COPY: &str = "device-copy";

/// The identity of this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The UUID and the key that are in use.
    #[serde(flatten)]
    current: Identity,
    /// The number of times that the device has taken a fresh UUID.
    #[serde(default, skip_serializing_if = "is_zero")]
    generation: u32,
    /// The former UUIDs with their keys, latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Identity>,
}

/// A client UUID with the key that a server binds to it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    /// 32 hexadecimal digits.
    uuid: String,
    /// The seed of the Ed25519 key, 64 hexadecimal digits.
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.uuid)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Device {
    /// Return a device of the first generation, with a new key.
    ///
    /// # Errors
    /// Fails if the system gives no random numbers.
    pub fn with_new_key(uuid: impl Into<String>) -> Result<Self> {
        Ok(Self { current: Identity::new(uuid.into())?, generation: 0, former: Vec::new() })
    }

    /// Return a device with this UUID, whose key follows from it.
    #[cfg(test)]
    pub(crate) fn with_uuid(uuid: impl Into<String>) -> Self {
        let uuid = uuid.into();
        let key = digest_hex(uuid.as_bytes());
        Self { current: Identity { uuid, key }, generation: 0, former: Vec::new() }
    }

    /// Return a device with this UUID and this former one.
    #[cfg(test)]
    pub(crate) fn with_former(uuid: &str, former: &str) -> Self {
        Self { former: vec![Self::with_uuid(former).current], ..Self::with_uuid(uuid) }
    }

    /// Return the client UUID, 32 hexadecimal digits.
    pub fn uuid(&self) -> &str {
        &self.current.uuid
    }

    /// Return the key of the device.
    ///
    /// # Errors
    /// Fails if the stored seed is not the digits of a key.
    pub fn key(&self) -> Result<SigningKey> {
        SigningKey::from_seed(&self.current.key).map_err(|e| {
            Error::new(ErrorCode::LICENSE_BUFFER_FAILED, format!("the key of the device: {e}"))
        })
    }

    /// Return the key of this UUID, which is the current or a former one.
    pub fn key_of(&self, uuid: &str) -> Option<SigningKey> {
        let all = std::iter::once(&self.current).chain(self.former.iter().rev());
        let identity = all.into_iter().find(|identity| identity.uuid == uuid)?;
        SigningKey::from_seed(&identity.key).ok()
    }

    /// Return whether this UUID with this key is the current one or a former one.
    pub fn is_or_was_bound_to(&self, uuid: &str, key: &PublicKey) -> bool {
        self.key_of(uuid).is_some_and(|own| own.public() == key)
    }

    /// Load the device of this state directory, or create it if there is none.
    ///
    /// # Errors
    /// Fails if the file cannot be read or written, or if the system gives no random numbers.
    pub fn load_or_create(state: &StateDirectory, method: UuidMethod) -> Result<Self> {
        let (file, copy) = (state.file(FILE, Kind::Device), state.file(COPY, Kind::Device));
        // Two rounds: another process may create the file between our reading and our own attempt.
        for _ in 0..2 {
            match file.load::<Self>()? {
                Loaded::Content(device) => {
                    if copy.peek::<Self>().as_ref() != Some(&device) {
                        device.store_copy(state);
                    }
                    return Ok(device);
                }
                Loaded::Absent | Loaded::SetAside { .. } => {
                    let device = match copy.peek::<Self>() {
                        Some(device) => device,
                        None => Self::with_new_key(new_uuid(method)?)?,
                    };
                    if file.store_new(&device)? {
                        device.store_copy(state);
                        return Ok(device);
                    }
                }
            }
        }
        Err(Error::new(
            ErrorCode::LICENSE_BUFFER_FAILED,
            format!("other programs keep writing and removing {}", file.path().display()),
        ))
    }

    /// Store the copy. If the disk does not take it, the next start tries again.
    fn store_copy(&self, state: &StateDirectory) {
        let _ = state.file(COPY, Kind::Device).store(self);
    }

    /// Return the device as another process may have stored it meanwhile. A file that was deleted
    /// or damaged is written again: a device does not become another one while a program of it
    /// runs.
    pub fn reloaded(&self, state: &StateDirectory) -> Self {
        let file = state.file(FILE, Kind::Device);
        // Two rounds, as when the device was created.
        for _ in 0..2 {
            match file.load::<Self>() {
                Ok(Loaded::Content(stored)) => return self.taken_up_by(stored, state),
                Ok(Loaded::Absent | Loaded::SetAside { .. }) => {
                    if !matches!(file.store_new(self), Ok(false)) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        self.clone()
    }

    /// Return the stored device, as a successor of this one. A program that began after the file
    /// was deleted, but before this process noticed, has created a new device. That device then
    /// becomes the next generation of this one, so that earlier grants stay valid.
    fn taken_up_by(&self, stored: Self, state: &StateDirectory) -> Self {
        if stored.is_or_was(self.uuid()) || self.is_or_was(stored.uuid()) {
            return stored;
        }
        let own = std::slice::from_ref(&self.current);
        let mut former = [self.former.as_slice(), own, &stored.former].concat();
        former.drain(..former.len().saturating_sub(FORMER_MAX));
        let generation = self.generation.max(stored.generation).saturating_add(1);
        let next = Self { current: stored.current, generation, former };
        // If it cannot be stored, the next call finds the same state.
        let _ = state.file(FILE, Kind::Device).store(&next);
        next.store_copy(state);
        next
    }

    /// Return whether the file exists.
    pub fn is_stored(state: &StateDirectory) -> bool {
        !matches!(state.file(FILE, Kind::Device).path().try_exists(), Ok(false))
    }

    /// Store and return the next generation of this device, with a fresh random UUID and key. If
    /// another process has stored one meanwhile, return that one.
    ///
    /// # Errors
    /// Fails if it cannot be stored, or if the system gives no random numbers. The device then
    /// keeps its UUID.
    pub fn take_fresh_uuid(&self, state: &StateDirectory) -> Result<Self> {
        let mut former = self.former.clone();
        former.push(self.current.clone());
        former.drain(..former.len().saturating_sub(FORMER_MAX));
        let current = Identity::new(new_uuid(UuidMethod::Random)?)?;
        let next = Self { current, generation: self.generation.saturating_add(1), former };
        let file = state.file(FILE, Kind::Device);
        let seen = match file.load::<Self>()? {
            Loaded::Content(device) if device != *self => return Ok(device),
            Loaded::Content(device) => Some(device),
            Loaded::Absent | Loaded::SetAside { .. } => None,
        };
        if !file.store_over(seen.as_ref(), &next)? {
            return Ok(self.reloaded(state));
        }
        next.store_copy(state);
        Ok(next)
    }

    /// Return whether a UUID is this device's current or a former one.
    pub fn is_or_was(&self, uuid: &str) -> bool {
        self.current.uuid == uuid || self.former.iter().any(|former| former.uuid == uuid)
    }
}

impl Identity {
    fn new(uuid: String) -> Result<Self> {
        let seed = random_bytes::<32>().ok_or_else(no_random_numbers)?;
        Ok(Self { uuid, key: hex::encode(seed) })
    }
}

fn no_random_numbers() -> Error {
    Error::new(ErrorCode::BIND_DEVICE_FAILED, "the system gives no random numbers for a device id")
}

fn new_uuid(method: UuidMethod) -> Result<String> {
    if method == UuidMethod::Hardware {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        if let Some(uuid) = hardware_uuid(&read("/etc/machine-id"), &read("/proc/cpuinfo")) {
            return Ok(uuid);
        }
    }
    random_id().ok_or_else(no_random_numbers)
}

/// The facts of a processor that stay the same from start to start, on the architectures that have
/// them.
const CPU_FACTS: [&str; 8] = [
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "CPU implementer",
    "CPU part",
    "Hardware",
    "Serial",
];

/// Derive a UUID from the machine id and the first processor's entry in /proc/cpuinfo.
fn hardware_uuid(machine_id: &str, cpu_info: &str) -> Option<String> {
    let machine_id = machine_id.trim();
    if machine_id.len() != 32 {
        return None;
    }
    let mut text = format!("seatmeter device {machine_id}");
    for name in CPU_FACTS {
        let facts = cpu_info.lines().filter_map(|line| line.split_once(':'));
        if let Some((_, value)) = facts.into_iter().find(|(key, _)| key.trim() == name) {
            text.push_str(&format!("\n{name}: {}", value.trim()));
        }
    }
    let mut digest = digest_hex(text.as_bytes());
    digest.truncate(32);
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_uuid() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let first = Device::load_or_create(&state, UuidMethod::Random).unwrap();
        assert_eq!(first.uuid().len(), 32);
        for method in [UuidMethod::Random, UuidMethod::Hardware] {
            assert_eq!(Device::load_or_create(&state, method).unwrap(), first);
        }
    }

    #[test]
    fn a_hardware_uuid_is_that_of_machine_and_processor_and_tells_neither() {
        let (id, cpu) = (
            "0123456789abcdef0123456789abcdef\n",
            "processor\t: 0\nmodel name\t: A\ncpu MHz\t: 800\n",
        );
        let uuid = hardware_uuid(id, cpu).unwrap();
        assert_eq!(uuid.len(), 32);
        assert_eq!(
            hardware_uuid(id, &cpu.replace("800", "2400")).unwrap(),
            uuid,
            "what varies does not matter"
        );
        assert_ne!(hardware_uuid(id, &cpu.replace("A", "B")).unwrap(), uuid);
        assert_ne!(hardware_uuid(&id.replace('0', "1"), cpu).unwrap(), uuid);
        assert!(!uuid.contains("0123456789"));
        assert_eq!(hardware_uuid("", cpu), None, "a container without a machine id");
        assert_eq!(hardware_uuid("uninitialized", cpu), None);
    }

    #[test]
    fn a_fresh_uuid_is_kept_and_the_old_one_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let first = Device::load_or_create(&state, UuidMethod::Random).unwrap();
        let second = first.take_fresh_uuid(&state).unwrap();
        assert_ne!(second.uuid(), first.uuid());
        assert!(second.is_or_was(first.uuid()) && !first.is_or_was(second.uuid()));
        assert_eq!(Device::load_or_create(&state, UuidMethod::Random).unwrap(), second);
        assert_eq!(first.reloaded(&state), second);
        let mut device = second;
        for _ in 0..2 * FORMER_MAX {
            device = device.take_fresh_uuid(&state).unwrap();
        }
        assert!(!device.is_or_was(first.uuid()), "it is not remembered for ever");
    }

    #[test]
    fn a_device_whose_file_is_deleted_or_damaged_stays_what_it_is_while_a_program_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().join("state")).unwrap();
        let first = Device::load_or_create(&state, UuidMethod::Random).unwrap();
        let path = state.path().join("device");
        let harms: [&dyn Fn(); 3] = [
            &|| std::fs::remove_file(&path).unwrap(),
            &|| std::fs::write(&path, "torn").unwrap(),
            &|| std::fs::remove_dir_all(state.path()).unwrap(),
        ];
        for harm in harms {
            harm();
            assert_eq!(first.reloaded(&state), first);
            assert!(Device::is_stored(&state));
            assert_eq!(Device::load_or_create(&state, UuidMethod::Random).unwrap(), first);
        }
    }

    #[test]
    fn a_device_that_was_made_before_a_loss_was_noticed_is_the_next_generation_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let before = Device::load_or_create(&state, UuidMethod::Random).unwrap();
        std::fs::remove_file(state.path().join("device")).unwrap();
        let made = Device::load_or_create(&state, UuidMethod::Random).unwrap();
        let next = before.reloaded(&state);
        assert_eq!(next.uuid(), made.uuid());
        assert!(next.is_or_was(before.uuid()));
        assert_eq!(made.reloaded(&state), next, "the other one goes along");
        assert_eq!(before.reloaded(&state), next);
    }

    #[test]
    fn two_directories_are_two_devices() {
        let folder = tempfile::tempdir().unwrap();
        let uuid = |name: &str| {
            let state = StateDirectory::open(folder.path().join(name)).unwrap();
            Device::load_or_create(&state, UuidMethod::Random).unwrap().uuid().to_owned()
        };
        assert_ne!(uuid("a"), uuid("b"));
    }

    #[test]
    fn racing_processes_agree_on_one_uuid() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let uuids: Vec<String> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        Device::load_or_create(&state, UuidMethod::Random)
                            .unwrap()
                            .uuid()
                            .to_owned()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(uuids.iter().all(|uuid| uuid == &uuids[0]));
    }
}
