package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestOnlyPublicAddressesAreCalled(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "2606:2800:220:1::1": true, "2a00:1450:4001::200e": true,
		"127.0.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:0:7f00:1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fd00::1": false,
		"ff02::1": false, "100::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false, "5f00::1": false,
	} {
		if got := public(netip.MustParseAddr(text).Unmap()); got != want {
			t.Errorf("%s: public %v", text, got)
		}
	}
}

func TestTheOperatorsOwnNetworksAreCalledAndNoOtherPrivateOne(t *testing.T) {
	t.Parallel()
	at := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(at.Close)
	for network, want := range map[string]bool{"127.0.0.0/8": true, "10.0.0.0/8": false} {
		_, err := Fetch(t.Context(), NewOutboundClient(false, netip.MustParsePrefix(network)), at.URL)
		if (err == nil) != want {
			t.Errorf("with %s: %v", network, err)
		}
	}
	for text, want := range map[string]bool{
		"10.20.0.0/16": true, "172.16.0.0/12": true, "192.168.1.0/24": true, "100.64.0.0/10": true, "fd00:1::/32": true, "10.1.2.3/32": true,
		"10.20.0.1/16": false, "10.20.0.0": false, "0.0.0.0/0": false, "8.8.8.0/24": false, "127.0.0.0/8": false, "169.254.169.254/32": false, "172.0.0.0/8": false, "::/0": false, "fe80::/10": false, "": false,
	} {
		if _, err := PrivateNetwork(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
