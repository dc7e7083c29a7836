// Package seatmeter licenses a program by a license server of your own: seats, scans and pages.
//
// The first call loads the shared library from the path in the environment variable
// SEATMETER_LIBRARY, or from where the system looks. Every function may be called by any number
// of goroutines.
package seatmeter

// #include <stdlib.h>
// #include "library.h"
import "C"

import (
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// DeploymentType says where the program runs, and for whom.
type DeploymentType int

// Deployment types.
const (
	Server   DeploymentType = 1
	Desktop  DeploymentType = 2
	Embedded DeploymentType = 6
	OEM      DeploymentType = 7
	Mobile   DeploymentType = 9
)

// ChargeWay is the unit by which a license is charged.
type ChargeWay int

// Charge ways. Auto lets the server choose.
const (
	Auto               ChargeWay = 0
	ClientDevice       ChargeWay = 1
	BarcodeScan        ChargeWay = 2
	ConcurrentDevice   ChargeWay = 3
	Domain             ChargeWay = 6
	ActiveDevice       ChargeWay = 8
	PerServer          ChargeWay = 9
	ConcurrentInstance ChargeWay = 10
	Page               ChargeWay = 20
)

// PageModule is the purpose for which pages are counted.
type PageModule int

// Page modules.
const (
	Core   PageModule = 1
	Webcam PageModule = 2
	PDFR   PageModule = 3
	OCR    PageModule = 4
)

// ValidationField is a fact about the application that a handshake code may ask for.
type ValidationField int

// Validation fields.
const (
	WebsiteDomain ValidationField = 0
	ApplicationID ValidationField = 1
)

// Parameters say how to reach the license server, and what to ask it for. NewParameters sets the
// defaults.
type Parameters struct {
	// Server is the URL of the main license server; "" for that of the environment variable
	// SEATMETER_SERVER.
	Server          string
	StandbyServer   string
	HandshakeCode   string
	SessionPassword string
	OrganizationID  string
	DeploymentType  DeploymentType
	ChargeWay       ChargeWay
	// MaxBufferDays are the days for which to work without contact to a server.
	MaxBufferDays int
	// Seats are the readers that may exist at one time on this device, in all its processes
	// together.
	Seats int
}

// NewParameters returns the defaults with this handshake code: a desktop, one seat.
func NewParameters(handshakeCode string) Parameters {
	parameters := Parameters{HandshakeCode: handshakeCode, DeploymentType: Desktop, MaxBufferDays: 7, Seats: 1}
	if load() != nil {
		return parameters
	}
	var raw C.sm_Parameters
	if C.sm_Defaults(&raw) == 0 {
		parameters.DeploymentType = DeploymentType(raw.numbers[0])
		parameters.ChargeWay = ChargeWay(raw.numbers[1])
		parameters.MaxBufferDays = int(raw.numbers[2])
		parameters.Seats = int(raw.numbers[3])
	}
	return parameters
}

// Initialize gets this process licensed. Without a stored license it waits for the server, 10 s at
// most.
func Initialize(parameters Parameters) error {
	raw := (*C.sm_Parameters)(C.calloc(1, C.sizeof_sm_Parameters))
	defer C.free(unsafe.Pointer(raw))
	texts := []struct{ name, text string }{
		{"Server", parameters.Server},
		{"StandbyServer", parameters.StandbyServer},
		{"HandshakeCode", parameters.HandshakeCode},
		{"SessionPassword", parameters.SessionPassword},
		{"OrganizationID", parameters.OrganizationID},
	}
	for i, one := range texts {
		if strings.IndexByte(one.text, 0) >= 0 {
			return fmt.Errorf("%w: %s has a NUL", ErrArgument, one.name)
		}
		raw.texts[i] = C.CString(one.text)
		defer C.free(unsafe.Pointer(raw.texts[i]))
	}
	numbers := []struct {
		name   string
		number int
	}{
		{"DeploymentType", int(parameters.DeploymentType)},
		{"ChargeWay", int(parameters.ChargeWay)},
		{"MaxBufferDays", parameters.MaxBufferDays},
		{"Seats", parameters.Seats},
	}
	for i, one := range numbers {
		number, err := cInt(one.name, one.number)
		if err != nil {
			return err
		}
		raw.numbers[i] = number
	}
	return callWithMessage(func(message *C.char, length C.size_t) C.int {
		return C.sm_Initialize(raw, message, C.int(length))
	})
}

// IdleCount returns the free seats of this device; -1 when the license has to be refreshed, and
// also when the library cannot be loaded; math.MaxInt32 when the license has no seats.
func IdleCount() int {
	if load() != nil {
		return -1
	}
	return int(C.sm_GetIdleInstancesCount())
}

// SetStateDirectory chooses where this device's state is kept, before Initialize.
func SetStateDirectory(path string) error {
	err := withText("path", path, func(raw *C.char) C.int { return C.sm_SetStateDirectory(raw) })
	return withLength(err, "path", path, 1, pathBytesMax)
}

// SetValidationField tells the server a fact about this application, before Initialize. "" removes
// it.
func SetValidationField(field ValidationField, value string) error {
	number, err := cInt("field", int(field))
	if err != nil {
		return err
	}
	err = withText("value", value, func(raw *C.char) C.int { return C.sm_SetValidationField(number, raw) })
	err = withRange(err, "field", int(field), int(WebsiteDomain), int(ApplicationID))
	return withLength(err, "value", value, 0, settingBytesMax)
}

// SetDeviceFriendlyName gives this device a name by which people know it on the server, before
// Initialize.
func SetDeviceFriendlyName(name string) error {
	err := withText("name", name, func(raw *C.char) C.int { return C.sm_SetDeviceFriendlyName(raw) })
	return withLength(err, "name", name, 0, settingBytesMax)
}

// SetCAFile trusts the certificates in this PEM file, besides the system's, before the first
// Initialize.
func SetCAFile(path string) error {
	err := withText("path", path, func(raw *C.char) C.int { return C.sm_SetCaFile(raw) })
	return withLength(err, "path", path, 1, pathBytesMax)
}

// DeviceUUID returns the client UUID by which the server knows this device: 32 hexadecimal digits.
func DeviceUUID() (string, error) {
	const bytes = 33
	out := (*C.char)(C.calloc(1, bytes))
	defer C.free(unsafe.Pointer(out))
	err := call(func() C.int { return C.sm_GetDeviceUUID(out, bytes) })
	return C.GoString(out), err
}

// CountPages counts n pages of a module.
func CountPages(module PageModule, n uint64) error {
	number, err := cInt("module", int(module))
	if err != nil {
		return err
	}
	err = call(func() C.int { return C.sm_CountPages(number, C.uint64_t(n)) })
	err = withRange(err, "module", int(module), int(Core), int(OCR))
	return withRange(err, "n", n, 0, countMax)
}

// Sync reports and renews now, within the time.
func Sync(timeout time.Duration) error {
	return callWithMessage(func(message *C.char, length C.size_t) C.int {
		return C.sm_Sync(milliseconds(timeout), message, length)
	})
}

// Shutdown reports the rest and gives everything back, within the time. The next program reports
// what cannot be reported now.
func Shutdown(timeout time.Duration) error {
	return call(func() C.int { return C.sm_Shutdown(milliseconds(timeout)) })
}

// Version returns the version of the library; "" when it cannot be loaded.
func Version() string {
	if load() != nil {
		return ""
	}
	return C.GoString(C.sm_GetVersion())
}

// milliseconds is a time for C: out of its range of 0 to 600000 it is the nearest.
func milliseconds(wait time.Duration) C.int {
	const most = 600_000
	switch whole := wait.Milliseconds(); {
	case whole < 0:
		return 0
	case whole > most:
		return most
	default:
		return C.int(whole)
	}
}
