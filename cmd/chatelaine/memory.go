package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage may gather, in percent of what lives. Little
// lives here, so Go's 100 would collect many times a second under load.
const garbagePercent = 200

// letGarbageGather sets garbagePercent, unless the operator has set GOGC.
func letGarbageGather() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// giveBack gives the system what starting took and serving does not need: hashes
// of passwords, the site file. Later on Go does so by itself, little by little.
func giveBack() { debug.FreeOSMemory() }
