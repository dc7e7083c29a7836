//! Creating and destroying readers, and the pool of them.

use std::ffi::{c_int, c_void};

use super::layout::InstancePoolStatus;
use super::{enter, enter_or, reader_from_c};
use crate::capi::enter_hot_or;
use crate::capi::reader::SM_Reader;
use crate::capi::reader_cache;
use crate::reader::{Permit, Reader};
use crate::runtime::runtime;

/// Create a reader in every case, as C++ `new` requires. Without a license or seat its decode calls
/// return the reason.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_CreateInstance() -> *mut c_void {
    enter_hot_or(std::ptr::null_mut(), || {
        let mut reader = reader_cache::vacant();
        if let Ok(hold) = Permit::take() {
            reader.0.occupy(hold);
        }
        Ok(Box::into_raw(reader).cast())
    })
}

/// Give the seat back and free the reader. NULL does nothing.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_DestroyInstance(barcodeReader: *mut c_void) {
    enter_hot_or((), || {
        // SAFETY: the caller's promise.
        if let Ok(reader) = unsafe { reader_from_c(barcodeReader) } {
            // The thread that decodes the frames must end before the reader does. It is no error if
            // there is no such thread.
            let _ = reader.stop_frames();
            // SAFETY: made by `Box::into_raw` where readers are made, and given up by the caller.
            reader_cache::end(unsafe { Box::from_raw(barcodeReader.cast::<SM_Reader>()) });
        }
        Ok(())
    });
}

/// Take a reader from the instance pool, with its seat.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetInstance() -> *mut c_void {
    enter_or(std::ptr::null_mut(), || {
        let pooled = Reader::of_instance_pool()?;
        let mut reader = reader_cache::vacant();
        reader.0 = pooled;
        Ok(Box::into_raw(reader).cast())
    })
}

/// Give a reader back to the instance pool.
///
/// # Safety
/// The rules of `DBR_DestroyInstance` apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_RecycleInstance(barcodeReader: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { DBR_DestroyInstance(barcodeReader) }
}

/// Return whether a reader has a license, and a seat if one is needed.
///
/// # Safety
/// `barcodeReader` is NULL or from `DBR_CreateInstance`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DBR_IsInstanceValid(barcodeReader: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    enter_or(0, || unsafe { reader_from_c(barcodeReader) }?.licensed().map(|_| 1))
}

/// Get the state of the instance pool.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_GetInstancePoolStatus() -> InstancePoolStatus {
    enter_or(InstancePoolStatus::default(), || {
        let status = runtime().instances().status(runtime().licensed()?);
        Ok(InstancePoolStatus {
            authorizedInstancesCount: status.authorized,
            remainingInstancesCount: status.remaining,
            waitingCreationInstances: status.waiting,
            totalWaitOccurrences: status.waits,
        })
    })
}

/// Set the parameters of the instance pool.
#[unsafe(no_mangle)]
pub extern "C" fn DBR_SetMaxConcurrentInstanceCount(
    countForThisDevice: c_int,
    countForThisProcess: c_int,
    timeOut: c_int,
) -> c_int {
    enter(|| runtime().instances().set(countForThisDevice, countForThisProcess, timeOut))
}
