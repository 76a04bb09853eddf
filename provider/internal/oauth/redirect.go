package oauth

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// matchRedirect returns the URI to go to, or ErrRedirectURI. asked is one of the
// registered ones byte for byte; only the port of a loopback address may be
// another (RFC 8252, section 7.3). What must never be a target is refused here
// too, however it came to be registered.
func matchRedirect(registered []string, asked string) (string, error) {
	if asked == "" {
		return "", web.Public(ErrRedirectURI, "redirect_uri is missing")
	}
	match := slices.Contains(registered, asked) || slices.ContainsFunc(registered, func(r string) bool { return sameLoopback(r, asked) })
	if !match || !redirectable(asked) {
		return "", web.Public(ErrRedirectURI, "redirect_uri is not registered for this client; it must be the same to the last character")
	}
	return asked, nil
}

// sameLoopback compares two http URIs on 127.0.0.1 or [::1], their ports apart.
// It looks at bytes and parses nothing, so that two readers cannot disagree.
func sameLoopback(registered, asked string) bool {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		a, okA := strings.CutPrefix(registered, host)
		b, okB := strings.CutPrefix(asked, host)
		if !okA || !okB {
			continue
		}
		a, okA = cutPort(a)
		b, okB = cutPort(b)
		return okA && okB && a == b
	}
	return false
}

// cutPort takes ":port" off the beginning of what follows a host.
func cutPort(rest string) (string, bool) {
	port, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return rest, rest == "" || rest[0] == '/' || rest[0] == '?'
	}
	end := strings.IndexAny(port, "/?")
	if end < 0 {
		end = len(port)
	}
	n, err := strconv.ParseUint(port[:end], 10, 16)
	if err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
		return "", false
	}
	return port[end:], true
}

// redirectable refuses what is never a target of ours: schemes that run or read
// something, plain http to another machine, fragments, user info, wildcards,
// control characters, and responses that are there already.
func redirectable(uri string) bool {
	if strings.ContainsAny(uri, "#*\\ \"<>") || strings.ContainsFunc(uri, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || strings.Contains(u.Host, "@") {
		return false
	}
	query := u.Query()
	for _, name := range []string{"code", "state", "error", "iss", "response", "id_token", "access_token"} {
		if query.Has(name) {
			return false
		}
	}
	switch host := u.Hostname(); u.Scheme {
	case "https":
		return host != ""
	case "http":
		return host == "localhost" || host == "127.0.0.1" || host == "::1"
	}
	return strings.Contains(u.Scheme, ".") // a native client's own (RFC 8252, section 7.1)
}
