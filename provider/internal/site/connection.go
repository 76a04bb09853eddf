package site

import (
	"fmt"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/store"
)

// connections are a site's, as its snapshot holds them.
type connections struct {
	byID     map[string]*store.Connection
	agents   []*store.Connection // those in use, by name
	byDomain map[string]*store.Connection
}

func loadConnections(tx store.Tx) (connections, error) {
	c := connections{byID: map[string]*store.Connection{}, byDomain: map[string]*store.Connection{}}
	for rec, err := range store.Connections.All(tx, "") {
		if err != nil {
			return c, fmt.Errorf("load the connections: %w", err)
		}
		c.byID[rec.ID] = &rec
		if rec.Disabled || rec.For != store.ForAgents {
			continue
		}
		c.agents = append(c.agents, &rec)
		for _, domain := range rec.Domains {
			if known := c.byDomain[domain]; known == nil || rec.Enforce && !known.Enforce {
				c.byDomain[domain] = &rec
			}
		}
	}
	arrange.By(c.agents, func(a, b *store.Connection) int {
		if n := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return c, nil
}

// Connection is the site's connection with that id; nil if there is none or it is
// disabled. Nothing in it may be changed.
func (s *Site) Connection(id string) *store.Connection {
	if c := s.connections.byID[id]; c != nil && !c.Disabled {
		return c
	}
	return nil
}

// ConnectionName is what people know a connection by, also one that is disabled; ""
// if there is none with that id.
func (s *Site) ConnectionName(id string) string {
	if c := s.connections.byID[id]; c != nil {
		return c.Name
	}
	return ""
}

// Connections are all of the site's, in use or not, in no order.
func (s *Site) Connections() []*store.Connection {
	all := make([]*store.Connection, 0, len(s.connections.byID))
	for _, c := range s.connections.byID {
		all = append(all, c)
	}
	return all
}

// AgentConnections are those in use that agents sign in through, by name.
func (s *Site) AgentConnections() []*store.Connection { return s.connections.agents }

// DefaultConnection is the one that the sign-in page leads to by itself; nil: none.
func (s *Site) DefaultConnection() *store.Connection {
	for _, c := range s.connections.agents {
		if c.Default {
			return c
		}
	}
	return nil
}

// Leading is the connection that addresses of email's domain lead to; nil: none.
func (s *Site) Leading(email string) *store.Connection {
	return s.connections.byDomain[domainOf(email)]
}

// Enforcing is the connection by which alone an agent with that address signs in
// now; nil: there is none, or break-glass lifts it.
func (s *Site) Enforcing(email string, now time.Time) *store.Connection {
	if s.Lifted(store.ControlSingleSignOn, now) {
		return nil
	}
	return s.Enforced(email)
}

// Enforced is Enforcing as it is without break-glass.
func (s *Site) Enforced(email string) *store.Connection {
	domain := domainOf(email)
	c := s.connections.byDomain[domain]
	if c == nil || !c.Enforces(domain, s.Proven) {
		return nil
	}
	return c
}

func domainOf(email string) string {
	_, domain, _ := strings.Cut(email, "@")
	return domain
}
