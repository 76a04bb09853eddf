package verify

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// yearTenThousand is the first second that RFC 3339 cannot write.
const yearTenThousand = 253402300800

// claims reads members one after the other and keeps the first fault.
type claims struct {
	from map[string]json.RawMessage
	err  error
}

// readClaims makes a Token of a verified payload, with the issuer, audience and
// the claims that RFC 9068 requires.
func (c *Client) readClaims(payload []byte) (*Token, error) {
	fields, err := members(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	r := &claims{from: fields}
	if iss := r.required("iss"); r.err == nil && iss != c.options.Issuer {
		return nil, fmt.Errorf("%w: iss is %.200q, expected %q", ErrIssuer, iss, c.options.Issuer)
	}
	t := &Token{
		client: c,
		ID:     r.required("jti"), Subject: r.required("sub"), ClientID: r.required("client_id"),
		SubjectType: r.text("subject_type"), SID: r.text("sid"), Site: r.text("site"), ACR: r.text("acr"), Assurance: r.text("assurance"),
		Audience: r.audience(), Scopes: strings.Fields(r.text("scope")), Roles: r.list("roles"), Groups: r.list("groups"), Entitlements: r.list("entitlements"), AMR: r.list("amr"),
		AuthTime: r.instant("auth_time", false), IssuedAt: r.instant("iat", true), NotBefore: r.instant("nbf", false), Expires: r.instant("exp", true),
		AllowedNetworks: r.networks(), NetworksRemote: r.text("allowed_networks_check") != "",
	}
	t.issuedMS = r.issued(t.IssuedAt)
	t.visitor = r.visitor(t)
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, r.err)
	}
	if !slices.Contains(t.Audience, c.options.Audience) {
		return nil, fmt.Errorf("%w: aud is %.200q, expected %q", ErrAudience, t.Audience, c.options.Audience)
	}
	return t, nil
}

// issued is the instant of issue in milliseconds. iat has whole seconds, in most
// readers, and so iat_ms says it more closely; where it is missing, it is the
// second's beginning.
func (r *claims) issued(iat time.Time) int64 {
	if _, ok := r.from["iat_ms"]; !ok {
		return iat.Unix() * 1000
	}
	var ms int64
	if err := field(r.from, "iat_ms", &ms); err != nil {
		r.fault(err)
	} else if ms/1000 != iat.Unix() {
		r.fault(fmt.Errorf("%q is not in the second of iat", "iat_ms"))
	}
	return ms
}

func (r *claims) fault(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *claims) text(name string) (value string) {
	if err := field(r.from, name, &value); err != nil {
		r.fault(err)
	}
	return value
}

func (r *claims) required(name string) string {
	value := r.text(name)
	if value == "" {
		r.fault(fmt.Errorf("%q is missing", name))
	}
	return value
}

func (r *claims) list(name string) (value []string) {
	if err := field(r.from, name, &value); err != nil {
		r.fault(err)
	}
	return value
}

// audience is one string or a list of them (RFC 7519, section 4.1.3).
func (r *claims) audience() []string {
	var one string
	if field(r.from, "aud", &one) == nil && one != "" {
		return []string{one}
	}
	list := r.list("aud")
	if len(list) == 0 {
		r.fault(fmt.Errorf("%q is missing", "aud"))
	}
	return list
}

// instant is a NumericDate (RFC 7519, section 2).
func (r *claims) instant(name string, required bool) time.Time {
	if _, ok := r.from[name]; !ok {
		if required {
			r.fault(fmt.Errorf("%q is missing", name))
		}
		return time.Time{}
	}
	var seconds float64
	if err := field(r.from, name, &seconds); err != nil {
		r.fault(err)
		return time.Time{}
	}
	if !(seconds > 0 && seconds < yearTenThousand) {
		r.fault(fmt.Errorf("%q is no time in seconds", name))
		return time.Time{}
	}
	return unix(seconds)
}

func unix(seconds float64) time.Time {
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

func (r *claims) networks() []netip.Prefix {
	if _, ok := r.from["allowed_networks"]; !ok {
		return nil
	}
	texts := r.list("allowed_networks")
	networks := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			r.fault(fmt.Errorf("%q holds no network", "allowed_networks"))
			return networks
		}
		networks = append(networks, p.Masked())
	}
	return networks
}
