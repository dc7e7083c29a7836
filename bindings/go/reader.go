package seatmeter

// #include <stdlib.h>
// #include "library.h"
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Barcode is a barcode that a decoder of yours has read.
type Barcode struct {
	// Format is a symbology: a BF_ number of the DBR API, or any number of your own.
	Format int
	Bytes  []byte
}

// Reader holds a seat from its creation to Close.
//
// Goroutines may share one, and any of them may close it. It is made by NewReader and used by its
// pointer. A copy of the value is not a second reader: it shares the seat, and closing one closes
// the other.
type Reader struct {
	seat *seat
}

// seat is the one owner of a reader of C.
type seat struct {
	mutex sync.Mutex
	raw   *C.SM_Reader
}

// NewReader makes a reader, and takes a seat for it.
func NewReader() (*Reader, error) {
	return newReader(func(out **C.SM_Reader, message *C.char, length C.size_t) C.int {
		return C.sm_CreateReader(out, message, length)
	})
}

// NewReaderWithin makes a reader, and waits for a seat up to ten minutes.
func NewReaderWithin(wait time.Duration) (*Reader, error) {
	return newReader(func(out **C.SM_Reader, message *C.char, length C.size_t) C.int {
		return C.sm_CreateReaderWithin(out, milliseconds(wait), message, length)
	})
}

func newReader(create func(**C.SM_Reader, *C.char, C.size_t) C.int) (*Reader, error) {
	var raw *C.SM_Reader
	err := callWithMessage(func(message *C.char, length C.size_t) C.int { return create(&raw, message, length) })
	if err != nil {
		return nil, err
	}
	owner := &seat{raw: raw}
	// A forgotten reader gives its seat back when it is collected.
	runtime.SetFinalizer(owner, (*seat).close)
	return &Reader{owner}, nil
}

// Close gives the seat back, when no goroutine counts with it any more. A second call does nothing.
func (r *Reader) Close() error {
	if r.seat != nil {
		r.seat.close()
	}
	return nil
}

func (s *seat) close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.raw != nil {
		C.sm_DestroyReader(s.raw)
		s.raw = nil
	}
}

// with calls body with the reader of C. No other goroutine uses or closes it meanwhile.
func (r *Reader) with(body func(*C.SM_Reader) C.int) error {
	if r.seat == nil {
		return ErrClosed
	}
	r.seat.mutex.Lock()
	defer r.seat.mutex.Unlock()
	if r.seat.raw == nil {
		return ErrClosed
	}
	return call(func() C.int { return body(r.seat.raw) })
}

// CountImage counts the barcodes of one still image, and returns how many different ones it has.
func (r *Reader) CountImage(barcodes []Barcode) (int, error) {
	return r.count(barcodes, func(raw *C.SM_Reader, all *C.SM_Barcode, n C.size_t, counted *C.size_t) C.int {
		return C.sm_CountImage(raw, all, n, counted)
	})
}

// CountFrame counts the barcodes of one frame of a video, and returns how many counted now.
func (r *Reader) CountFrame(barcodes []Barcode) (int, error) {
	return r.count(barcodes, func(raw *C.SM_Reader, all *C.SM_Barcode, n C.size_t, counted *C.size_t) C.int {
		return C.sm_CountFrame(raw, all, n, counted)
	})
}

type countFunction func(*C.SM_Reader, *C.SM_Barcode, C.size_t, *C.size_t) C.int

func (r *Reader) count(barcodes []Barcode, function countFunction) (int, error) {
	all, err := toC(barcodes)
	if err != nil {
		return 0, err
	}
	defer C.free(unsafe.Pointer(all))
	var counted C.size_t
	err = r.with(func(raw *C.SM_Reader) C.int { return function(raw, all, C.size_t(len(barcodes)), &counted) })
	return int(counted), withRange(err, "the number of barcodes", len(barcodes), 0, barcodesMax)
}

// toC copies barcodes into memory of C: the list, and the contents behind it.
func toC(barcodes []Barcode) (*C.SM_Barcode, error) {
	size := uintptr(len(barcodes)) * C.sizeof_SM_Barcode
	at := size
	for _, barcode := range barcodes {
		size += uintptr(len(barcode.Bytes))
	}
	memory := C.malloc(C.size_t(size + 1))
	all := unsafe.Slice((*C.SM_Barcode)(memory), len(barcodes))
	for i, barcode := range barcodes {
		format, err := cInt("Format", barcode.Format)
		// Numbers of 32 bits without sign are symbologies, too.
		if err != nil && 0 <= barcode.Format && barcode.Format <= math.MaxUint32 {
			format, err = C.int(int32(uint32(barcode.Format))), nil
		}
		if err != nil {
			C.free(memory)
			return nil, err
		}
		content := unsafe.Add(memory, at)
		copy(unsafe.Slice((*byte)(content), len(barcode.Bytes)), barcode.Bytes)
		all[i] = C.SM_Barcode{format: format, bytes: (*C.uchar)(content), length: C.size_t(len(barcode.Bytes))}
		at += uintptr(len(barcode.Bytes))
	}
	return (*C.SM_Barcode)(memory), nil
}

// CountScans counts n scans of one symbology that the caller has made unique.
func (r *Reader) CountScans(format int, n uint64) error {
	number, err := cInt("format", format)
	if err != nil {
		return err
	}
	err = r.with(func(raw *C.SM_Reader) C.int { return C.sm_CountScans(raw, number, C.uint64_t(n)) })
	return withRange(err, "n", n, 0, countMax)
}

// SetDuplicateForgetTime sets for how long a barcode of a video that was counted does not count
// again: whole milliseconds, up to ten minutes. 0 switches the memory across frames off.
func (r *Reader) SetDuplicateForgetTime(forget time.Duration) error {
	ms, err := cInt("forget", int(forget.Milliseconds()))
	if err != nil {
		return fmt.Errorf("%w: a forget time of %v", ErrArgument, forget)
	}
	err = r.with(func(raw *C.SM_Reader) C.int { return C.sm_SetDuplicateForgetTime(raw, ms) })
	return withRange(err, "forget", forget, 0, forgetMax)
}
