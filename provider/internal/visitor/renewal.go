package visitor

import (
	"context"
	"encoding/json"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// renewalLife is how long a visitor is known again.
const renewalLife = records.RenewalLife

// renewal is what a visitor carries, sealed, to be given another token.
type renewal struct {
	Visitor    string   `json:"v"`
	SID        string   `json:"s"`
	Assurance  string   `json:"a"`
	AMR        []string `json:"m,omitempty"`
	Generation uint64   `json:"g,omitempty"` // of a known visitor's
	AuthTime   int64    `json:"t,omitempty"`
	Issued     int64    `json:"i"` // in milliseconds
	Expires    int64    `json:"e"`
	Resource   string   `json:"r,omitempty"`
	Given      *given   `json:"n,omitempty"`
	Was        string   `json:"w,omitempty"` // the sub that these tokens go on from
}

// unix is the time in seconds; zero for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func renewalFor(s *site.Site) []byte { return []byte("visitor renewal " + s.ID) }

// seal makes the renewal token.
func (x *Visitors) seal(ctx context.Context, s *site.Site, v *renewal, now time.Time) (string, error) {
	box, err := x.Keys.Box(ctx, s.Path, keys.SecretVisitor)
	if err != nil {
		return "", err
	}
	v.Issued, v.Expires = now.UnixMilli(), now.Add(renewalLife).Unix()
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return box.Seal(plain, renewalFor(s)), nil
}

// open reads a renewal token.
func (x *Visitors) open(ctx context.Context, s *site.Site, text string, now time.Time) (*renewal, error) {
	box, err := x.Keys.Box(ctx, s.Path, keys.SecretVisitor)
	if err != nil {
		return nil, err
	}
	plain, ok := box.Open(text, renewalFor(s))
	if !ok {
		return nil, web.Public(ErrGrant, "the renewal token is none of this site's")
	}
	v := &renewal{}
	if err := json.Unmarshal(plain, v); err != nil {
		return nil, err
	}
	if now.Unix() >= v.Expires {
		return nil, web.Public(ErrGrant, "the renewal token has ended")
	}
	if nb := s.Settings.NotBefore; !nb.IsZero() && v.Issued < nb.UnixMilli() {
		return nil, web.Public(ErrGrant, "the renewal token was revoked")
	}
	return v, nil
}
