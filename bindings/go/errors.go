package seatmeter

// #include "library.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

// Error is an error of the library: its number, as in seatmeter.h, and a sentence that says what to
// do.
type Error struct {
	Code    int
	Message string
}

func (e *Error) Error() string { return e.Message }

// Kinds of errors, for errors.Is.
var (
	// ErrNoLicense: there is no license yet. Call Initialize.
	ErrNoLicense = errors.New("seatmeter: no license")
	// ErrAllSeatsTaken: all seats of this device are in use, or the request was for more than the device has.
	ErrAllSeatsTaken = errors.New("seatmeter: all seats are taken")
	// ErrRefused: the license server has refused, or the license is used up or has expired.
	ErrRefused = errors.New("seatmeter: refused")
	// ErrServerUnreachable: no license server can be reached, and there is no license that is good
	// without one.
	ErrServerUnreachable = errors.New("seatmeter: no server can be reached")
	// ErrClosed: the reader has been closed.
	ErrClosed = errors.New("seatmeter: the reader is closed")
)

// Is reports whether the error is of a kind.
func (e *Error) Is(kind error) bool {
	switch kind {
	case ErrNoLicense:
		return e.Code == -20000
	case ErrAllSeatsTaken:
		return e.Code == -20008
	case ErrServerUnreachable:
		return e.Code == -20200
	case ErrRefused:
		return -20200 < e.Code && e.Code <= -20100
	}
	return false
}

// check makes an error of a number, unless it is 0.
func check(code C.int, message string) error {
	if code == 0 {
		return nil
	}
	if message == "" {
		message = C.GoString(C.sm_GetErrorString(code))
	}
	return &Error{Code: int(code), Message: inGo(message)}
}

// Ranges of the header, for the messages about values that the library refuses.
const (
	barcodesMax     = 1_048_576
	countMax        = math.MaxUint32
	forgetMax       = 10 * time.Minute
	pathBytesMax    = 4_095
	settingBytesMax = 512
)

// withRange adds the value and its range to the message of an error that is about this range.
func withRange[T int | uint64 | time.Duration](err error, name string, value, least, most T) error {
	var refused *Error
	if err == nil || !errors.As(err, &refused) || refused.Code != -10038 || least <= value && value <= most {
		return err
	}
	return &Error{Code: refused.Code, Message: fmt.Sprintf("%s is %v; it must be from %v to %v", name, value, least, most)}
}

// withLength does the same for the length of a text.
func withLength(err error, name, value string, least, most int) error {
	return withRange(err, "the length of "+name+" in bytes", len(value), least, most)
}

// words are the names of Go for the names of C in messages of the library.
var words = map[string]string{
	"mainServerURL":               "Server",
	"standbyServerURL":            "StandbyServer",
	"handshakeCode":               "HandshakeCode",
	"sessionPassword":             "SessionPassword",
	"deploymentType":              "DeploymentType",
	"chargeWay":                   "ChargeWay",
	"UUIDGenerationMethod":        "the way in which a UUID is made",
	"maxBufferDays":               "MaxBufferDays",
	"limitedLicenseModulesCount":  "the modules",
	"limitedLicenseModules":       "the modules",
	"maxConcurrentInstanceCount":  "Seats",
	"organizationID":              "OrganizationID",
	"InitDLSConnectionParameters": "NewParameters",
	"InitLicenseFromDLS":          "Initialize",
	"GetIdleInstancesCount":       "IdleCount",
	"SM_SetStateDirectory":        "SetStateDirectory",
	"SM_SetValidationField":       "SetValidationField",
	"SM_SetDeviceFriendlyName":    "SetDeviceFriendlyName",
	"SM_SetCaFile":                "SetCAFile",
	"SM_GetDeviceUUID":            "DeviceUUID",
	"SM_SetLogCallback":           "SetLog",
	"SM_CreateReader":             "NewReader",
	"SM_CreateReaderWithin":       "NewReaderWithin",
	"SM_DestroyReader":            "Reader.Close",
	"SM_CountImage":               "Reader.CountImage",
	"SM_CountFrame":               "Reader.CountFrame",
	"SM_CountScans":               "Reader.CountScans",
	"SM_SetDuplicateForgetTime":   "Reader.SetDuplicateForgetTime",
	"SM_CountPages":               "CountPages",
	"SM_ListHolders":              "Holders",
	"SM_GetStatus":                "CurrentStatus",
	"SM_Sync":                     "Sync",
	"SM_Shutdown":                 "Shutdown",
	"SM_GetErrorString":           "Error",
	"SM_GetVersion":               "Version",
}

var namesOfC = func() *regexp.Regexp {
	names := make([]string, 0, len(words))
	for name := range words {
		names = append(names, name)
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(names, "|") + `)\b(?:\(\))?`)
}()

// inGo returns a message with Go's names in place of those of the C API.
func inGo(message string) string {
	return namesOfC.ReplaceAllStringFunc(message, func(name string) string {
		return words[strings.TrimSuffix(name, "()")]
	})
}
