package jwt_test

import (
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func TestTheZendeskDialectMayLeaveOutWhoAndForWhom(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Dialect = jwt.Zendesk
	bare := strict().with(claims{"aud": nil, "iss": nil, "sub": nil, "external_id": "42"})
	if got := accepted(t, "bare", hs256(t, bare), e); got.Subject != "42" || got.Issuer != "" {
		t.Errorf("claims %+v", got)
	}
	accepted(t, "iat 180 s ago", hs256(t, bare.with(claims{"iat": ago(180 * time.Second)})), e)
	for _, c := range []struct {
		name        string
		claims      claims
		code, check string
	}{
		{"iat of 181 s ago", claims{"iat": ago(181 * time.Second)}, jwt.CodeExpired, "iat"},
		{"iat missing", claims{"iat": nil}, jwt.CodeMissing, "iat"},
		{"iat in place of exp", claims{"iat": nil, "exp": ago(-time.Minute)}, jwt.CodeMissing, "iat"},
		{"jti missing", claims{"jti": nil}, jwt.CodeMissing, "jti"},
		{"aud that is there", claims{"aud": "https://evil.example"}, jwt.CodeInvalid, "aud"},
		{"aud list that is there", claims{"aud": []string{audience}}, jwt.CodeInvalid, "aud"},
		{"aud empty", claims{"aud": ""}, jwt.CodeInvalid, "aud"},
		{"iss that is there", claims{"iss": "https://evil.example"}, jwt.CodeInvalid, "iss"},
		{"iss empty", claims{"iss": ""}, jwt.CodeInvalid, "iss"},
	} {
		refused(t, c.name, hs256(t, bare.with(c.claims)), e, c.code, c.check)
	}
}

func TestTheComm100DialectMayHaveNearBoundsInPlaceOfIat(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Dialect = jwt.Comm100
	bounds := func(nbf, exp time.Duration) claims {
		return strict().with(claims{"iat": nil, "nbf": now.Add(nbf).Unix(), "exp": now.Add(exp).Unix()})
	}
	raw := hs256(t, bounds(0, 5*time.Minute))
	until := accepted(t, "five minutes", raw, e).Until
	late := e
	late.Now = until
	refused(t, "when its id is forgotten", raw, late, jwt.CodeExpired, "exp")
	accepted(t, "nearly over", hs256(t, bounds(-4*time.Minute, time.Second)), e)
	accepted(t, "with iat", hs256(t, strict()), e)
	for _, c := range []struct {
		name        string
		claims      claims
		code, check string
	}{
		{"five minutes and a second", bounds(0, 301*time.Second), jwt.CodeInvalid, "exp"},
		{"bounds the wrong way round", bounds(30*time.Second, -30*time.Second), jwt.CodeInvalid, "exp"},
		{"over", bounds(-6*time.Minute, -time.Minute), jwt.CodeExpired, "exp"},
		{"not yet", bounds(61*time.Second, 2*time.Minute), jwt.CodeInvalid, "nbf"},
		{"no nbf", bounds(0, time.Minute).with(claims{"nbf": nil}), jwt.CodeMissing, "iat"},
		{"no exp", bounds(0, time.Minute).with(claims{"exp": nil}), jwt.CodeMissing, "iat"},
		{"old iat beside near bounds", bounds(0, time.Minute).with(claims{"iat": ago(301 * time.Second)}), jwt.CodeExpired, "iat"},
		{"no aud", bounds(0, time.Minute).with(claims{"aud": nil}), jwt.CodeMissing, "aud"},
		{"no iss", bounds(0, time.Minute).with(claims{"iss": nil}), jwt.CodeMissing, "iss"},
		{"no jti", bounds(0, time.Minute).with(claims{"jti": nil}), jwt.CodeMissing, "jti"},
	} {
		refused(t, c.name, hs256(t, c.claims), e, c.code, c.check)
	}
	refused(t, "bounds in no dialect", hs256(t, bounds(0, time.Minute)), expect(), jwt.CodeMissing, "iat")
}

// A messaging token of that dialect: a kid, a scope, the visitor, perhaps an end.
func TestTheZendeskDialectOfVisitorsHasAScopeAndAKid(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Use, e.Dialect, e.Keys = jwt.Visitor, jwt.Zendesk, []jwt.Key{{KID: "app_1", Secret: secret}, {KID: "app_2", Public: &ring().p256.PublicKey}}
	said := claims{"scope": "user", "external_id": "42", "exp": ago(-time.Hour), "name": "Ann"}
	first := accepted(t, "with exp", sign(t, "HS256", "app_1", said), e)
	if first.ID == "" || first.Until.Before(first.Expires) {
		t.Errorf("claims %+v", first)
	}
	accepted(t, "with iat", sign(t, "HS256", "app_1", said.with(claims{"exp": nil, "iat": now.Unix()})), e)
	refused(t, "another scope", sign(t, "HS256", "app_1", said.with(claims{"scope": "agent"})), e, jwt.CodeInvalid, "scope")
	refused(t, "no time at all", sign(t, "HS256", "app_1", said.with(claims{"exp": nil})), e, jwt.CodeMissing, "iat")
	refused(t, "another kid", sign(t, "HS256", "app_3", said), e, jwt.CodeInvalid, "key")

	// ECDSA signs the same twice in two ways: it is one token for all that.
	a, b := accepted(t, "", sign(t, "ES256", "app_2", said), e), accepted(t, "", sign(t, "ES256", "app_2", said), e)
	if a.ID != b.ID {
		t.Error("a second signature makes a used token a new one")
	}
	e.NotBefore = now.Add(-time.Hour)
	refused(t, "no iat since a restore", sign(t, "HS256", "app_1", said), e, jwt.CodeExpired, "iat")
}

func TestAVisitorInNoDialectNeedsAllThatAnAgentNeeds(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Use = jwt.Visitor
	accepted(t, "whole", hs256(t, strict()), e)
	for _, name := range []string{"aud", "iss", "iat", "jti"} {
		refused(t, name+" missing", hs256(t, strict().with(claims{name: nil})), e, jwt.CodeMissing, name)
	}
}
