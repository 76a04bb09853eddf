// Package jwt judges the tokens with which a customer's own login page, or server,
// says who somebody is.
//
// It is pure. What it cannot know is its caller's: that a jti is used once
// (Claims.ID until Claims.Until), that the browser is the one that was sent to log
// in, and who the subject is here. Keys come from the connection and nowhere else:
// of a token's header only alg and kid are looked at, and a key has one family of
// algorithms.
package jwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
)

// Limits.
const (
	MaxToken = 16 << 10 // bytes
	MaxID    = 512      // bytes of a jti
	MaxKeys  = 20       // of a connection
	maxTried = 8        // keys that are tried for a token without kid

	// MaxAge is how old an iat may be, ZendeskAge in that dialect.
	MaxAge     = 5 * time.Minute
	ZendeskAge = 3 * time.Minute
	// MaxLife is how far ahead an exp may be.
	MaxLife = 24 * time.Hour
	// DefaultSkew is what clocks may differ by.
	DefaultSkew = time.Minute
)

// Whom a token is about.
const (
	Agent   = "agent"
	Visitor = "visitor"
)

// Dialects: what a login page was written for.
const (
	Strict  = ""        // everything is there
	Zendesk = "zendesk" // aud and iss may be missing
	Comm100 = "comm100" // iat may be missing where nbf and exp are near
)

// Codes of refusals.
const (
	CodeInvalid = "token_invalid"
	CodeExpired = "token_expired"
	CodeMissing = "token_missing_attribute"
)

// Names of checks.
const (
	CheckForm      = "form"
	CheckAlgorithm = "algorithm"
	CheckKey       = "key"
	CheckSignature = "signature"
	CheckAudience  = "aud"
	CheckIssuer    = "iss"
	CheckIssuedAt  = "iat"
	CheckNotBefore = "nbf"
	CheckExpires   = "exp"
	CheckID        = "jti"
	CheckScope     = "scope"
	CheckSubject   = "sub"
)

// Check is one thing that was looked at. Expected and Got are for administrators:
// Got may be a stranger's words, cut to 200 bytes.
type Check struct {
	Name          string
	OK            bool
	Expected, Got string
}

// Refused is the error of Verify.
type Refused struct {
	Code string
	Check
}

// Error names the check and repeats nothing of the token.
func (r *Refused) Error() string { return r.Code + ": " + r.Name }

// Expect is what a token must agree with.
type Expect struct {
	Use      string // Agent or Visitor
	Dialect  string
	Audience string // the connection's URL
	Issuer   string // empty: any text
	Keys     []Key
	Now      time.Time
	Skew     time.Duration // zero: DefaultSkew
	// NotBefore refuses what was made earlier: a backup came back, and what it was used
	// for may be forgotten.
	NotBefore time.Time
}

// Claims is what a key of the connection has signed, now.
type Claims struct {
	ID         string // jti, or where a dialect has none a hash of the token
	Issuer     string
	Subject    string // sub, or external_id
	HasSubject bool
	IssuedAt   time.Time
	Expires    time.Time // zero: not said
	// Until is when the token is refused by its age, whatever comes: its ID must be
	// remembered until then.
	Until time.Time
	// Values are all claims, by their names.
	Values map[string]any
}

// verification is one call of Verify.
type verification struct {
	Expect
	raw    string
	claims Claims
	checks []Check
}

// Verify judges a token in compact form. It returns its claims, what was checked,
// and a *Refused if anything does not hold.
func Verify(raw string, e Expect) (Claims, []Check, error) {
	if e.Skew == 0 {
		e.Skew = DefaultSkew
	}
	v := &verification{Expect: e, raw: raw}
	for _, step := range []func() error{v.signature, v.names, v.times, v.once} {
		if err := step(); err != nil {
			return Claims{}, v.checks, err
		}
	}
	return v.claims, v.checks, nil
}

// check notes what was looked at, and refuses unless it is ok.
func (v *verification) check(code, name string, ok bool, expected, got string) error {
	c := Check{name, ok, cut(expected), cut(got)}
	if n := len(v.checks) - 1; n >= 0 && v.checks[n].Name == name && v.checks[n].OK { // one line says that it holds
		v.checks = v.checks[:n]
	}
	v.checks = append(v.checks, c)
	if ok {
		return nil
	}
	return &Refused{code, c}
}

func cut(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// split takes the token apart: its header, its payload, and what is signed.
func (v *verification) split() (header, payload, signature []byte, err error) {
	parts := strings.SplitN(v.raw, ".", 4)
	ok := len(v.raw) <= MaxToken && len(parts) == 3
	var decoded [3][]byte
	for i := 0; ok && i < 3; i++ {
		decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(parts[i])
		ok = err == nil && !strings.ContainsAny(parts[i], "\r\n")
	}
	if err := v.check(CodeInvalid, CheckForm, ok, fmt.Sprintf("three parts in base64url, at most %d bytes", MaxToken), described(v.raw)); err != nil {
		return nil, nil, nil, err
	}
	return decoded[0], decoded[1], decoded[2], nil
}

func described(raw string) string {
	if raw == "" {
		return "nothing"
	}
	return fmt.Sprintf("%d parts, %d bytes", strings.Count(raw, ".")+1, len(raw))
}

// read parses the payload, which is signed by now.
func (v *verification) read(payload []byte) error {
	err := strictjson.Check(payload)
	if err == nil && !utf8.Valid(payload) {
		err = errors.New("it is not UTF-8")
	}
	if err == nil {
		d := json.NewDecoder(strings.NewReader(string(payload)))
		d.UseNumber()
		err = d.Decode(&v.claims.Values)
	}
	got := "an object"
	if err != nil {
		got = err.Error()
	} else if v.claims.Values == nil {
		got, err = "null", errors.New("null")
	}
	return v.check(CodeInvalid, CheckForm, err == nil, "claims that read in one way", got)
}

// text is a claim that must be a string if it is there.
func (v *verification) text(name string) (value string, there, ok bool) {
	raw, there := v.claims.Values[name]
	value, ok = raw.(string)
	return value, there, ok || !there
}

// instant is a claim that must be a NumericDate if it is there: seconds, and no
// milliseconds (RFC 7519, section 2).
func (v *verification) instant(name string) (at time.Time, there bool, err error) {
	raw, there := v.claims.Values[name]
	if !there {
		return at, false, nil
	}
	number, isNumber := raw.(json.Number)
	seconds, parseErr := number.Float64()
	sane := isNumber && parseErr == nil && seconds > 0 && seconds < 253402300800
	if err := v.must(sane, name, "seconds since 1970", fmt.Sprint(raw)); err != nil {
		return at, true, err
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true, nil
}

// must refuses as invalid; what holds is not worth a line.
func (v *verification) must(ok bool, name, expected, got string) error {
	if ok {
		return nil
	}
	return v.check(CodeInvalid, name, false, expected, got)
}
