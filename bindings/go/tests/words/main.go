// Errors use the words of Go; prints how many messages were looked at.
package main

import (
	"fmt"
	"os"
	"regexp"
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
	parameters := seatmeter.NewParameters("DEMO-4-SEATS")
	parameters.DeploymentType = seatmeter.Server
	if err := seatmeter.Initialize(parameters); err != nil {
		panic(err)
	}
	look(seatmeter.SetDeviceFriendlyName("late"))
	if err := seatmeter.Shutdown(20 * time.Second); err != nil {
		panic(err)
	}
	fmt.Println(looked)
}
