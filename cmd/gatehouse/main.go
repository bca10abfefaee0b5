// Command gatehouse keeps a home that runs on Home Assistant safe: it stands in
// front of it and lets through the people and devices that the owner knows.
//
// This package is the verbs and the wiring. It alone reads the configuration; every
// other package is given ready values. What a verb does to people, devices and
// sessions is in house.go, once, whether a server runs or not; control.go carries it
// to a running one.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// heapGrowth is by how many percent of what is in use the heap may grow before it is
// collected. Go's own 100 costs a request a tenth more processor time; 400 saves no more
// than this and takes another 8 MB under load.
const heapGrowth = 200

func main() { os.Exit(mainStatus()) }

// mainStatus runs the command line and returns the exit status.
func mainStatus() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	return a.run(ctx, os.Args[1:])
}
