package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
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
// public_url itself is on loopback; own are networks of the operator's in which
// providers stand.
func NewOutboundClient(allowLoopback bool, own ...netip.Prefix) *http.Client {
	return newOutboundClient(outboundDialer(allowLoopback, own...), OutboundTimeout)
}

// outboundDialer judges each address when it is dialled, whatever a name led to before.
func outboundDialer(allowLoopback bool, own ...netip.Prefix) *net.Dialer {
	return &net.Dialer{
		Timeout: OutboundTimeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return ErrOutbound
			}
			if addr := ap.Addr().Unmap(); !public(addr) && !(allowLoopback && addr.IsLoopback()) && !within(own, addr) {
				return fmt.Errorf("%w: %s is not a public address", ErrOutbound, addr)
			}
			return nil
		},
	}
}

func newOutboundClient(dialer *net.Dialer, timeout time.Duration) *http.Client {
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
		MaxResponseHeaderBytes: 64 << 10, MaxConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true, ForceAttemptHTTP2: true,
	}
	return &http.Client{
		Transport: limited{transport}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// private are the blocks that an operator's own network may have (RFC 1918, 6598 and
// 4193).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"),
}

// PrivateNetwork reads one that lies within those blocks.
func PrivateNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || !slices.ContainsFunc(private, func(block netip.Prefix) bool { return block.Bits() <= p.Bits() && block.Contains(p.Addr()) }) {
		return p, errors.New("not a network within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7, such as 10.20.0.0/16")
	}
	return p, nil
}

func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// globalUnicast is what is given out of IPv6 (RFC 4291, section 2.4); all special blocks
// but those in notPublic are outside.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// notPublic are blocks for special purposes (RFC 6890 and IANA's registries), and where
// Azure's machines find their own host.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"),
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
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return nil, fmt.Errorf("%w: status %d leads to %.200q, and redirects are not followed: name that address", ErrOutbound, resp.StatusCode, to)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: status %d", ErrOutbound, resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrOutbound, large.Limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutbound, err)
	}
	return body, nil
}
