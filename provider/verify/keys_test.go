package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

func TestScheduledRotationIsNeverNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		for range 5 {
			old := issuer.Kid("ES256")
			before := issuer.Token(nil)
			verified(t, c, before)
			issuer.Rotate("ES256")
			verified(t, c, issuer.Token(nil)) // signed at once, sooner than the server does
			time.Sleep(4 * time.Minute)
			verified(t, c, before) // overlap
			issuer.Withdraw(old)
			time.Sleep(6 * time.Minute)
		}
	})
}

func TestKeyPublishedTenMinutesAheadNeedsNoSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		issuer.Rotate("ES256")
		time.Sleep(10 * time.Minute)
		n := issuer.Requests(verifytest.JWKSPath)
		verified(t, c, issuer.Token(nil))
		if issuer.Requests(verifytest.JWKSPath) != n {
			t.Error("the key set was asked for again")
		}
	})
}

func TestFloodOfUnknownKidsFetchesOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		flood := func() {
			var all sync.WaitGroup
			for n := range 50 {
				all.Go(func() {
					raw := issuer.Sign(map[string]any{"alg": "ES256", "kid": fmt.Sprint("unknown ", n), "typ": "at+jwt"}, map[string]any{})
					if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrUnknownKey) {
						t.Errorf("%v", err)
					}
				})
			}
			all.Wait()
		}
		for minute := range 3 {
			flood()
			flood()
			if got := issuer.Requests(verifytest.JWKSPath); got != 2+minute {
				t.Fatalf("minute %d: %d requests", minute, got)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestSearchThatFailedIsTriedAgainAfterASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		issuer.Rotate("ES256")
		raw := issuer.Token(nil)
		issuer.Serve(verifytest.JWKSPath, []byte("<html>busy"))
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrKeys) {
			t.Errorf("%v", err)
		}
		issuer.Serve(verifytest.JWKSPath, nil)
		time.Sleep(time.Second)
		verified(t, c, raw)
	})
}

func TestWithdrawnKeyEndsTheTokensItSigned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		stolen := issuer.Kid("ES256")
		raw := issuer.Token(verifytest.Claims{"exp": time.Now().Add(time.Hour).Unix()})
		verified(t, c, raw)
		issuer.Rotate("ES256")
		issuer.Withdraw(stolen)
		time.Sleep(5 * time.Minute)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrUnknownKey) {
			t.Errorf("%v", err)
		}
	})
}

func TestBadKeySetIsRefusedAndTheLastGoodOneKept(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := marshal(t, jose.JSONWebKey{Key: private.Public(), KeyID: "a", Algorithm: "ES256", Use: "sig"})
	short := `{"kty":"RSA","kid":"b","alg":"RS256","n":"` + strings.Repeat("w", 86) + `","e":"AQAB"}`
	one := `{"kty":"RSA","kid":"b","alg":"RS256","n":"` + strings.Repeat("w", 342) + `","e":"AQ"}`
	for name, set := range map[string]string{
		"a private key":       `{"keys":[` + marshal(t, jose.JSONWebKey{Key: private, KeyID: "a", Algorithm: "ES256"}) + `]}`,
		"a symmetric key":     `{"keys":[` + public + `,{"kty":"oct","kid":"b","alg":"HS256","k":"c2VjcmV0"}]}`,
		"symmetric, no k":     `{"keys":[` + public + `,{"kty":"oct","kid":"b"}]}`,
		"two of one kid":      `{"keys":[` + public + `,` + public + `]}`,
		"too many":            `{"keys":[` + strings.Repeat(public+",", 9_999) + public + `]}`,
		"none":                `{"keys":[]}`,
		"none of use":         `{"keys":[{"kty":"RSA","kid":"b","alg":"RSA-OAEP","use":"enc","n":"AQAB","e":"AQAB"}]}`,
		"no alg":              `{"keys":[` + strings.Replace(public, `"alg":"ES256",`, "", 1) + `]}`,
		"no kid":              `{"keys":[` + strings.Replace(public, `"kid":"a",`, "", 1) + `]}`,
		"alg of another kty":  `{"keys":[` + strings.Replace(public, "ES256", "RS256", 1) + `]}`,
		"512-bit RSA":         `{"keys":[` + short + `]}`,
		"RSA with e=1":        `{"keys":[` + one + `]}`,
		"point off the curve": `{"keys":[{"kty":"EC","crv":"P-256","kid":"b","alg":"ES256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`,
		"HTML":                `<html>`,
		"over a megabyte":     `{"keys":[` + public + strings.Repeat(" ", 1<<20) + `]}`,
		"a member twice":      `{"keys":[` + strings.Replace(public, `"kid":"a"`, `"kid":"a","kid":"b"`, 1) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.New(t)
				c, raw := issuer.Client(t), issuer.Token(nil)
				issuer.Serve(verifytest.JWKSPath, []byte(set))
				time.Sleep(6 * time.Minute)
				if issuer.Requests(verifytest.JWKSPath) < 2 {
					t.Error("the set was not read again")
				}
				verified(t, c, issuer.Token(nil))
				if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrExpired) {
					t.Errorf("%v", err)
				}
				if _, err := verify.New(t.Context(), issuer.Options()); !errors.Is(err, verify.ErrKeys) {
					t.Errorf("a new client: %v", err)
				}
			})
		})
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestKeysForOtherUsesArePassedOver(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kid := issuer.Kid("ES256")
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{
		marshal(t, jose.JSONWebKey{Key: private.Public(), KeyID: "p384", Algorithm: "ES384", Use: "sig"}),
		marshal(t, jose.JSONWebKey{Key: p256.Public(), KeyID: "enc", Algorithm: "ES256", Use: "enc"}),
		`{"kty":"AKP","kid":"later","alg":"ML-DSA-44","pub":"AAAA"}`,
		marshal(t, jose.JSONWebKey{Key: p256.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"}),
	}
	issuer.Serve(verifytest.JWKSPath, []byte(`{"keys":[`+strings.Join(keys, ",")+`]}`))
	c := issuer.Client(t)
	if _, err := c.Token(t.Context(), issuer.Token(nil)); !errors.Is(err, verify.ErrSignature) {
		t.Errorf("%v", err)
	}
}

func TestDiscoveryMustBeTheIssuersOwn(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	for name, document := range map[string]string{
		"other issuer":         `{"issuer":"https://evil.example","jwks_uri":"https://id.example/k"}`,
		"slash at the end":     `{"issuer":"https://id.example/","jwks_uri":"https://id.example/k"}`,
		"no issuer":            `{"jwks_uri":"https://id.example/k"}`,
		"keys elsewhere":       `{"issuer":"https://id.example","jwks_uri":"https://evil.example/k"}`,
		"keys on plain http":   `{"issuer":"https://id.example","jwks_uri":"http://id.example/k"}`,
		"no keys":              `{"issuer":"https://id.example"}`,
		"decisions elsewhere":  `{"issuer":"https://id.example","jwks_uri":"https://id.example/k","access_evaluation_endpoint":"https://id.example.evil.example/e"}`,
		"feed behind userinfo": `{"issuer":"https://id.example","jwks_uri":"https://id.example/k","access_revocations_endpoint":"https://id.example@evil.example/r"}`,
		"not JSON":             `<html>`,
	} {
		issuer.Serve("/.well-known/openid-configuration", []byte(document))
		if _, err := verify.New(t.Context(), issuer.Options()); !errors.Is(err, verify.ErrDiscovery) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	options := issuer.Options()
	options.HTTPClient = &http.Client{Transport: redirecting{}}
	if _, err := verify.New(t.Context(), options); !errors.Is(err, verify.ErrDiscovery) || !strings.Contains(err.Error(), "302") {
		t.Errorf("%v", err)
	}
}

type redirecting struct{}

func (redirecting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "id.example" {
		panic("the redirect was followed")
	}
	return &http.Response{
		StatusCode: http.StatusFound, Status: "302 Found", Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Location": {"http://169.254.169.254/"}}, Body: http.NoBody,
	}, nil
}

func TestServerThatDripsIsGivenUpAfterFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		options := issuer.Options()
		options.HTTPClient = &http.Client{Transport: dripping{}}
		began := time.Now()
		_, err := verify.New(t.Context(), options)
		if !errors.Is(err, verify.ErrUnavailable) || time.Since(began) > 5*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// dripping answers with one space a second for ever.
type dripping struct{}

func (dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Request: r, ProtoMajor: 1, Body: drip{r}}, nil
}

type drip struct{ r *http.Request }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, bytes.Repeat([]byte(" "), 1)), nil
	case <-d.r.Context().Done():
		return 0, d.r.Context().Err()
	}
}

func (drip) Close() error { return nil }
