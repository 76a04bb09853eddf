// Package session owns browser sessions: their cookie, how they begin, are found,
// age and end, and what ending one takes with it (grants, and the word to the
// verifiers on the revocation feed). It also keeps a sign-in under way, sealed in
// a cookie, so that strangers write nothing into the store.
//
// The cookie holds the time and 256 random bits, the store only their SHA-256. It answers no
// route, and it does not decide who may sign in.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	// ErrNone is a request without a session that is in force.
	ErrNone = errors.New("no session")
	// ErrNoFlow is a request without the cookie of that sign-in, or after its time.
	ErrNoFlow = errors.New("no such sign-in under way")
	// ErrFlowTooLarge is an authorization request that no cookie can hold.
	ErrFlowTooLarge = errors.New("authorization request too large")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrNone, Status: http.StatusUnauthorized, OAuth: "login_required", Key: "bad_request"},
	{Err: ErrLacking, Status: http.StatusUnauthorized, OAuth: "login_required", Key: "401"},
	{Err: ErrNoFlow, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "flow_expired"},
	{Err: ErrFlowTooLarge, Status: http.StatusRequestURITooLong, OAuth: "invalid_request", Key: "too_large"},
}

// cookie is the name of the session's cookie, before web adds to it.
const cookie = "session"

// touchEvery is how often at most a session's time is moved on.
const touchEvery = time.Minute

// Options is what Sessions needs, set once. Store is Sites.Store().
type Options struct {
	Store store.Store
	Keys  *keys.Keys
	Audit *audit.Log
	Now   func() time.Time
}

// Sessions begins, finds and ends sessions.
type Sessions struct{ Options }

// New returns the Sessions of a store.
func New(o Options) *Sessions {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sessions{o}
}

// Start is what a new session begins with. Times and addresses that are left out
// are now and the request's.
type Start struct {
	AgentID string
	AMR     []string // RFC 8176
	ACR     string
	// Remembered says that a remembered device stood in for the second factor.
	Remembered bool
	// Lifted says that break-glass had lifted the factor that was due, and
	// SingleSignOnLifted the single sign-on.
	Lifted, SingleSignOnLifted bool
	AuthTime                   time.Time
	// AskedUnknown says that nobody knows when the agent was asked last.
	AskedUnknown bool
	store.Login

	IP        netip.Addr
	UserAgent string
	// Replaces is the session that the browser had, as Presented tells; it ends.
	Replaces string
	// EndOver ends the sessions that Over names, so that the site's limit holds.
	EndOver bool
}

// Presented is what Start.Replaces wants to know of a request.
func Presented(r *http.Request) string {
	value, ok := web.Cookie(r, cookie)
	if !ok {
		return ""
	}
	return hash(value)
}

// timeSize is the size of the time at the beginning of a cookie's value and of
// a sid, in bytes: milliseconds since 1970. What begins together stands together in
// the store, so that a commit of many sessions touches few pages.
const timeSize = 6

// timedText is the time and that many random bytes, as text.
func timedText(now time.Time, random int) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+random), uint64(now.UnixMilli()))[8-timeSize:]
	b = b[:timeSize+random]
	rand.Read(b[timeSize:])
	return base64.RawURLEncoding.EncodeToString(b)
}

// hash is the key of the session with that cookie, the time and the SHA-256 of it
// all; "" for what is no cookie of ours. Older ones begin without a time.
func hash(value string) string {
	var began []byte
	switch len(value) {
	case base64.RawURLEncoding.EncodedLen(timeSize + 32):
		var err error
		if began, err = base64.RawURLEncoding.DecodeString(value[:base64.RawURLEncoding.EncodedLen(timeSize)]); err != nil {
			return ""
		}
	case base64.RawURLEncoding.EncodedLen(32):
	default:
		return ""
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(append(began, sum[:]...))
}

// Find returns the request's session if it is in force: not idle or old for
// longer than the site allows now, and begun after everything that voids sessions.
// Anything else is ErrNone.
func (x *Sessions) Find(tx store.Tx, r *http.Request, s *site.Site) (store.Session, error) {
	key := Presented(r)
	if key == "" {
		return store.Session{}, ErrNone
	}
	return x.Live(tx, s, key)
}

// Live is Find for a session whose key is known.
func (x *Sessions) Live(tx store.Tx, s *site.Site, key string) (store.Session, error) {
	rec, err := store.Sessions.Get(tx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Session{}, ErrNone
	}
	if err != nil {
		return store.Session{}, fmt.Errorf("find session: %w", err)
	}
	agent, err := store.Agents.Get(tx, rec.AgentID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Session{}, fmt.Errorf("find the session's agent: %w", err)
	}
	if err != nil || x.void(s, &agent, &rec) {
		return store.Session{}, ErrNone
	}
	return rec, nil
}

// void reports whether a session that is still written down counts no more.
func (x *Sessions) void(s *site.Site, agent *store.Agent, rec *store.Session) bool {
	return agent.Inactive || rec.Created.Before(agent.NotBefore) || rec.Created.Before(s.Settings.NotBefore) || x.over(s, rec)
}

// over reports whether the session's time is up, by its own limits or by tighter
// ones that the site has set since.
func (x *Sessions) over(s *site.Site, rec *store.Session) bool {
	now := x.Now()
	return !now.Before(rec.Expires) || !now.Before(rec.End) ||
		!now.Before(rec.Seen.Add(seconds(s.Lifetimes.SessionIdle))) || !now.Before(rec.Created.Add(seconds(s.Lifetimes.SessionAbsolute)))
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// Start writes a session and returns the value for its cookie, which nothing
// keeps. The browser's old session ends. If it was the same agent's, what hangs
// on it goes on under the same sid: the agent has only signed in again.
func (x *Sessions) Start(ctx context.Context, tx store.Tx, s *site.Site, n Start) (rec store.Session, value string, err error) {
	now := x.Now().UTC()
	value = timedText(now, 32)
	rec = store.Session{
		Hash: hash(value), SID: timedText(now, 16), AgentID: n.AgentID, AuthTime: n.AuthTime.UTC(), AMR: n.AMR, ACR: n.ACR, Remembered: n.Remembered, Lifted: n.Lifted,
		SingleSignOnLifted: n.SingleSignOnLifted, AskedUnknown: n.AskedUnknown, Login: n.Login,
		IP: address(n.IP), UserAgent: n.UserAgent, Created: now, Seen: now, End: now.Add(seconds(s.Lifetimes.SessionAbsolute)),
	}
	if n.AuthTime.IsZero() {
		rec.AuthTime = now
	}
	if rec.IP == "" {
		rec.IP = address(web.ClientIP(ctx))
	}
	if rec.UserAgent == "" {
		rec.UserAgent = web.UserAgent(ctx)
	}
	rec.Expires = x.expires(s, &rec, now)
	if n.EndOver {
		if err := x.endOver(ctx, tx, s, n.AgentID, n.Replaces); err != nil {
			return rec, "", err
		}
	}
	if err := x.takeOver(ctx, tx, s, &rec, n.Replaces); err != nil {
		return rec, "", err
	}
	if err := store.Sessions.Put(tx, &rec); err != nil {
		return rec, "", fmt.Errorf("start session: %w", err)
	}
	return rec, value, nil
}

func (x *Sessions) expires(s *site.Site, rec *store.Session, now time.Time) time.Time {
	idle := now.Add(seconds(s.Lifetimes.SessionIdle))
	if rec.End.Before(idle) {
		return rec.End
	}
	return idle
}

// takeOver ends the browser's old session, or lets rec continue it.
func (x *Sessions) takeOver(ctx context.Context, tx store.Tx, s *site.Site, rec *store.Session, old string) error {
	if old == "" {
		return nil
	}
	was, err := store.Sessions.Get(tx, old)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("replace session: %w", err)
	}
	if was.AgentID != rec.AgentID {
		return x.End(ctx, tx, s, was, "replaced")
	}
	if live, err := x.Live(tx, s, old); err == nil {
		rec.SID = live.SID
	} else if !errors.Is(err, ErrNone) {
		return err
	}
	return store.Sessions.Delete(tx, old)
}

func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// SetCookie hands the session's cookie to the browser until the session's
// absolute end.
func (x *Sessions) SetCookie(w http.ResponseWriter, r *http.Request, value string, rec store.Session) {
	web.SetCookie(w, r, cookie, value, max(time.Second, rec.End.Sub(x.Now())))
}

// ClearCookie takes it back.
func (x *Sessions) ClearCookie(w http.ResponseWriter, r *http.Request) { web.ClearCookie(w, r, cookie) }

// Touch notes that the session was used from ip, in an Update of its own, at most
// once a minute unless the address is another. A session that ended meanwhile
// stays ended.
func (x *Sessions) Touch(ctx context.Context, s *site.Site, rec store.Session, ip netip.Addr) error {
	if !x.stale(s, &rec, ip) {
		return nil
	}
	err := x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		now, err := store.Sessions.Get(tx, rec.Hash)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || !x.stale(s, &now, ip) || x.over(s, &now) {
			return err
		}
		if ip.IsValid() {
			now.IP = address(ip)
		}
		now.Seen = x.Now().UTC()
		now.Expires = x.expires(s, &now, now.Seen)
		return store.Sessions.Put(tx, &now)
	})
	if err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil
}

// stale reports whether the session's record is worth a write. Where the idle
// limit is short, a minute would be too coarse.
func (x *Sessions) stale(s *site.Site, rec *store.Session, ip netip.Addr) bool {
	every := min(touchEvery, seconds(s.Lifetimes.SessionIdle)/10)
	return x.Now().Sub(rec.Seen) >= every || ip.IsValid() && rec.IP != address(ip)
}
