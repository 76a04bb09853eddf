package keyset

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// The example of RFC 7517, A.1: an EC key for encryption, an RSA key.
const example = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},
{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}`

func TestOfAPublishedSetTheSigningKeysAreTaken(t *testing.T) {
	t.Parallel()
	keys, err := parse([]byte(example))
	if err != nil || len(keys) != 1 || keys[0].KeyID != "2011-04-29" || keys[0].Algorithm != "RS256" {
		t.Errorf("%+v, %v", keys, err)
	}
	unknown := []string{`{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`, `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`, `{}`, `{"kty":"OKP","crv":"X25519","x":"AA"}`}
	keys, err = parse([]byte(set(append(unknown, jwk(t, "a"), jwk(t, ""), jwk(t, ""), jwk(t, "e", `,"use":"enc"`), jwk(t, "p", `,"alg":"PS256"`))...)))
	if err != nil || len(keys) != 4 {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestOfAPublishedSetAConnectionTakesWhatTokensAreSignedWith(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.publish(set(jwk(t, "a"), jwk(t, "p", `,"alg":"PS256"`), jwk(t, "b", `,"alg":"EdDSA"`)))
	h.expect("", "a b")
	h = newHouse(t)
	h.publish(set(jwk(t, "p", `,"alg":"PS256"`)))
	if got, err := h.kids("p"); !errors.Is(err, ErrKeys) {
		t.Errorf("a set of which nothing can be used: %q, %v", got, err)
	}
}

func TestASetThatHoldsWhatItMustNotIsSpoilt(t *testing.T) {
	t.Parallel()
	many := strings.Split(strings.Repeat("{};", jwt.MaxKeys), ";")[:jwt.MaxKeys]
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "no keys": `{}`, "empty": set(), "text": `{"keys":"x"}`, "numbers": set("1", jwk(t, "a")), "behind": set(jwk(t, "a")) + "{}",
		"member twice": `{"keys":[],"keys":[` + jwk(t, "a") + `]}`, "kid twice": set(jwk(t, "a"), jwk(t, "a")), "kid given twice": set(jwk(t, "a", `,"kid":"b"`)),
		"private": set(jwk(t, "a"), jwk(t, "b", `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"`)), "private and faulty": set(jwk(t, "a"), `{"kty":"EC","d":"AA"}`),
		"secret": set(jwk(t, "a"), `{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`), "too many": set(append(many, jwk(t, "a"))...),
		"too deep": set(jwk(t, "a", `,"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20))), "only enc": set(jwk(t, "a", `,"use":"enc"`)),
		"weak RSA": set(`{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("y", 171) + `"}`),
	} {
		if keys, err := parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, keys)
		}
	}
}

func TestAFetchHasLimits(t *testing.T) {
	t.Parallel()
	good := set(jwk(t, "a"))
	for name, answer := range map[string]http.HandlerFunc{
		"larger than 1 MiB": func(w http.ResponseWriter, _ *http.Request) {
			io.Copy(w, io.MultiReader(strings.NewReader(good), bytes.NewReader(bytes.Repeat([]byte(" "), web.OutboundBytes))))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"not found": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, good)
		},
		"partial": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, good)
		},
	} {
		h := newHouse(t)
		h.handle(answer)
		if got, err := h.kids(""); !errors.Is(err, ErrKeys) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		h.expectRequests(1)
	}
	h := newHouse(t)
	h.publish(good)
	h.Sets = New(Options{Client: web.NewOutboundClient(false), Now: h.Now})
	if got, err := h.kids(""); !errors.Is(err, ErrKeys) {
		t.Errorf("inside our network: %q, %v", got, err)
	}
	h.expectRequests(0)
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parse(body)
		if err == nil && (len(keys) == 0 || len(keys) > jwt.MaxKeys) {
			t.Errorf("%d keys", len(keys))
		}
		for _, k := range keys {
			if !k.Valid() || !k.IsPublic() || len((jwt.Key{Public: k.Key}).Algorithms()) == 0 {
				t.Errorf("%+v", k)
			}
		}
	})
}
