package admin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// CheckRedirectURI says whether a client may register this URI as a target of
// redirects: absolute, in its one normal spelling (it is compared byte by byte),
// https, or http on loopback, or for a native client a private scheme with a
// dot in it (RFC 8252, section 7.1).
func CheckRedirectURI(uri string, native bool) error {
	if uri == "" || len(uri) > 2048 {
		return errors.New("has no text, or more than 2048 bytes")
	}
	for _, r := range uri {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`\"<>^{|}`+"`", r) {
			return fmt.Errorf("holds %q, which no URI may", r)
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return errors.New("is not a URI")
	case strings.Contains(uri, "#"):
		return errors.New("has a fragment")
	case strings.Contains(uri, "*"):
		return errors.New("has a wildcard; register each URI in full")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return errors.New("has user info")
	}
	if err := checkScheme(u, native); err != nil {
		return err
	}
	for name := range u.Query() {
		switch name {
		case "code", "state", "error", "error_description", "iss", "response", "id_token", "access_token":
			return fmt.Errorf("already holds the parameter %s, which is ours to add", name)
		}
	}
	return checkSpelling(uri, u)
}

func checkScheme(u *url.URL, native bool) error {
	switch {
	case u.Scheme == "":
		return errors.New("is not absolute")
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		if u.Host == "" || u.Opaque != "" {
			return errors.New("names no host")
		}
		return nil
	case u.Scheme == "http":
		return errors.New("is plain http to another machine; use https")
	case !native:
		return fmt.Errorf("has the scheme %s; web clients use https", u.Scheme)
	case !strings.Contains(u.Scheme, "."):
		return fmt.Errorf("has the scheme %s; a native client's own scheme is a reversed domain name such as com.example.app", u.Scheme)
	}
	return nil
}

func checkSpelling(uri string, u *url.URL) error {
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil
	case host != strings.ToLower(host) || !strings.HasPrefix(uri, u.Scheme+"://"):
		return errors.New("has capitals in its scheme or host")
	case strings.HasSuffix(host, "."):
		return errors.New("has a dot at the end of its host")
	case strings.Contains(u.Host, "%") || strings.HasSuffix(u.Host, ":"):
		return errors.New("has a host that is not in its normal form")
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		return errors.New("names the port that its scheme has anyway; leave it out")
	case strings.Contains(u.EscapedPath(), "//") || u.Path != "" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/":
		return errors.New("has a path that is not in its normal form")
	case strings.Contains(strings.ToLower(u.EscapedPath()), "%2e") || strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") || strings.Contains(u.Path, "\x00"):
		return errors.New("has an escaped dot, slash or NUL in its path")
	}
	return nil
}

// isLoopback reports whether a host is this machine, as a browser sees it.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() && !addr.Is4In6()
}
