package storetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// Filling is how full Fill makes a site.
type Filling struct {
	Site     string
	Agents   int    // with a password, a name and a role
	Sessions int    // spread over the agents, each with the token family it bought
	ClientID string // of the families
	Visitors int    // who are known, each by one connection and in one browser
	// Began is when the first session began; the others follow up to Until. Each is
	// live for eight hours and its family for twelve.
	Began, Until time.Time
	// Progress, if set, is told how many of the records with a key of their own are in.
	Progress func(done, total int)
}

const (
	fillBatch    = 20000 // agents, sessions or visitors in one commit
	fillPassword = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$Y2hhdGVsYWluZS1jaGF0ZWxhaW5lLWNoYXRlbGFpbmU"
)

// Fill writes agents, their live sessions and visitors into a site through the tables, a
// large batch a commit, so that a test can ask what a full house costs. It is
// shaped as real use leaves it: keys that begin with the time, lookups that do not.
func Fill(ctx context.Context, s store.Engine, f Filling) error {
	for _, step := range []struct {
		count int
		put   func(tx store.Tx, i int) error
	}{{f.Agents, f.agent}, {f.Sessions, f.session}, {f.Visitors, f.visitor}} {
		for from := 0; from < step.count; from += fillBatch {
			tx := &collecting{site: f.Site}
			for i := from; i < min(from+fillBatch, step.count); i++ {
				if err := step.put(tx, i); err != nil {
					return err
				}
			}
			if err := s.Load(ctx, tx.sorted()); err != nil {
				return fmt.Errorf("fill: %w", err)
			}
			if f.Progress != nil {
				f.Progress(min(from+fillBatch, step.count), step.count)
			}
		}
	}
	return nil
}

func (f Filling) agentID(i int) string { return fmt.Sprintf("01900000-0000-7000-8000-%012x", i) }

func (f Filling) agent(tx store.Tx, i int) error {
	return store.Agents.Create(tx, &store.Agent{
		ID: f.agentID(i), Email: fmt.Sprintf("agent-%07d@filled.example", i), EmailVerified: true,
		Name: fmt.Sprintf("Agent Number %d", i), GivenName: "Agent", FamilyName: fmt.Sprintf("Number %d", i),
		PasswordHash: fillPassword, PasswordChanged: f.Began, Roles: []string{"agents"}, Created: f.Began, Updated: f.Began,
	})
}

// session writes one and the family that it bought. Who signs in next is nobody
// in particular, so the agents' lookups are written all over their range.
func (f Filling) session(tx store.Tx, i int) error {
	began := f.Began.Add(f.Until.Sub(f.Began) / time.Duration(f.Sessions) * time.Duration(i)).UTC()
	agent := f.agentID(int(uint64(i) * 2654435761 % uint64(max(f.Agents, 1))))
	sid := base64.RawURLEncoding.EncodeToString(timed(began.UnixMilli(), 6, 16))
	if err := store.Sessions.Create(tx, &store.Session{
		Hash: hex.EncodeToString(timed(began.UnixMilli(), 6, 32)), SID: sid, AgentID: agent, AuthTime: began, AMR: []string{"pwd"}, ACR: "aal1",
		IP: "198.51.100.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		Created: began, Seen: began, Expires: began.Add(8 * time.Hour), End: began.Add(24 * time.Hour),
	}); err != nil {
		return err
	}
	return store.Grants.Create(tx, &store.Grant{
		ID: base64.RawURLEncoding.EncodeToString(timed(began.UnixMilli()>>4, 5, 11)),
		Authorization: store.Authorization{
			ClientID: f.ClientID, AgentID: agent, SID: sid, Scopes: []string{"openid", "profile", "email", "offline_access", "chat"},
			AuthTime: began, AMR: []string{"pwd"}, ACR: "aal1", Nonce: "a-nonce-of-24-characters",
		},
		Generation: 3, Current: timed(0, 0, 16), Previous: timed(0, 0, 16), Rotated: began, IdleSeconds: 12 * 3600,
		Created: began, Expires: began.Add(12 * time.Hour), End: began.Add(30 * 24 * time.Hour), IP: "198.51.100.7",
	})
}

// visitor writes one whom a connection knows by an external id and an address, of a
// domain that many have. What stands for MACs is random, as they are, and nothing can
// be opened.
func (f Filling) visitor(tx store.Tx, i int) error {
	came := f.Began.Add(f.Until.Sub(f.Began) / time.Duration(f.Visitors) * time.Duration(i)).UTC()
	mac := func() string { return base64.RawURLEncoding.EncodeToString(timed(0, 0, 16)) }
	domains := []string{"AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB", "CCCCCCCCCCCCCCCCCCCCCC"}
	return store.Visitors.Create(tx, &store.Visitor{
		ID: fmt.Sprintf("%012x-7000-8000-%012x", came.UnixMilli(), i), Subjects: []string{mac()}, Marks: []string{mac(), mac(), domains[i%len(domains)]}, Sealed: timed(0, 0, 450),
		Sessions: []store.VisitorSession{{
			SID: mac(), Connection: "shop", Since: f.Began.UnixMicro(), Assurance: "signed", Identity: mac(), AuthTime: came, Shown: came, Generation: 3, Rotated: came,
		}},
		Created: came, Seen: came, Whole: came,
	})
}

// timed is the low bytes of a time and then random ones.
func timed(at int64, size, random int) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(at))[8-size:]
	b = append(b, make([]byte, random)...)
	rand.Read(b[size:])
	return b
}

// collecting is a Tx that keeps what the tables write. Nothing is in it yet.
type collecting struct {
	site    string
	records []store.Record
}

func (c *collecting) Site() string                           { return c.site }
func (c *collecting) Get(store.Kind, []byte) ([]byte, error) { return nil, store.ErrNotFound }
func (c *collecting) Delete(store.Kind, []byte) error        { return nil }
func (c *collecting) Scan(store.Kind, []byte, []byte) iter.Seq2[store.Item, error] {
	return func(func(store.Item, error) bool) {}
}

func (c *collecting) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	c.records = append(c.records, store.Record{Site: c.site, Kind: kind, Key: bytes.Clone(key), Value: bytes.Clone(value), Expires: expires})
	return nil
}

// sorted is the engines' order, so that a batch is appended and not inserted.
func (c *collecting) sorted() []store.Record {
	slices.SortFunc(c.records, func(a, b store.Record) int {
		return cmp.Or(cmp.Compare(len(a.Kind), len(b.Kind)), cmp.Compare(a.Kind, b.Kind), bytes.Compare(a.Key, b.Key))
	})
	return c.records
}
