package oauth

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// seenTokens is how many tokens one generation of the cache holds.
const seenTokens = 512

// seen remembers tokens whose signature has been verified, and what they say.
// Whether they still live is asked of the store every time. Entries belong to a
// snapshot of the site, so a key that is withdrawn takes its tokens with it.
//
// Two generations of a fixed size bound the memory: what is used stays, a flood
// of new tokens only pushes out what is not. The whole token is the key, so
// another spelling of the same token is another token.
type seen struct {
	mu       sync.Mutex
	now, old map[string]*verified
}

// verified is a token with a good signature. It is shared: do not change what it
// says.
type verified struct {
	site    *site.Site
	payload []byte // the claims as signed
	claims  AccessClaims
	last    atomic.Pointer[footing]
}

// footing is what an agent's token stood on when it was last looked up. It is
// read anew each time; that it is kept only saves decoding what has not changed.
type footing struct {
	grant *store.Kept[store.Grant]
	agent *store.Kept[store.Agent]
}

func (c *seen) get(s *site.Site, raw string) *verified {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.now[raw]
	if !ok {
		if v, ok = c.old[raw]; ok {
			c.add(raw, v)
		}
	}
	if !ok || v.site != s {
		return nil
	}
	return v
}

func (c *seen) put(raw string, v *verified) {
	raw = strings.Clone(raw) // not the request's whole body
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(raw, v)
}

func (c *seen) add(raw string, v *verified) {
	if len(c.now) >= seenTokens || c.now == nil {
		c.now, c.old = make(map[string]*verified, 64), c.now
	}
	c.now[raw] = v
}
