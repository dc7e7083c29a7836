package seatmeter

// #cgo CFLAGS: -I${SRCDIR}/../../include -I/usr/local/include
// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "library.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"
)

// messageBytes is the room for a message of the library.
const messageBytes = 1024

// ErrArgument is the error for an argument that C cannot take: a text with a NUL, or a number that is
// too large. errors.Is finds it.
var ErrArgument = errors.New("seatmeter: wrong argument")

var (
	loadOnce sync.Once
	loadErr  error
)

// load loads the shared library once, from SEATMETER_LIBRARY or from where the system looks.
func load() error {
	loadOnce.Do(func() {
		path := os.Getenv("SEATMETER_LIBRARY")
		if path == "" {
			path = "libseatmeter.so.0"
		}
		raw := C.CString(path)
		defer C.free(unsafe.Pointer(raw))
		if why := C.sm_load(raw); why != nil {
			defer C.free(unsafe.Pointer(why))
			loadErr = fmt.Errorf("the seatmeter library cannot be loaded: %s. Set the environment variable "+
				"SEATMETER_LIBRARY to the path of libseatmeter.so", C.GoString(why))
		}
	})
	return loadErr
}

// call runs a function of the library that returns a number.
func call(function func() C.int) error {
	if err := load(); err != nil {
		return err
	}
	return check(function(), "")
}

// callWithMessage runs a function that also writes a message.
func callWithMessage(function func(message *C.char, length C.size_t) C.int) error {
	if err := load(); err != nil {
		return err
	}
	message := (*C.char)(C.calloc(1, messageBytes))
	defer C.free(unsafe.Pointer(message))
	code := function(message, messageBytes)
	return check(code, C.GoString(message))
}

// withText calls body with a text of C.
func withText(name, text string, body func(*C.char) C.int) error {
	if strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%w: %s has a NUL", ErrArgument, name)
	}
	raw := C.CString(text)
	defer C.free(unsafe.Pointer(raw))
	return call(func() C.int { return body(raw) })
}

// cInt converts a number for C.
func cInt(name string, value int) (C.int, error) {
	if int(C.int(value)) != value {
		return 0, fmt.Errorf("%w: %s is %d, which is no C int", ErrArgument, name, value)
	}
	return C.int(value), nil
}
