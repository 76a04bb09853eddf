package verify

import (
	"crypto/sha256"
	"sync"
)

// tokenCache remembers verified tokens under the SHA-256 of their signature, and
// compares the rest in full: as exact as keeping the whole text and far quicker
// than hashing it, and what lies in memory is no good without the signature. It
// has two halves: when the young one is full, it becomes the old one, and what
// nobody asked for again is forgotten.
type tokenCache struct {
	half       int
	mu         sync.RWMutex
	young, old map[signatureHash]*Token
}

type signatureHash [sha256.Size]byte

// hashSignature copies to the stack, because a conversion would go to the heap.
func hashSignature(signature string) signatureHash {
	var buffer [1 << 10]byte
	if len(signature) > len(buffer) {
		return sha256.Sum256([]byte(signature))
	}
	return sha256.Sum256(buffer[:copy(buffer[:], signature)])
}

func newTokenCache(limit int) *tokenCache {
	c := &tokenCache{half: max(1, limit/2)}
	c.clear()
	return c
}

// get finds the token whose signed part, header and payload, is this one too.
func (c *tokenCache) get(hash signatureHash, signed string) *Token {
	c.mu.RLock()
	t, young := c.young[hash]
	if !young {
		t = c.old[hash]
	}
	c.mu.RUnlock()
	if t == nil || t.signed != signed {
		return nil
	}
	if !young {
		c.put(hash, t)
	}
	return t
}

func (c *tokenCache) put(hash signatureHash, t *Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[signatureHash]*Token)
	}
	c.young[hash] = t
}

func (c *tokenCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = make(map[signatureHash]*Token), nil
}
