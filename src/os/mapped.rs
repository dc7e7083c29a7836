//! A file in memory, shared with every process that maps it.
//!
//! A store into the mapping is in the kernel's hands as soon as it is done. It outlives the
//! process, however the process ends. It reaches the disk with [`MappedFile::make_durable`].

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::{StandardDescriptors, process_generation};

/// A whole file, mapped shared and writable, and unmapped when dropped. The mapping needs no
/// descriptor, so it survives a host that closes all of them.
#[derive(Debug)]
pub struct MappedFile {
    mapping: Mapping,
}

impl MappedFile {
    /// Give the file its length in blocks of the disk, and map it. A full disk then shows here, and
    /// not as a fatal signal at some later store.
    ///
    /// # Errors
    /// The file system has no space, or cannot reserve or share.
    pub fn create(file: &File, length: usize) -> io::Result<Self> {
        let end = libc::off_t::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the descriptor is open; the call changes the file only.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, end) } {
            0 => Ok(Self { mapping: Mapping::new(file, length)? }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Map an existing file of at least `length` bytes.
    ///
    /// # Errors
    /// The file is shorter, or cannot be mapped.
    pub fn open(file: &File, length: usize) -> io::Result<Self> {
        if file.metadata()?.len() < length as u64 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than it says",
            ));
        }
        Ok(Self { mapping: Mapping::new(file, length)? })
    }

    /// Return the number of mapped bytes.
    pub fn len(&self) -> usize {
        self.mapping.length
    }

    /// Say whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.mapping.length == 0
    }

    /// Return the 64-bit word at this offset.
    ///
    /// # Panics
    /// The word is not aligned or not inside the mapping. Our code computes offsets from checked
    /// headers, so this is a bug of ours.
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len(), "a word outside its file");
        // SAFETY: inside the mapping and aligned (the mapping is page-aligned), both just checked;
        // shared memory is only ever touched through atomics.
        unsafe { self.mapping.base.add(offset).cast::<AtomicU64>().as_ref() }
    }

    /// Return the 32-bit word at this offset.
    ///
    /// # Panics
    /// The word is not aligned or not inside the mapping, as for [`Self::word64`].
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len(), "a word outside its file");
        // SAFETY: as in `word64`.
        unsafe { self.mapping.base.add(offset).cast::<AtomicU32>().as_ref() }
    }

    /// Wait until everything that was stored is on the disk.
    ///
    /// # Errors
    /// The disk reports an error.
    pub fn make_durable(&self) -> io::Result<()> {
        let mapping = &self.mapping;
        // msync does what fdatasync does, for every process that has dirtied the pages, and needs
        // no descriptor. SAFETY: exactly the range that was mapped.
        let result =
            unsafe { libc::msync(mapping.base.as_ptr().cast(), mapping.length, libc::MS_SYNC) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl MappedFile {
    /// Return a copy of the contents. Unlike reading a word, this cannot end the process when the
    /// file was cut short.
    ///
    /// # Errors
    /// A part of the file no longer exists, or there is no memory or descriptor for a copy.
    pub fn copy(&self) -> io::Result<Vec<u8>> {
        // The kernel reads the mapping for us, and answers EFAULT where our own read would end in
        // SIGBUS. The copy goes through a pipe, because no limit on files can stop a writer to a
        // pipe.
        let (mut reader, writer) = pipe()?;
        let mapping = &self.mapping;
        let mut bytes = vec![0; mapping.length];
        let mut copied = 0;
        while copied < mapping.length {
            let wanted = (mapping.length - copied).min(PIPE_BYTES);
            // SAFETY: a part of the mapping, which the kernel only reads; the descriptor is open.
            let more = unsafe {
                libc::write(writer.as_raw_fd(), mapping.base.as_ptr().add(copied).cast(), wanted)
            };
            let more = usize::try_from(more).map_err(|_| io::Error::last_os_error())?;
            if more == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            reader.read_exact(&mut bytes[copied..copied + more])?;
            copied += more;
        }
        Ok(bytes)
    }

    /// Map another file in the place of this one. References to words in the mapping stay valid,
    /// and stores through them go to the other file. Return the previous mapping, into which nobody
    /// stores any more.
    ///
    /// # Errors
    /// The kernel cannot move mappings. Nothing is changed then.
    pub fn replace(&self, other: Self) -> io::Result<Self> {
        let (mine, other) = (&self.mapping, other.mapping);
        if mine.length != other.length || mine.hidden != other.hidden {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let before = mine.again()?;
        // An addition of another thread may be two instructions (aarch64 before Armv8.1), which
        // must not read the old page and write to the new one. The kernel unmaps the old page
        // before it maps the new one, so the second instruction meets no page, or neither: a fault
        // ends the pair, and it begins again.
        // This is one call, so that the address range is mapped at all times. SAFETY: both ranges
        // are whole mappings of one length. `other` is known to nobody else, and forgotten below;
        // the references into this one are to atomics, which stay mapped at their addresses
        // throughout.
        let moved = unsafe {
            let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            libc::mremap(
                other.base.as_ptr().cast(),
                other.length,
                mine.length,
                how,
                mine.base.as_ptr(),
            )
        };
        if moved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::mem::forget(other);
        Ok(Self { mapping: before })
    }
}

/// The number of bytes that every empty pipe accepts at once.
const PIPE_BYTES: usize = 4096;

/// Make a pipe. Return its read end and its write end.
fn pipe() -> io::Result<(File, File)> {
    let _standard = StandardDescriptors::hold();
    let mut ends = [0; 2];
    // SAFETY: the kernel fills the two numbers.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us these descriptors, and nobody else knows them.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}

/// Mapped pages of a file, shared and writable, that a forked child does not have. The child has no
/// use for them, and without them it cannot be taken for their owner.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    length: usize,
    generation: u64,
    hidden: bool,
}

// SAFETY: the mapping is plain memory that any thread may read and write; access goes through
// atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(file: &File, length: usize) -> io::Result<Self> {
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
        // SAFETY: the range is exactly the mapping made above.
        let hidden = unsafe { libc::madvise(base, length, libc::MADV_DONTFORK) } == 0;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { base, length, generation: process_generation(), hidden })
    }

    /// Map the same pages a second time, at another address.
    fn again(&self) -> io::Result<Self> {
        // An old size of 0 leaves the mapping where it is, and makes another of the same shared
        // pages (mremap(2)). SAFETY: the address is that of a shared mapping of this length.
        let base = unsafe {
            libc::mremap(self.base.as_ptr().cast(), 0, self.length, libc::MREMAP_MAYMOVE)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        let again = Self {
            base,
            length: self.length,
            generation: process_generation(),
            hidden: self.hidden,
        };
        if again.hidden {
            // SAFETY: the range is exactly the mapping made above.
            let advised =
                unsafe { libc::madvise(base.as_ptr().cast(), again.length, libc::MADV_DONTFORK) };
            if advised != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(again)
    }

    pub(super) fn is_hidden_from_children(&self) -> bool {
        self.hidden
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child there may be something else at this address by now.
        if self.generation == process_generation() || !self.hidden {
            // SAFETY: exactly the range that `new` mapped, in a process that has it; references
            // into it borrow from self.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::os::FoundWord;
    use std::sync::Arc;

    #[test]
    fn what_is_stored_is_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let mapped = MappedFile::create(&file, 8192).unwrap();
        mapped.word64(4096).store(0x1122_3344, Ordering::Relaxed);
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 8192);
        assert_eq!(&bytes[4096..4100], &[0x44, 0x33, 0x22, 0x11]);
    }

    #[test]
    fn a_found_word_keeps_its_file_mapped() {
        let file = tempfile::tempfile().unwrap();
        let word = {
            let owner = Arc::new(MappedFile::create(&file, 4096).unwrap());
            FoundWord::new(owner, |file| file.word64(8))
        };
        word.clone().store(7, Ordering::Relaxed);
        assert_eq!(MappedFile::open(&file, 4096).unwrap().word64(8).load(Ordering::Relaxed), 7);
    }

    #[test]
    fn who_counts_while_the_file_is_replaced_loses_nothing() {
        const ROUNDS: u64 = 200;
        let mapped = Arc::new(MappedFile::create(&tempfile::tempfile().unwrap(), 8192).unwrap());
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let counted: u64 = std::thread::scope(|scope| {
            let counters: Vec<_> = (0..2)
                .map(|_| {
                    let word = FoundWord::new(mapped.clone(), |file| file.word64(4096));
                    let is_over = &is_over;
                    scope.spawn(move || {
                        let mut counted = 0;
                        while !is_over.load(Ordering::Relaxed) {
                            word.fetch_add(1, Ordering::Relaxed);
                            counted += 1;
                        }
                        counted
                    })
                })
                .collect();
            for _ in 0..ROUNDS {
                let other = MappedFile::create(&tempfile::tempfile().unwrap(), 8192).unwrap();
                let before = mapped.replace(other).unwrap();
                let total = before.word64(4096).load(Ordering::Relaxed);
                mapped.word64(4096).fetch_add(total, Ordering::Relaxed);
                assert_eq!(
                    before.word64(4096).load(Ordering::Relaxed),
                    total,
                    "nobody counts there any more"
                );
            }
            is_over.store(true, Ordering::Relaxed);
            counters.into_iter().map(|counter| counter.join().unwrap()).sum()
        });
        assert_eq!(mapped.word64(4096).load(Ordering::Relaxed), counted);
    }

    #[test]
    fn a_copy_of_a_file_that_was_cut_short_is_an_error_and_not_the_end() {
        let file = tempfile::tempfile().unwrap();
        let mapped = MappedFile::create(&file, 8192).unwrap();
        mapped.word64(4096).store(7, Ordering::Relaxed);
        assert_eq!(mapped.copy().unwrap()[4096], 7);
        file.set_len(4096).unwrap();
        assert!(mapped.copy().is_err());
    }

    #[test]
    fn a_file_that_is_too_short_is_refused() {
        assert!(MappedFile::open(&tempfile::tempfile().unwrap(), 8192).is_err());
    }
}
