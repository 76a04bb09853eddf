package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientAddressComesOnlyFromListedProxies(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"an untrusted peer's header is ignored":    {"198.51.100.7:4000", []string{"203.0.113.1"}, "198.51.100.7"},
		"a proxy without the header is the client": {"10.0.0.1:4000", nil, "10.0.0.1"},
		"one proxy": {"10.0.0.1:4000", []string{"203.0.113.1"}, "203.0.113.1"},
		"the left part is the client's own claim": {"10.0.0.1:4000", []string{"192.0.2.66, 203.0.113.1"}, "203.0.113.1"},
		"two proxies":                                 {"10.0.0.1:4000", []string{"192.0.2.66, 203.0.113.1, 10.9.9.9"}, "203.0.113.1"},
		"several headers are one list":                {"10.0.0.1:4000", []string{"192.0.2.66", "203.0.113.1"}, "203.0.113.1"},
		"a port":                                      {"10.0.0.1:4000", []string{"203.0.113.1:99"}, "203.0.113.1"},
		"brackets":                                    {"10.0.0.1:4000", []string{"[2001:db8::1]:99"}, "2001:db8::1"},
		"a mapped address is the IPv4 one":            {"[::ffff:10.0.0.1]:4000", []string{"::ffff:203.0.113.1"}, "203.0.113.1"},
		"garbage makes the client unknown":            {"10.0.0.1:4000", []string{"203.0.113.1, x"}, ""},
		"an octal spelling is garbage":                {"10.0.0.1:4000", []string{"010.0.0.1"}, ""},
		"a zone is garbage":                           {"10.0.0.1:4000", []string{"fe80::1%eth0"}, ""},
		"proxies only make the client unknown":        {"10.0.0.1:4000", []string{"10.0.0.2"}, ""},
		"an empty item among others makes it unknown": {"10.0.0.1:4000", []string{"203.0.113.1,"}, ""},
		"a peer that has no address makes it unknown": {"@", []string{"203.0.113.1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.remote
			for _, f := range c.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			for _, h := range []string{"X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip"} {
				r.Header.Set(h, "192.0.2.99")
			}
			want := netip.Addr{}
			if c.want != "" {
				want = netip.MustParseAddr(c.want)
			}
			if got := clientIP(r, proxies); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func FuzzForwardedForNeverYieldsAnAddressOfATrustedProxy(f *testing.F) {
	f.Add("203.0.113.1, 10.0.0.1")
	f.Add("::ffff:10.0.0.1")
	f.Add("[::1]:80")
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, header string) {
		if header == "" {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["X-Forwarded-For"] = []string{header}
		got := clientIP(r, proxies)
		if got.IsValid() && (got.Zone() != "" || got.Is4In6()) {
			t.Errorf("%q gave %v", header, got)
		}
	})
}

func TestNetworkIsTheAddressOrTheSlash64(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"203.0.113.9": "203.0.113.9/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "::ffff:203.0.113.9": "203.0.113.9/32"} {
		if got := Network(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Network(%s) = %s, want %s", in, got, want)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("an unknown address has a network")
	}
}
