// Plays a program of bindings/scenario.txt: reads commands from standard input, and answers each with a line.
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"seatmeter"
)

var (
	readers []*seatmeter.Reader
	heard   sync.Map
)

func last() *seatmeter.Reader { return readers[len(readers)-1] }

func keep(reader *seatmeter.Reader, err error) error {
	if err == nil {
		readers = append(readers, reader)
	}
	return err
}

func barcodes(n int) []seatmeter.Barcode {
	all := make([]seatmeter.Barcode, n)
	for i := range all {
		all[i] = seatmeter.Barcode{Format: 4, Bytes: []byte(fmt.Sprintf("code%d", i))}
	}
	return all
}

func initialize(server, code string, seats int) error {
	parameters := seatmeter.NewParameters(code)
	parameters.Server = server
	parameters.Seats = seats
	parameters.DeploymentType = seatmeter.Server
	parameters.ChargeWay = seatmeter.ConcurrentInstance
	return seatmeter.Initialize(parameters)
}

// stale closes a reader while goroutines count with it: each must get the error that it is closed.
func stale() string {
	reader := last()
	readers = readers[:len(readers)-1]
	var wait sync.WaitGroup
	closed := make(chan struct{}, 4)
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for {
				if _, err := reader.CountImage(nil); errors.Is(err, seatmeter.ErrClosed) {
					closed <- struct{}{}
					return
				}
			}
		}()
	}
	reader.Close()
	wait.Wait()
	return fmt.Sprintf("%d closed", len(closed))
}

// noCopy checks that a copy of a reader is not a second owner of a seat.
func noCopy() string {
	reader, err := seatmeter.NewReader()
	if err != nil {
		return err.Error()
	}
	copied := *reader
	before := seatmeter.IdleCount()
	reader.Close()
	_, err = copied.CountImage(nil)
	copied.Close()
	if errors.Is(err, seatmeter.ErrClosed) && seatmeter.IdleCount() == before+1 {
		return "no copy"
	}
	return "a copy"
}

func roots() (string, error) {
	now, err := seatmeter.CurrentStatus()
	whose := "of the vendor"
	if now.RootKeyIsOfFirstAnswer {
		whose = "of the first answer"
	}
	return fmt.Sprintf("%d built in, %s, %d digits", now.RootKeysBuiltIn, whose, len(now.RootKeyIDs)), err
}

func status() (string, error) {
	now, err := seatmeter.CurrentStatus()
	return fmt.Sprint(now.State, now.SeatsGranted, now.SeatsHeld, now.SeatsIdle), err
}

func holders() (string, error) {
	all, err := seatmeter.Holders()
	seats := 0
	for _, holder := range all {
		seats += holder.Seats
	}
	return fmt.Sprintf("%d processes %d seats", len(all), seats), err
}

func setLog() error {
	return seatmeter.SetLog(func(_ seatmeter.Level, line string) {
		if strings.Contains(line, "licensed") {
			heard.Store("licensed", true)
		}
	})
}

func wasHeard() string {
	if _, ok := heard.Load("licensed"); ok {
		return "yes"
	}
	return "no"
}

func nul(server string) string {
	if err := initialize(server, "DEMO-4-SEATS\x00-AND-MORE", 4); errors.Is(err, seatmeter.ErrArgument) {
		return "no text"
	}
	return "a text"
}

func uuid() (string, error) {
	text, err := seatmeter.DeviceUUID()
	digits, notHex := hex.DecodeString(text)
	if notHex != nil {
		return text, notHex
	}
	return fmt.Sprintf("%d digits", len(digits)*2), err
}

func number(counted int, err error) (string, error) { return strconv.Itoa(counted), err }

func destroy() error {
	reader := last()
	readers = readers[:len(readers)-1]
	return reader.Close()
}

func obey(command string, words []string) (string, error) {
	n := 0
	word := ""
	if len(words) > 0 {
		word = words[len(words)-1]
		n, _ = strconv.Atoi(word)
	}
	switch command {
	case "init":
		return "ok", initialize(words[0], words[1], n)
	case "nul":
		return nul(word), nil
	case "version":
		return seatmeter.Version(), nil
	case "log":
		return "ok", setLog()
	case "heard":
		return wasHeard(), nil
	case "friendly":
		return "ok", seatmeter.SetDeviceFriendlyName(word)
	case "field":
		return "ok", seatmeter.SetValidationField(seatmeter.WebsiteDomain, word)
	case "ca":
		return "ok", seatmeter.SetCAFile(word)
	case "uuid":
		return uuid()
	case "holders":
		return holders()
	case "copy":
		return noCopy(), nil
	case "idle":
		return strconv.Itoa(seatmeter.IdleCount()), nil
	case "create":
		return "ok", keep(seatmeter.NewReader())
	case "within":
		return "ok", keep(seatmeter.NewReaderWithin(time.Duration(n) * time.Millisecond))
	case "destroy":
		return "ok", destroy()
	case "stale":
		return stale(), nil
	case "image":
		return number(last().CountImage(barcodes(n)))
	case "frame":
		return number(last().CountFrame(barcodes(n)))
	case "forget":
		return "ok", last().SetDuplicateForgetTime(time.Duration(n) * time.Millisecond)
	case "scans":
		return "ok", last().CountScans(4, uint64(n))
	case "pages":
		return "ok", seatmeter.CountPages(seatmeter.Core, uint64(n))
	case "decode":
		return decode(word)
	case "bytes":
		found, err := seatmeter.DecodeFile(word)
		if err != nil {
			return "", err
		}
		return found[0].Format + " " + hex.EncodeToString(found[0].Bytes), nil
	case "roots":
		return roots()
	case "status":
		return status()
	case "sync":
		return "ok", seatmeter.Sync(20 * time.Second)
	case "shutdown":
		return "ok", seatmeter.Shutdown(20 * time.Second)
	}
	return "what is " + command, nil
}

// decode returns the number of barcodes, or the text that follows the error.
func decode(path string) (string, error) {
	found, err := seatmeter.DecodeFile(path)
	if err == nil {
		return strconv.Itoa(len(found)), nil
	}
	if len(found) == 0 {
		return "", err
	}
	return fmt.Sprintf(" with %d results", len(found)), err
}

func answer(line string) string {
	words := strings.Fields(line)
	said, err := obey(words[0], words[1:])
	var refused *seatmeter.Error
	if err == nil {
		return said
	}
	if !errors.As(err, &refused) {
		return err.Error()
	}
	if words[0] != "decode" {
		said = ""
	}
	kinds := []struct {
		kind error
		name string
	}{
		{seatmeter.ErrNoLicense, "unlicensed"},
		{seatmeter.ErrAllSeatsTaken, "taken"},
		{seatmeter.ErrRefused, "refused"},
		{seatmeter.ErrServerUnreachable, "unreachable"},
	}
	for _, one := range kinds {
		if errors.Is(err, one.kind) {
			return fmt.Sprintf("error %d %s%s", refused.Code, one.name, said)
		}
	}
	return fmt.Sprintf("error %d other%s", refused.Code, said)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(answer(lines.Text()))
	}
}
