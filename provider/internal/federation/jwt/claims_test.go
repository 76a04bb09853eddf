package jwt_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func ago(d time.Duration) int64 { return now.Add(-d).Unix() }

// year9999 is the last second that four digits of a year can say.
const year9999 = 253402300799

func TestATokenIsRefusedForEachClaimThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		claims      claims
		code, check string
	}{
		{"iat of 301 s ago", claims{"iat": ago(301 * time.Second)}, jwt.CodeExpired, "iat"},
		{"iat 61 s ahead", claims{"iat": ago(-61 * time.Second)}, jwt.CodeInvalid, "iat"},
		{"iat missing", claims{"iat": nil}, jwt.CodeMissing, "iat"},
		{"iat a string", claims{"iat": "1772625600"}, jwt.CodeInvalid, "iat"},
		{"iat in milliseconds", claims{"iat": now.UnixMilli()}, jwt.CodeInvalid, "iat"},
		{"iat negative", claims{"iat": -now.Unix()}, jwt.CodeInvalid, "iat"},
		{"iat zero", claims{"iat": 0}, jwt.CodeInvalid, "iat"},
		{"iat null", claims{"iat": json.RawMessage("null")}, jwt.CodeInvalid, "iat"},
		{"iat true", claims{"iat": true}, jwt.CodeInvalid, "iat"},
		{"iat beyond numbers", claims{"iat": json.RawMessage("1e999")}, jwt.CodeInvalid, "form"},
		{"iat in the year 9999", claims{"iat": year9999}, jwt.CodeInvalid, "iat"},
		{"exp past", claims{"exp": ago(60 * time.Second)}, jwt.CodeExpired, "exp"},
		{"exp a day ahead", claims{"exp": ago(-24 * time.Hour)}, jwt.CodeInvalid, "exp"},
		{"exp in the year 9999", claims{"exp": year9999}, jwt.CodeInvalid, "exp"},
		{"exp in the year 9999, in milliseconds", claims{"exp": year9999 * 1000}, jwt.CodeInvalid, "exp"},
		{"exp in milliseconds", claims{"exp": now.Add(time.Minute).UnixMilli()}, jwt.CodeInvalid, "exp"},
		{"exp beyond what a clock holds", claims{"exp": json.RawMessage("1e19")}, jwt.CodeInvalid, "exp"},
		{"exp a string", claims{"exp": "tomorrow"}, jwt.CodeInvalid, "exp"},
		{"nbf 61 s ahead", claims{"nbf": ago(-61 * time.Second)}, jwt.CodeInvalid, "nbf"},
		{"nbf in the year 9999", claims{"nbf": year9999}, jwt.CodeInvalid, "nbf"},
		{"nbf in milliseconds", claims{"nbf": now.UnixMilli()}, jwt.CodeInvalid, "nbf"},
		{"nbf beyond what a clock holds", claims{"nbf": json.RawMessage("1e19")}, jwt.CodeInvalid, "nbf"},
		{"aud missing", claims{"aud": nil}, jwt.CodeMissing, "aud"},
		{"aud of staging", claims{"aud": "https://staging.shop.example/federation/staff"}, jwt.CodeInvalid, "aud"},
		{"aud of another connection", claims{"aud": audience + "2"}, jwt.CodeInvalid, "aud"},
		{"aud with a slash more", claims{"aud": audience + "/"}, jwt.CodeInvalid, "aud"},
		{"aud in a list", claims{"aud": []string{audience}}, jwt.CodeInvalid, "aud"},
		{"aud in a list with another", claims{"aud": []string{audience, "https://evil.example"}}, jwt.CodeInvalid, "aud"},
		{"aud null", claims{"aud": json.RawMessage("null")}, jwt.CodeInvalid, "aud"},
		{"iss missing", claims{"iss": nil}, jwt.CodeMissing, "iss"},
		{"iss of another", claims{"iss": "https://evil.example"}, jwt.CodeInvalid, "iss"},
		{"iss a list", claims{"iss": []string{issuer}}, jwt.CodeInvalid, "iss"},
		{"jti missing", claims{"jti": nil}, jwt.CodeMissing, "jti"},
		{"jti empty", claims{"jti": ""}, jwt.CodeMissing, "jti"},
		{"jti null", claims{"jti": json.RawMessage("null")}, jwt.CodeInvalid, "jti"},
		{"jti a number", claims{"jti": 7}, jwt.CodeInvalid, "jti"},
		{"jti long", claims{"jti": strings.Repeat("j", jwt.MaxID+1)}, jwt.CodeInvalid, "jti"},
		{"sub long", claims{"sub": strings.Repeat("s", jwt.MaxID+1)}, jwt.CodeInvalid, "sub"},
		{"sub an object", claims{"sub": claims{"id": 1}}, jwt.CodeInvalid, "sub"},
		{"sub a list", claims{"sub": []string{"1", "2"}}, jwt.CodeInvalid, "sub"},
		{"sub true", claims{"sub": true}, jwt.CodeInvalid, "sub"},
		{"sub a fraction", claims{"sub": 1.5}, jwt.CodeInvalid, "sub"},
		{"sub with a NUL", claims{"sub": "a\x00b"}, jwt.CodeInvalid, "sub"},
		{"sub with half a surrogate", claims{"sub": json.RawMessage(`"a\ud800"`)}, jwt.CodeInvalid, "sub"},
		{"external_id with a line", claims{"sub": nil, "external_id": "a\nb"}, jwt.CodeInvalid, "external_id"},
	} {
		refused(t, c.name, hs256(t, strict().with(c.claims)), expect(), c.code, c.check)
	}
}

func TestATokenAtTheEdgeOfTheRulesIsAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]claims{
		"as it is":         {},
		"iat 300 s ago":    {"iat": ago(300 * time.Second)},
		"iat 60 s ahead":   {"iat": ago(-60 * time.Second)},
		"iat a fraction":   {"iat": float64(now.Unix()) - 0.25},
		"exp 59 s ago":     {"exp": ago(59 * time.Second)},
		"exp near a day":   {"exp": ago(-24*time.Hour + time.Second)},
		"nbf 60 s ahead":   {"nbf": ago(-60 * time.Second)},
		"longest jti, sub": {"jti": strings.Repeat("j", jwt.MaxID), "sub": strings.Repeat("s", jwt.MaxID)},
		"no subject":       {"sub": nil},
	} {
		accepted(t, name, hs256(t, strict().with(c)), expect())
	}
}

func TestTheSubjectIsSubOrElseExternalID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claims claims
		want   string
		has    bool
	}{
		{claims{"sub": "a", "external_id": "b"}, "a", true},
		{claims{"sub": nil, "external_id": "b"}, "b", true},
		{claims{"sub": "", "external_id": "b"}, "b", true},
		{claims{"sub": 9007199254740993}, "9007199254740993", true},
		{claims{"sub": nil}, "", false},
	} {
		got := accepted(t, c.want, hs256(t, strict().with(c.claims)), expect())
		if got.Subject != c.want || got.HasSubject != c.has {
			t.Errorf("%v: subject %q, %v", c.claims, got.Subject, got.HasSubject)
		}
	}
	visitor := expect()
	visitor.Use = jwt.Visitor
	refused(t, "a visitor who is nobody", hs256(t, strict().with(claims{"sub": nil})), visitor, jwt.CodeMissing, "sub")
}

func TestAnIDIsRememberedUntilItsTokenIsTooOld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]claims{
		"iat alone": {}, "iat ahead": {"iat": ago(-time.Minute)}, "near exp": {"exp": ago(-30 * time.Second)}, "far exp": {"exp": ago(-time.Hour)},
	} {
		raw, e := hs256(t, strict().with(c)), expect()
		until := accepted(t, name, raw, e).Until
		e.Now = until
		if _, _, err := jwt.Verify(raw, e); err == nil {
			t.Errorf("%s: accepted at %s, when its id is forgotten", name, until)
		}
		if until.After(now.Add(jwt.MaxAge + 2*time.Minute)) {
			t.Errorf("%s: remembered until %s", name, until)
		}
	}
}

func TestARestoreRefusesWhatMayHaveBeenUsedBeforeIt(t *testing.T) {
	t.Parallel()
	e := expect()
	e.NotBefore = now.Add(-2 * time.Minute)
	refused(t, "older", hs256(t, strict().with(claims{"iat": ago(121 * time.Second)})), e, jwt.CodeExpired, "iat")
	refused(t, "by a clock ahead", hs256(t, strict().with(claims{"iat": ago(61 * time.Second)})), e, jwt.CodeExpired, "iat")
	accepted(t, "since", hs256(t, strict().with(claims{"iat": ago(60 * time.Second)})), e)
}

func TestAnEmptyAudienceFitsNothing(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Audience = ""
	refused(t, "empty", hs256(t, strict().with(claims{"aud": ""})), e, jwt.CodeInvalid, "aud")
}

func TestWithoutAnIssuerOfTheConnectionAnyTextIsOne(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Issuer = ""
	if got := accepted(t, "any", hs256(t, strict()), e).Issuer; got != issuer {
		t.Errorf("issuer %q", got)
	}
	refused(t, "empty", hs256(t, strict().with(claims{"iss": ""})), e, jwt.CodeInvalid, "iss")
}
