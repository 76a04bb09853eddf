package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Types of subject, as the claim subject_type spells them.
const (
	Agent   = "agent"
	Visitor = "visitor"
	Client  = "client"
)

// DefaultKeep is how long an answer may be kept unless the request says
// otherwise: as long as a revocation may take to be heard of everywhere.
const DefaultKeep = 5 * time.Second

// Request is all that a decision depends on.
type Request struct {
	Now     time.Time
	Subject Subject
	// Token has the facts of the token that was shown; nil when none was.
	Token    *Token
	Action   string // a permission's name
	Resource Resource
	// IP is where the subject is; the zero Addr means unknown.
	IP netip.Addr
	// Pathway picks the allowlist's switch; empty means that the list applies
	// whenever it is on.
	Pathway   Pathway
	Allowlist *Allowlist
	// AllowedNetworks is the claim of that name: nil means no restriction, empty
	// and not nil means that nobody may come in.
	AllowedNetworks []netip.Prefix
	// Bans are judged of visitors: by what is Known of them, and by IP.
	Bans    *Bans
	Known   BanFacts
	Demands Demands
	// Keep is how long the answer may be kept; zero means DefaultKeep.
	Keep time.Duration
}

// Subject is who acts.
type Subject struct {
	Type        string // Agent, Visitor or Client
	ID          string
	Roles       []string
	Permissions []string
	Active      bool
	ACR         string
	Assurance   string // of a visitor
	AuthTime    time.Time
}

// Resource is what is acted upon.
type Resource struct{ Type, ID string }

// Token is what a verified token says of itself, and what is known of it.
type Token struct {
	Audience  []string
	For       string // who judges; it must be in Audience unless empty
	NotBefore time.Time
	Expires   time.Time
	Leeway    time.Duration // for clocks that differ, both ways
	Revoked   bool
	Stale     bool // revocations have not been heard of lately, and that refuses
}

// Demands is what a resource asks of the sign-in (RFC 9470). Empty fields ask
// nothing.
type Demands struct {
	ACR       []string      // one of these, or one of ours that is stronger
	Assurance []string      // one of these, of a visitor
	MaxAge    time.Duration // since the last active sign-in
}

// Decide says whether the subject may do the action: Admit, then the permission
// of the action's name. An action that names no permission is refused. A visitor may
// besides do what all of them may (VisitorActions).
func Decide(r Request) Decision {
	admitted := Admit(r)
	if !admitted.Allowed {
		return admitted
	}
	if r.Action == "" || !slices.Contains(r.Subject.Permissions, r.Action) && !(r.Subject.Type == Visitor && slices.Contains(VisitorActions(), r.Action)) {
		return Refuse(ReasonPermission, admitted.Until)
	}
	return admitted
}

// Admit says whether the subject may come in at all: active, with a live token
// for this audience, not banned, from an allowed network, signed in well enough. The
// outer gate is judged first, so that a refusal says nothing of the inner ones.
func Admit(r Request) Decision {
	until := r.Now.Add(r.keep())
	if reason := tokenReason(r.Token, r.Now); reason != "" {
		return Refuse(reason, until)
	}
	if r.Token != nil && !r.Token.Expires.IsZero() {
		until = earlier(until, r.Token.Expires)
	}
	if !r.Subject.Active {
		return Refuse(ReasonSubjectInactive, until)
	}
	if end, banned := r.banned(); banned {
		if !end.IsZero() {
			until = earlier(until, end)
		}
		return Refuse(ReasonBanned, until)
	}
	if reason := networkReason(r); reason != "" {
		return Refuse(reason, until)
	}
	return demand(r, until)
}

func (r Request) keep() time.Duration {
	if r.Keep > 0 {
		return r.Keep
	}
	return DefaultKeep
}

func tokenReason(t *Token, now time.Time) string {
	switch {
	case t == nil:
		return ""
	case !t.Expires.IsZero() && !now.Before(t.Expires.Add(t.Leeway)):
		return ReasonTokenExpired
	case now.Add(t.Leeway).Before(t.NotBefore):
		return ReasonTokenNotYetValid
	case t.For != "" && !slices.Contains(t.Audience, t.For):
		return ReasonAudienceMismatch
	case t.Revoked:
		return ReasonRevoked
	case t.Stale:
		return ReasonStale
	}
	return ""
}

// networkReason judges the address. The site's allowlist is about agents:
// visitors come from everywhere, and clients from their servers. A list carried
// by the token binds whoever carries it.
func networkReason(r Request) string {
	listed := r.Subject.Type != Visitor && r.Subject.Type != Client && r.listApplies()
	if !listed && r.AllowedNetworks == nil {
		return ""
	}
	if !judged(r.IP).IsValid() {
		return ReasonIPUnknown
	}
	if listed && !r.Allowlist.Allows(r.IP, r.Subject.Roles) {
		return ReasonIPNotAllowed
	}
	if r.AllowedNetworks != nil && !InNetworks(r.IP, r.AllowedNetworks) {
		return ReasonIPNotAllowed
	}
	return ""
}

func (r Request) listApplies() bool {
	if r.Pathway == "" {
		return r.Allowlist.Enabled()
	}
	return r.Allowlist.AppliesTo(r.Pathway)
}

// demand refuses a sign-in that is too weak or too old, and says in obligations
// named as RFC 9470 names them what a new one must be.
func demand(r Request, until time.Time) Decision {
	d, s := r.Demands, r.Subject
	if len(d.Assurance) > 0 && s.Type != Visitor { // it is for visitors: no sign-in makes one of an agent
		return Refuse(ReasonPermission, until)
	}
	var must []Obligation
	if len(d.ACR) > 0 && !slices.ContainsFunc(d.ACR, func(want string) bool { return s.ACR == want || ACRMeets(s.ACR, want) }) {
		must = append(must, Obligation{"acr_values", strings.Join(d.ACR, " ")})
	}
	if len(d.Assurance) > 0 && !slices.Contains(d.Assurance, s.Assurance) {
		must = append(must, Obligation{"assurance", strings.Join(d.Assurance, " ")})
	}
	if d.MaxAge > 0 {
		end := s.AuthTime.Add(d.MaxAge)
		if s.AuthTime.IsZero() || !r.Now.Before(end) {
			must = append(must, Obligation{"max_age", strconv.Itoa(int(d.MaxAge / time.Second))})
		} else {
			until = earlier(until, end)
		}
	}
	if len(must) > 0 {
		return Decision{Reason: ReasonStepUp, Obligations: must, Until: until}
	}
	return Decision{Allowed: true, Reason: ReasonAllowed, Until: until}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
