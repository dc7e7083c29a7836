//! A file in memory, shared with every process that maps it.
//!
//! A store into it is in the kernel's hands the moment it is done: it outlives the process, however that
//! ends. It reaches the disk with [`MappedFile::make_durable`].

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A whole file, mapped shared and writable. Unmapped when dropped.
#[derive(Debug)]
pub struct MappedFile {
    base: NonNull<u8>,
    length: usize,
    file: File,
}

// SAFETY: the mapping is plain memory that any thread may read and write; access goes through atomics only.
unsafe impl Send for MappedFile {}
// SAFETY: as above.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Gives the file its length in blocks of the disk, so that a full disk shows here and not as a fatal
    /// signal at some later store, and maps it.
    ///
    /// # Errors
    /// No space, or a file system that cannot reserve or share.
    pub fn create(file: File, length: usize) -> io::Result<Self> {
        let end = libc::off_t::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the descriptor is open; the call changes the file only.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, end) } {
            0 => Self::map(file, length),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Maps an existing file of at least `length` bytes.
    ///
    /// # Errors
    /// A file that is shorter, or that cannot be mapped.
    pub fn open(file: File, length: usize) -> io::Result<Self> {
        if file.metadata()?.len() < length as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it says"));
        }
        Self::map(file, length)
    }

    fn map(file: File, length: usize) -> io::Result<Self> {
        // SAFETY: a fresh shared mapping of an open file touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is exactly the mapping made above. A child has no use for it, and without it
        // cannot be taken for its owner.
        unsafe { libc::madvise(base, length, libc::MADV_DONTFORK) };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { base, length, file })
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The 64-bit word at this offset.
    ///
    /// # Panics
    /// When the word is not aligned or not inside: offsets are computed by our code from checked headers.
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.length, "a word outside its file");
        // SAFETY: inside the mapping and aligned (the mapping is page-aligned), both just checked; shared
        // memory is only ever touched through atomics.
        unsafe { self.base.add(offset).cast::<AtomicU64>().as_ref() }
    }

    /// The 32-bit word at this offset.
    ///
    /// # Panics
    /// As [`Self::word64`].
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.length, "a word outside its file");
        // SAFETY: as in `word64`.
        unsafe { self.base.add(offset).cast::<AtomicU32>().as_ref() }
    }

    /// Blocks until all that was stored is on the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make_durable(&self) -> io::Result<()> {
        // fdatasync writes the pages that were dirtied through the mapping, too.
        self.file.sync_data()
    }

    /// The file behind the mapping.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` made; references into it borrow from self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_is_stored_is_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let mapped = MappedFile::create(file.try_clone().unwrap(), 8192).unwrap();
        mapped.word64(4096).store(0x1122_3344, Ordering::Relaxed);
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 8192);
        assert_eq!(&bytes[4096..4100], &[0x44, 0x33, 0x22, 0x11]);
    }

    #[test]
    fn a_file_that_is_too_short_is_refused() {
        assert!(MappedFile::open(tempfile::tempfile().unwrap(), 8192).is_err());
    }
}
