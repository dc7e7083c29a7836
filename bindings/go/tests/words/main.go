// Checks that errors use the words of Go; prints the number of checked messages.
package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"seatmeter"
)

// Names of functions and parameters as C has them.
var ofC = regexp.MustCompile(`\b(?:SM_\w+|DBR_\w+|InitLicense\w*|InitDLS\w*|GetIdle\w*|[a-z]+(?:[A-Z][a-z0-9]*)+[A-Z]*)\b`)

var looked int

func look(err error) {
	if err == nil {
		panic("no error")
	}
	if _, isOurs := err.(*seatmeter.Error); !isOurs {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if name := ofC.FindString(err.Error()); name != "" {
		panic(name + " in " + err.Error())
	}
	looked++
}

// lookFor checks a message that must have a value and its range.
func lookFor(expected string, err error) {
	look(err)
	if !strings.Contains(err.Error(), expected) {
		panic(err.Error() + " lacks " + expected)
	}
}

func refused(change func(*seatmeter.Parameters)) {
	parameters := seatmeter.NewParameters("DEMO-4-SEATS")
	parameters.DeploymentType = seatmeter.Server
	change(&parameters)
	look(seatmeter.Initialize(parameters))
}

func main() {
	_, err := seatmeter.NewReader()
	look(err)
	refused(func(p *seatmeter.Parameters) { p.HandshakeCode = "" })
	refused(func(p *seatmeter.Parameters) { p.Seats = 0 })
	refused(func(p *seatmeter.Parameters) { p.Seats = 5 })
	refused(func(p *seatmeter.Parameters) { p.ChargeWay = 99 })
	refused(func(p *seatmeter.Parameters) { p.HandshakeCode = "DEMO 4 SEATS" })
	refused(func(p *seatmeter.Parameters) { p.Server = "ftp://x" })
	refused(func(p *seatmeter.Parameters) { p.DeploymentType = seatmeter.Mobile })
	long := strings.Repeat("x", 513)
	lookFor("field is 9; it must be from 0 to 1", seatmeter.SetValidationField(9, "x"))
	lookFor("value in bytes is 513; it must be from 0 to 512", seatmeter.SetValidationField(seatmeter.WebsiteDomain, long))
	lookFor("name in bytes is 513; it must be from 0 to 512", seatmeter.SetDeviceFriendlyName(long))
	lookFor("path in bytes is 0; it must be from 1 to 4095", seatmeter.SetStateDirectory(""))
	lookFor("path in bytes is 0; it must be from 1 to 4095", seatmeter.SetCAFile(""))
	lookFor("module is 7; it must be from 1 to 4", seatmeter.CountPages(7, 1))
	parameters := seatmeter.NewParameters("DEMO-4-SEATS")
	parameters.DeploymentType = seatmeter.Server
	if err := seatmeter.Initialize(parameters); err != nil {
		panic(err)
	}
	look(seatmeter.SetDeviceFriendlyName("late"))
	const count = "n is 4294967296; it must be from 0 to 4294967295"
	lookFor(count, seatmeter.CountPages(seatmeter.Core, 1<<32))
	reader, err := seatmeter.NewReader()
	if err != nil {
		panic(err)
	}
	lookFor(count, reader.CountScans(4, 1<<32))
	lookFor("forget is -1ms; it must be from 0s to 10m0s", reader.SetDuplicateForgetTime(-time.Millisecond))
	_ = reader.Close()
	if err := seatmeter.Shutdown(20 * time.Second); err != nil {
		panic(err)
	}
	fmt.Println(looked)
}
