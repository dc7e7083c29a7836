package seatmeter

// #include <stdlib.h>
// #include "library.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Decoded is a barcode that the library has read.
type Decoded struct {
	Format, Text string
	Bytes        []byte
}

// DecodeFile reads the barcodes of a picture, and counts them. It holds a seat meanwhile.
//
// A file may give barcodes and an error, for example a PNG that is cut in its middle. Then both are
// returned, and the barcodes are counted. With an error of the license the text of the barcodes is
// masked with *, and they are not counted.
func DecodeFile(path string) ([]Decoded, error) {
	if err := load(); err != nil {
		return nil, err
	}
	if C.sm_HasDecoder() == 0 {
		return nil, errors.New("seatmeter: this libseatmeter.so was built without its decoder")
	}
	instance := C.sm_CreateInstance()
	defer C.sm_DestroyInstance(instance)
	err := withText("path", path, func(raw *C.char) C.int { return C.sm_DecodeFile(instance, raw) })
	// Read the results also after an error: barcodes that were found before it are counted.
	var count C.int
	results := C.sm_Results(instance, &count)
	defer C.sm_FreeResults(results)
	found := make([]Decoded, count)
	for i := range found {
		one := C.sm_ResultAt(results, C.int(i))
		bytes := C.GoBytes(unsafe.Pointer(one.bytes), one.length)
		found[i] = Decoded{C.GoString(one.format), C.GoString(one.text), bytes}
	}
	return found, err
}
