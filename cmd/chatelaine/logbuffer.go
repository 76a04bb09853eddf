package main

import (
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// A log line for each request is a system call for each request. Lines are
// therefore gathered and written together, logDelay late at most; warnings and
// worse go out at once, with all that came before them.
const (
	logDelay  = 100 * time.Millisecond
	logBuffer = 64 << 10 // bytes; more is written at once
)

// gatheredLog is a zerolog.LevelWriter. Start it, or nothing below a warning is
// written before logBuffer is full.
type gatheredLog struct {
	out io.Writer
	mu  sync.Mutex
	buf []byte
}

func newGatheredLog(out io.Writer) *gatheredLog {
	return &gatheredLog{out: out, buf: make([]byte, 0, logBuffer)}
}

// Write writes at once.
func (g *gatheredLog) Write(p []byte) (int, error) { return g.WriteLevel(zerolog.NoLevel, p) }

// WriteLevel keeps lines of debug and info, and writes others at once.
func (g *gatheredLog) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = append(g.buf, p...)
	if level > zerolog.InfoLevel || len(g.buf) >= logBuffer {
		return len(p), g.flush()
	}
	return len(p), nil
}

func (g *gatheredLog) flush() error {
	if len(g.buf) == 0 {
		return nil
	}
	_, err := g.out.Write(g.buf)
	g.buf = g.buf[:0]
	return err
}

// start writes what is gathered from time to time, until end is called, which
// writes the rest.
func (g *gatheredLog) start() (end func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(logDelay)
		defer ticker.Stop()
		for over := false; !over; {
			select {
			case <-quit:
				over = true
			case <-ticker.C:
			}
			g.mu.Lock()
			_ = g.flush()
			g.mu.Unlock()
		}
	}()
	return func() { close(quit); <-done }
}
