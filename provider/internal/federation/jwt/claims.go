package jwt

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// names judges who made the token, for whom, and about whom.
func (v *verification) names() error {
	optional := v.Dialect == Zendesk
	raw, there := v.claims.Values["aud"]
	if there || !optional {
		one, isText := raw.(string) // a list may name another beside us
		ok := isText && one != "" && one == v.Audience
		if err := v.check(absent(there), CheckAudience, ok, v.Audience+", one text", said(raw, there)); err != nil {
			return err
		}
	}
	iss, there, isText := v.text("iss")
	if there || !optional {
		ok := isText && iss != "" && (v.Issuer == "" || iss == v.Issuer)
		expected := v.Issuer
		if expected == "" {
			expected = "a text"
		}
		if err := v.check(absent(there), CheckIssuer, ok, expected, said(v.claims.Values["iss"], there)); err != nil {
			return err
		}
	}
	v.claims.Issuer = iss
	if v.Use == Visitor && v.Dialect == Zendesk {
		if scope, there := v.claims.Values["scope"]; there {
			if err := v.check(CodeInvalid, CheckScope, scope == "user", "user", said(scope, true)); err != nil {
				return err
			}
		}
	}
	return v.subject()
}

// subject is sub, or external_id: a text, or a whole number that a customer counts
// its people by.
func (v *verification) subject() error {
	for _, name := range []string{"sub", "external_id"} {
		raw, there := v.claims.Values[name]
		if !there || raw == nil || raw == "" {
			continue
		}
		text, ok := raw.(string)
		if number, isNumber := raw.(json.Number); isNumber {
			_, err := number.Int64()
			text, ok = number.String(), err == nil
		}
		if err := v.must(ok && plain(text), name, fmt.Sprintf("a text of at most %d bytes", MaxID), said(raw, true)); err != nil {
			return err
		}
		v.claims.Subject, v.claims.HasSubject = text, true
		return nil
	}
	if v.Use == Visitor {
		return v.check(CodeMissing, CheckSubject, false, "sub or external_id", "neither")
	}
	return nil
}

// plain refuses what is too long, holds what nobody sees, or was no text before it
// was decoded: two subjects must not read as one.
func plain(text string) bool {
	return len(text) <= MaxID && !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) })
}

// absent is the code for a claim that does not hold.
func absent(there bool) string {
	if !there {
		return CodeMissing
	}
	return CodeInvalid
}

func said(v any, there bool) string {
	if !there {
		return "not there"
	}
	return fmt.Sprint(v)
}

// times judges when.
func (v *verification) times() error {
	issued, hasIssued, err := v.instant("iat")
	if err != nil {
		return err
	}
	notBefore, hasNotBefore, err := v.instant("nbf")
	if err != nil {
		return err
	}
	expires, hasExpires, err := v.instant("exp")
	if err != nil {
		return err
	}
	v.claims.IssuedAt, v.claims.Expires = issued, expires
	if hasExpires {
		if err := v.check(CodeExpired, CheckExpires, v.Now.Before(expires.Add(v.Skew)), "later than "+clock(v.Now), clock(expires)); err != nil {
			return err
		}
		if err := v.check(CodeInvalid, CheckExpires, expires.Before(v.Now.Add(MaxLife)), "within "+MaxLife.String(), clock(expires)); err != nil {
			return err
		}
	}
	if hasNotBefore {
		if err := v.check(CodeInvalid, CheckNotBefore, !notBefore.After(v.Now.Add(v.Skew)), "not after "+clock(v.Now), clock(notBefore)); err != nil {
			return err
		}
	}
	return v.fresh(issued, hasIssued, notBefore, hasNotBefore, expires, hasExpires)
}

// fresh judges by iat, or by what a dialect has in its place.
func (v *verification) fresh(issued time.Time, hasIssued bool, notBefore time.Time, hasNotBefore bool, expires time.Time, hasExpires bool) error {
	made := issued
	switch {
	case hasIssued:
		most := MaxAge
		if v.Dialect == Zendesk {
			most = ZendeskAge
		}
		if err := v.check(CodeExpired, CheckIssuedAt, !issued.Before(v.Now.Add(-most)), "not before "+clock(v.Now.Add(-most)), clock(issued)); err != nil {
			return err
		}
		if err := v.check(CodeInvalid, CheckIssuedAt, !issued.After(v.Now.Add(v.Skew)), "not after "+clock(v.Now.Add(v.Skew)), clock(issued)); err != nil {
			return err
		}
		v.claims.Until = issued.Add(most)
	case v.Dialect == Comm100 && hasNotBefore && hasExpires:
		if err := v.check(CodeInvalid, CheckExpires, expires.After(notBefore) && !expires.After(notBefore.Add(MaxAge)), "within "+MaxAge.String()+" of nbf", expires.Sub(notBefore).String()); err != nil {
			return err
		}
		made, v.claims.Until = notBefore, expires.Add(v.Skew)
	case v.Use == Visitor && v.Dialect == Zendesk && hasExpires:
		made, v.claims.Until = v.Now, expires.Add(v.Skew)
		if !v.NotBefore.IsZero() && v.Now.Before(v.NotBefore.Add(MaxLife)) {
			return v.check(CodeExpired, CheckIssuedAt, false, "iat, since a backup was restored", "not there")
		}
	default:
		return v.check(CodeMissing, CheckIssuedAt, false, "iat", "not there")
	}
	if hasExpires && expires.Add(v.Skew).Before(v.claims.Until) {
		v.claims.Until = expires.Add(v.Skew)
	}
	v.claims.Until = v.claims.Until.Add(time.Second)
	if v.NotBefore.IsZero() {
		return nil
	}
	// A clock that is ahead may have dated a token after the restore that was used before.
	after := v.NotBefore.Add(v.Skew)
	return v.check(CodeExpired, CheckIssuedAt, !made.Before(after), "since a backup was restored, not before "+clock(after), clock(made))
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// once finds what makes the token count once.
func (v *verification) once() error {
	id, there, isText := v.text("jti")
	if !there && v.Use == Visitor && v.Dialect == Zendesk {
		v.claims.ID = hashID(v.raw)
		return nil
	}
	if !there || id == "" && isText {
		return v.check(CodeMissing, CheckID, false, "jti", "not there")
	}
	v.claims.ID = id
	return v.check(CodeInvalid, CheckID, isText && plain(id), fmt.Sprintf("a text of at most %d bytes", MaxID), said(v.claims.Values["jti"], true))
}
