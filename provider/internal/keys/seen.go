package keys

import (
	"sync"
	"time"
)

// seenBytes bounds the memory of verified tokens, of all sites together.
const seenBytes = 3 << 20

// tokenID names a token without keeping it.
type tokenID struct {
	site string
	sum  [32]byte
}

// token is one whose signature was right.
type token struct {
	kid, alg, typ string
	payload       []byte
	until         time.Time
}

// seen remembers verified tokens until they expire. It has two halves: when the
// younger is full, the elder is forgotten and they change places, so that what
// is still used stays and nothing needs to be sorted.
type seen struct {
	half int // bytes of one half

	mu             sync.RWMutex
	younger, elder map[tokenID]token
	size           int
}

func newSeen(bytes int) *seen { return &seen{half: bytes / 2, younger: map[tokenID]token{}} }

func (s *seen) get(id tokenID, now time.Time) (token, bool) {
	s.mu.RLock()
	t, ok := s.younger[id]
	old := false
	if !ok {
		t, old = s.elder[id]
	}
	s.mu.RUnlock()
	if !ok && !old || !now.Before(t.until) {
		return token{}, false
	}
	if old {
		s.put(id, t)
	}
	return t, true
}

func (s *seen) put(id tokenID, t token) {
	const overhead = 256 // of a map's entry, headers and all
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.younger[id]; ok {
		return
	}
	if s.size += len(t.payload) + overhead; s.size > s.half {
		s.elder, s.younger, s.size = s.younger, map[tokenID]token{}, len(t.payload)+overhead
	}
	s.younger[id] = t
}
