package verify_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

var office = netip.MustParseAddr("203.0.113.5")

func verified(t testing.TB, c *verify.Client, raw string) *verify.Token {
	t.Helper()
	token, err := c.Token(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenOfTheSiteIsVerifiedOverTCPInEveryAlgorithm(t *testing.T) {
	t.Parallel()
	issuer := verifytest.Start(t)
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		issuer.Rotate(alg)
	}
	c := issuer.Client(t)
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		token := verified(t, c, issuer.TokenWith(alg, verifytest.Claims{"sub": alg, "aud": []string{"x", verifytest.Audience}, "custom": 7}))
		if token.Subject != alg || token.SID != "session-1" || token.ClientID != "desk" || token.SubjectType != policy.Agent {
			t.Errorf("%s: %+v", alg, token)
		}
		if diff := cmp.Diff([]string{"chat.accept", "chat.join"}, token.Entitlements); diff != "" {
			t.Error(diff)
		}
		var more struct{ Custom int }
		if err := token.Claims(&more); err != nil || more.Custom != 7 {
			t.Errorf("Claims: %v %+v", err, more)
		}
	}
}

func TestTokenSeenBeforeIsTheSameOne(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c, raw := issuer.Client(t), issuer.Token(nil)
	if first := verified(t, c, raw); verified(t, c, raw) != first {
		t.Error("the token was verified twice")
	}
}

func TestSignatureOfACachedTokenCoversThatTokenOnly(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c, raw := issuer.Client(t), issuer.Token(nil)
	verified(t, c, raw)
	head, body, sig := parts(raw)
	root := strings.Replace(string(decode(body)), `"sub":"ana"`, `"sub":"eve"`, 1)
	for _, forged := range []string{head + "." + b64(root) + "." + sig, b64(string(decode(head))+" ") + "." + body + "." + sig} {
		if _, err := c.Token(t.Context(), forged); !errors.Is(err, verify.ErrSignature) {
			t.Errorf("%v", err)
		}
	}
	verified(t, c, raw)
}

func TestCacheIsBoundedAndForgetsWhatNobodyAsksFor(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	options := issuer.Options()
	options.CacheTokens = 4
	c, err := verify.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	raw := issuer.Token(nil)
	first := verified(t, c, raw)
	for range 20 {
		verified(t, c, issuer.Token(nil))
		if verified(t, c, raw) != first {
			t.Fatal("a token in use was forgotten")
		}
	}
	for range 20 {
		verified(t, c, issuer.Token(nil))
	}
	if verified(t, c, raw) == first {
		t.Error("a token out of use is still there after twenty others")
	}
}

func TestCachedTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c, raw := issuer.Client(t), issuer.Token(nil)
		token := verified(t, c, raw)
		time.Sleep(5*time.Minute + verify.DefaultLeeway - time.Second)
		verified(t, c, raw)
		time.Sleep(time.Second)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrExpired) {
			t.Errorf("%v", err)
		}
		if d := token.May("chat.accept", office); d.Reason != policy.ReasonTokenExpired {
			t.Errorf("%+v", d)
		}
	})
}

func TestMayDecidesByPermissionNetworkAndTime(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	networks := verifytest.Claims{"allowed_networks": []string{"203.0.113.0/24", "2001:db8::/32"}}
	remote := verifytest.Claims{"allowed_networks_check": "remote"}
	for name, c := range map[string]struct {
		token        *verify.Token
		action, from string
		want         string
	}{
		"permission":             {verified(t, c, issuer.Token(nil)), "chat.accept", "", policy.ReasonAllowed},
		"no permission":          {verified(t, c, issuer.Token(nil)), "visitor.ban", "", policy.ReasonPermission},
		"no entitlements":        {verified(t, c, issuer.Token(verifytest.Claims{"entitlements": nil})), "chat.accept", "", policy.ReasonPermission},
		"network":                {verified(t, c, issuer.Token(networks)), "chat.accept", "203.0.113.9", policy.ReasonAllowed},
		"IPv6 network":           {verified(t, c, issuer.Token(networks)), "chat.accept", "2001:db8::9", policy.ReasonAllowed},
		"mapped address":         {verified(t, c, issuer.Token(networks)), "chat.accept", "::ffff:203.0.113.9", policy.ReasonAllowed},
		"other network":          {verified(t, c, issuer.Token(networks)), "chat.accept", "198.51.100.9", policy.ReasonIPNotAllowed},
		"unknown address":        {verified(t, c, issuer.Token(networks)), "chat.accept", "", policy.ReasonIPUnknown},
		"nobody":                 {verified(t, c, issuer.Token(verifytest.Claims{"allowed_networks": []string{}})), "chat.accept", "203.0.113.9", policy.ReasonIPNotAllowed},
		"remote":                 {verified(t, c, issuer.Token(remote)), "chat.accept", "203.0.113.9", policy.ReasonIPCheckRemote},
		"remote, no permission":  {verified(t, c, issuer.Token(remote)), "visitor.ban", "203.0.113.9", policy.ReasonPermission},
		"remote, unknown addr":   {verified(t, c, issuer.Token(remote)), "chat.accept", "", policy.ReasonIPUnknown},
		"check of another kind":  {verified(t, c, issuer.Token(verifytest.Claims{"allowed_networks_check": "new"})), "chat.accept", "203.0.113.9", policy.ReasonIPCheckRemote},
		"a token nobody checked": {&verify.Token{Entitlements: []string{"chat.accept"}}, "chat.accept", "", policy.ReasonTokenUnverified},
		"no token":               {nil, "chat.accept", "", policy.ReasonTokenUnverified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, _ := netip.ParseAddr(c.from)
			d := c.token.May(c.action, addr)
			if d.Reason != c.want || d.Allowed != (c.want == policy.ReasonAllowed) {
				t.Errorf("%+v, want %s", d, c.want)
			}
		})
	}
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := verify.New(t.Context(), verify.Options{Issuer: "http://id.example", Leeway: time.Hour, CacheTokens: -1})
	for _, want := range []string{"Issuer", "Audience", "ClientID", "Leeway", "CacheTokens"} {
		if !errors.Is(err, verify.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing from: %v", want, err)
		}
	}
	for _, issuer := range []string{"", "id.example", "https://", "https://id.example?x=1", "https://id.example#", "https://u:p@id.example", "ftp://id.example", "http://127.0.0.1.example"} {
		if _, err := verify.New(t.Context(), verify.Options{Issuer: issuer, Audience: "a", WithoutRevocations: true}); !errors.Is(err, verify.ErrOptions) {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	options := issuer.Options()
	c := issuer.Client(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{options, &options} {
			if strings.Contains(sprintf(verb, v), options.ClientSecret) {
				t.Errorf("%s of options shows the secret", verb)
			}
		}
	}
	if strings.Contains(sprintf("%+v", c), options.ClientSecret) {
		t.Error("the client shows the secret")
	}
}

func TestAdmitAsksForNoPermissionAndHonoursDemands(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	token := verified(t, issuer.Client(t), issuer.Token(verifytest.Claims{"entitlements": nil}))
	if d := token.Admit(office, policy.Demands{ACR: []string{"aal1"}}); !d.Allowed {
		t.Errorf("%+v", d)
	}
	if d := token.Admit(office, policy.Demands{ACR: []string{"aal2"}}); d.Allowed || d.Reason != policy.ReasonStepUp {
		t.Errorf("%+v", d)
	}
}
