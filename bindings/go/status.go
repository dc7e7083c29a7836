package seatmeter

// #include "library.h"
import "C"

import "unsafe"

// Status is the state of this process's license; seatmeter.h explains each field.
// Times are Unix seconds.
type Status struct {
	State, ChargeWay                               int
	CacheCode, TrialCode, ExpiryCode, RefusalCode  int
	Usage, UsageModule                             int
	SeatsGranted, SeatsHeld, SeatsIdle             int
	ValidUntil, ExpiresAt, GraceEndsAt             uint64
	OldestUnsentAt, ToldAt, ContactAt, LastErrorAt uint64
	Used, Quota, Grace                             int64
	LastErrorCode, LastErrorStage                  int
	LastError, Server                              string
	RootKeysBuiltIn                                int
	RootKeyIsOfFirstAnswer                         bool
	RootKeyIDs                                     string
}

// CurrentStatus returns the state of this process's license.
func CurrentStatus() (Status, error) {
	var raw C.SM_Status
	raw.size = C.sizeof_SM_Status
	if err := call(func() C.int { return C.sm_GetStatus(&raw) }); err != nil {
		return Status{}, err
	}
	return Status{
		State: int(raw.state), ChargeWay: int(raw.chargeWay),
		CacheCode: int(raw.cacheCode), TrialCode: int(raw.trialCode),
		ExpiryCode: int(raw.expiryCode), RefusalCode: int(raw.refusalCode),
		Usage: int(raw.usage), UsageModule: int(raw.usageModule),
		SeatsGranted: int(raw.seatsGranted), SeatsHeld: int(raw.seatsHeld), SeatsIdle: int(raw.seatsIdle),
		ValidUntil: uint64(raw.validUntil), ExpiresAt: uint64(raw.expiresAt), GraceEndsAt: uint64(raw.graceEndsAt),
		OldestUnsentAt: uint64(raw.oldestUnsentAt), ToldAt: uint64(raw.toldAt),
		ContactAt: uint64(raw.contactAt), LastErrorAt: uint64(raw.lastErrorAt),
		Used: int64(raw.used), Quota: int64(raw.quota), Grace: int64(raw.grace),
		LastErrorCode: int(raw.lastErrorCode), LastErrorStage: int(raw.lastErrorStage),
		LastError: inGo(C.GoString(&raw.lastError[0])), Server: C.GoString(&raw.server[0]),
		RootKeysBuiltIn: int(raw.rootKeysBuiltIn), RootKeyIsOfFirstAnswer: int(raw.rootKeyIsOfFirstAnswer) != 0,
		RootKeyIDs: C.GoString(&raw.rootKeyIds[0]),
	}, nil
}

// Holder is a process that holds seats of this device.
type Holder struct {
	Seats, PID int
	// Since is when it took its first seat, in Unix seconds.
	Since uint64
	Name  string
}

// Holders returns the processes that hold seats of this device, those of other programs among them.
func Holders() ([]Holder, error) {
	// Another process may take its first seat between two calls. Mostly the first call has room
	// for all.
	for capacity := 64; ; capacity *= 2 {
		raw := make([]C.SM_Holder, capacity)
		var count C.size_t
		first := (*C.SM_Holder)(unsafe.Pointer(&raw[0]))
		err := call(func() C.int { return C.sm_ListHolders(first, C.size_t(capacity), &count) })
		if err != nil {
			return nil, err
		}
		if int(count) > capacity {
			continue
		}
		holders := make([]Holder, count)
		for i := range holders {
			one := &raw[i]
			holders[i] = Holder{int(one.seats), int(one.pid), uint64(one.since), C.GoString(&one.name[0])}
		}
		return holders, nil
	}
}
