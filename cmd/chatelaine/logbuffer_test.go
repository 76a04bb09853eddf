package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// seenLog is what has really been written.
type seenLog struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	writes int
}

func (s *seenLog) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.buf.Write(p)
}

func (s *seenLog) lines() (lines, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.buf.String(), "\n"), s.writes
}

func TestLogLinesAreGatheredAndNoneIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &seenLog{}
		gathered := newGatheredLog(out)
		end := gathered.start()
		log := zerolog.New(gathered)
		for range 100 {
			log.Info().Msg("request")
		}
		if lines, _ := out.lines(); lines != 0 {
			t.Errorf("%d lines were written one by one", lines)
		}
		time.Sleep(logDelay)
		synctest.Wait()
		if lines, writes := out.lines(); lines != 100 || writes != 1 {
			t.Errorf("after the delay: %d lines in %d writes", lines, writes)
		}
		log.Info().Msg("before")
		log.Error().Msg("an error")
		if lines, _ := out.lines(); lines != 102 {
			t.Errorf("an error waits: %d lines", lines)
		}
		log.Info().Msg("last words")
		end()
		if lines, _ := out.lines(); lines != 103 {
			t.Errorf("the last line is lost: %d lines", lines)
		}
	})
}
