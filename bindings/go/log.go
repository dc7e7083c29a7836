package seatmeter

// #include "library.h"
import "C"

import "sync/atomic"

// Level is the importance of a line of the log.
type Level int

// Levels.
const (
	LevelError   Level = 1
	LevelWarning Level = 2
	LevelInfo    Level = 3
)

var hearing atomic.Pointer[func(Level, string)]

// SetLog sets a function that gets the lines of the log. Any goroutine may call it; nil removes it.
// It must not call functions of this package. No call of it runs when SetLog(nil) has returned.
func SetLog(hear func(level Level, line string)) error {
	if hear == nil {
		return call(func() C.int { return C.sm_SetLog(0) })
	}
	hearing.Store(&hear)
	return call(func() C.int { return C.sm_SetLog(1) })
}

//export seatmeterHear
func seatmeterHear(level C.int, line *C.char) {
	if hear := hearing.Load(); hear != nil {
		(*hear)(Level(level), C.GoString(line))
	}
}
