package verify_test

import (
	"testing"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

// administrator is a long token: every permission, three networks.
func administrator() verifytest.Claims {
	var all []string
	for _, p := range policy.AllPermissions() {
		all = append(all, p.Name)
	}
	return verifytest.Claims{"entitlements": all, "roles": []string{policy.Administrators}, "allowed_networks": []string{"203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"}}
}

func BenchmarkTokenSeenBefore(b *testing.B) {
	for name, claims := range map[string]verifytest.Claims{"agent": nil, "administrator": administrator()} {
		b.Run(name, func(b *testing.B) {
			issuer := verifytest.New(b)
			c, raw := issuer.Client(b), issuer.Token(claims)
			issuer.Revoke(verifytest.Revocation{SID: "another"})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Token(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(raw)), "bytes/token")
		})
	}
}

func BenchmarkTokenNew(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			issuer := verifytest.New(b)
			issuer.Rotate(alg)
			options := issuer.Options()
			options.CacheTokens = 1
			c, err := verify.New(b.Context(), options)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(c.Close)
			raw := [2]string{issuer.TokenWith(alg, nil), issuer.TokenWith(alg, nil)}
			third := issuer.TokenWith(alg, nil)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				next := third
				if n%3 < 2 {
					next = raw[n%3]
				}
				if _, err := c.Token(b.Context(), next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMay(b *testing.B) {
	issuer := verifytest.New(b)
	c := issuer.Client(b)
	token, err := c.Token(b.Context(), issuer.Token(administrator()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if d := token.May("visitor.view", office); !d.Allowed {
			b.Fatal(d.Reason)
		}
	}
}
