package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Limits of every request that the house makes itself.
const (
	OutboundTimeout = 5 * time.Second
	OutboundBytes   = 1 << 20
)

// ErrOutbound is every fault of an outbound request: which one is for the log
// only, since the difference would tell an attacker what stands in our network.
var ErrOutbound = errors.New("the address could not be read")

// NewOutboundClient makes the one client for outside requests: the dialled
// address is checked (no private, loopback, link-local or multicast one), no
// redirects, no proxy, 5 s and 1 MiB. allowLoopback is for development, when
// public_url itself is on loopback.
func NewOutboundClient(allowLoopback bool) *http.Client {
	dialer := &net.Dialer{
		Timeout: OutboundTimeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return ErrOutbound
			}
			if addr := ap.Addr().Unmap(); !public(addr) && !(allowLoopback && addr.IsLoopback()) {
				return fmt.Errorf("%w: %s is not a public address", ErrOutbound, addr)
			}
			return nil
		},
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: OutboundTimeout, ResponseHeaderTimeout: OutboundTimeout,
		MaxResponseHeaderBytes: 64 << 10, MaxConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true, ForceAttemptHTTP2: true,
	}
	return &http.Client{
		Transport: limited{transport}, Timeout: OutboundTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, p := range []string{
		"100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "2002::/16", "::/96",
	} {
		if netip.MustParsePrefix(p).Contains(a) {
			return false
		}
	}
	return true
}

type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, OutboundBytes)
	}
	return resp, err
}

// Fetch reads an outside document with client c, at most OutboundBytes. Any
// answer but 200 is ErrOutbound.
func Fetch(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutbound, err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutbound, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: status %d", ErrOutbound, resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutbound, err)
	}
	return body, nil
}
