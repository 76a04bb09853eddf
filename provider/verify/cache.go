package verify

import (
	"crypto/sha256"
	"sync"
)

// tokenCache remembers verified tokens under the SHA-256 of their text, so that
// no token lies in memory for it. It has two halves: when the young one is
// full, it becomes the old one and what nobody asked for again is forgotten.
type tokenCache struct {
	half       int
	mu         sync.RWMutex
	young, old map[[sha256.Size]byte]*Token
}

func newTokenCache(limit int) *tokenCache {
	c := &tokenCache{half: max(1, limit/2)}
	c.clear()
	return c
}

func (c *tokenCache) get(hash [sha256.Size]byte) *Token {
	c.mu.RLock()
	t, young := c.young[hash]
	if !young {
		t = c.old[hash]
	}
	c.mu.RUnlock()
	if t != nil && !young {
		c.put(hash, t)
	}
	return t
}

func (c *tokenCache) put(hash [sha256.Size]byte, t *Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]*Token)
	}
	c.young[hash] = t
}

func (c *tokenCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = make(map[[sha256.Size]byte]*Token), nil
}
