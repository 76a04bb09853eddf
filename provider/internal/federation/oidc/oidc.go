// Package oidc is the relying party's half of OpenID Connect: the request to a
// customer's OpenID provider and the judging of its answer. It alone imports
// coreos/go-oidc and x/oauth2.
//
// The code flow with PKCE and a nonce, always; the provider is pinned by its issuer.
// It keeps discovery documents and key sets in memory, and nothing else: the flow's
// state, nonce and verifier are its caller's to keep in the browser that asked, and
// so is that a flow ends once. It has no routes.
//
// A token is judged in this order: its form, its header, the signature by one of
// the provider's published keys (token.go), then what it says, each claim by its
// exact name (finish.go, logout.go), and last by go-oidc, which must agree. Every
// check is returned, for administrators to read.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/kept"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/keyset"
)

// Codes of refusals.
const (
	CodeInvalid  = "token_invalid"
	CodeExpired  = "token_expired"
	CodeProvider = "provider_refused"
	// CodeConfig is what only whoever set the connection up can put right.
	CodeConfig = "connection_misconfigured"
)

// ErrUnavailable says that the provider does not answer, or not as it should.
var ErrUnavailable = errors.New("the OpenID provider cannot be reached")

// ErrUnfit is an ErrUnavailable that waiting does not change: what is published there
// is another provider's, or names no address that can be used.
var ErrUnfit = fmt.Errorf("%w as it is set up", ErrUnavailable)

func unavailable(what string, err error) error {
	is := ErrUnavailable
	if errors.Is(err, errUnfit) {
		is = ErrUnfit
	}
	return fmt.Errorf("%w: %s: %s", is, what, cut(err.Error()))
}

// Check is one thing that was looked at. Expected and Got are for administrators:
// Got may be a stranger's words, cut to 200 bytes.
type Check struct {
	Name          string
	OK            bool
	Expected, Got string
}

// Refused is the error of what was looked at and does not hold.
type Refused struct {
	Code string
	Check
}

// Error names the check and repeats nothing of the answer.
func (r *Refused) Error() string { return r.Code + ": " + r.Name }

// Config is us at one provider.
type Config struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	AuthMethod   string   // client_secret_basic, client_secret_post or none; empty: as the provider says
	Scopes       []string // empty: openid profile email
	RedirectURI  string
	Prompt       string
	ACRValues    []string
	LoginHint    string
	MaxAge       *int // seconds
	Skew         time.Duration
	// Wanted are the claims that the connection maps. Userinfo is asked for them, as it
	// is for email and name, if the ID token lacks one.
	Wanted []string
}

// String leaves the secret out.
func (c Config) String() string {
	return fmt.Sprintf("{Issuer:%s ClientID:%s ClientSecret:[redacted]}", c.Issuer, c.ClientID)
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

const defaultSkew = time.Minute

func (c Config) skew() time.Duration {
	if c.Skew > 0 {
		return c.Skew
	}
	return defaultSkew
}

// Options is what a Provider needs.
type Options struct {
	Client *http.Client // web.NewOutboundClient's
	Now    func() time.Time
}

// Provider knows the OpenID providers that were asked for.
type Provider struct {
	Options
	documents *kept.Documents[document] // by issuer
	keys      *keyset.Published
}

// New returns a Provider.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Provider{Options: o, keys: keyset.NewPublished(o.Client, o.Now)}
	p.documents = kept.New(kept.Options[document]{Get: p.fetch, Now: o.Now, Fresh: fresh, Stale: stale, Again: again})
	return p
}

// context carries our client to the libraries.
func (p *Provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.Client)
}

// judgement is one call.
type judgement struct {
	*Provider
	Config
	checks []Check
}

// check notes what was looked at, and refuses unless it is ok.
func (j *judgement) check(code, name string, ok bool, expected, got string) error {
	c := Check{name, ok, cut(expected), cut(got)}
	if n := len(j.checks) - 1; n >= 0 && j.checks[n].Name == name && j.checks[n].OK { // one line says that it holds
		j.checks = j.checks[:n]
	}
	j.checks = append(j.checks, c)
	if ok {
		return nil
	}
	return &Refused{code, c}
}

func is(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

// must refuses; what holds is not worth a line.
func (j *judgement) must(ok bool, name, expected, got string) error {
	if ok {
		return nil
	}
	return j.check(CodeInvalid, name, false, expected, got)
}

// rule is a claim that must hold.
type rule struct {
	code, name    string
	ok            bool
	expected, got string
}

func (j *judgement) all(rules []rule) error {
	for _, r := range rules {
		if err := j.check(r.code, r.name, r.ok, r.expected, r.got); err != nil {
			return err
		}
	}
	return nil
}

// cut keeps the beginning of a stranger's words, and of that what can be seen.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
