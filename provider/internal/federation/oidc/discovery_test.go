package oidc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

const wellKnown = "/.well-known/openid-configuration"

func (h *hostile) starts(name string) {
	h.t.Helper()
	if _, err := h.Begin(h.t.Context(), h.config(), "x"); err != nil {
		h.t.Errorf("%s: %v", name, err)
	}
}

// startsNot checks that nobody can be sent, and that little is said of why.
func (h *hostile) startsNot(name string) {
	h.t.Helper()
	s, err := h.Begin(h.t.Context(), h.config(), "x")
	if !errors.Is(err, oidc.ErrUnavailable) || s.URL != "" || len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x1b\n") {
		h.t.Errorf("%s: %v, %+v", name, err, s)
	}
}

func TestADocumentThatCannotBeTrustedStartsNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]object{
		"another issuer": {"issuer": "https://evil.example"}, "no issuer": {"issuer": nil}, "an issuer with a slash": {"issuer": "/"}, "a template": {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"},
		"no authorization_endpoint": {"authorization_endpoint": nil}, "no token_endpoint": {"token_endpoint": ""}, "no jwks_uri": {"jwks_uri": nil},
		"a script": {"authorization_endpoint": "javascript:alert(1)//x"}, "a relative address": {"authorization_endpoint": "/authorize"}, "a file": {"jwks_uri": "file:///etc/passwd"},
		"a name in the address": {"token_endpoint": "http://a:b@localhost/token"}, "a fragment": {"authorization_endpoint": "https://op.example/#"}, "another scheme": {"userinfo_endpoint": "ftp://op.example/"},
		"data to sign out at": {"end_session_endpoint": "data:text/html,x"}, "a number": {"token_endpoint": 5}, "an address that is none": {"token_endpoint": "http://%zz/"},
	} {
		h := newHostile(t)
		if h.document = h.document.with(change); change["issuer"] == "/" {
			h.document["issuer"] = h.issuer + "/"
		}
		if name == "a fragment" {
			h.document["authorization_endpoint"] = h.issuer + "/authorize#x"
		}
		h.startsNot(name)
		// Waiting helps with none of these, but with what is no document.
		if _, err := h.Begin(t.Context(), h.config(), "x"); errors.Is(err, oidc.ErrUnfit) != (name != "a number") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAProviderByTLSKeepsToIt(t *testing.T) {
	t.Parallel()
	for name, downgraded := range map[string]bool{"authorization_endpoint": true, "token_endpoint": true, "jwks_uri": true, "userinfo_endpoint": true, "end_session_endpoint": true, "nothing": false} {
		h := newHostile(t)
		server := httptest.NewTLSServer(h)
		t.Cleanup(server.Close)
		h.issuer = server.URL
		h.document = object{"issuer": h.issuer, "authorization_endpoint": h.issuer + "/a", "token_endpoint": h.issuer + "/t", "jwks_uri": h.issuer + "/k"}
		h.Provider = oidc.New(oidc.Options{Client: server.Client(), Now: h.time})
		if !downgraded {
			h.starts(name)
			continue
		}
		h.document[name] = strings.Replace(h.issuer, "https:", "http:", 1) + "/x"
		h.startsNot(name)
	}
}

func TestADocumentThatCannotBeReadStartsNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"not found":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[2J<html>", http.StatusNotFound) },
		"HTML":         func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"null":         func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "null") },
		"issuer twice": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"issuer":"a","issuer":"b"}`) },
		"nested":       func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat(`{"a":`, 1e5)) },
		"an abort":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			for range 3 << 10 {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
		},
	} {
		h := newHostile(t)
		h.handle(wellKnown, answer)
		h.handle("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Errorf("%s: followed", name) })
		h.startsNot(name)
	}
	h := newHostile(t)
	h.Provider = oidc.New(oidc.Options{Client: web.NewOutboundClient(false), Now: h.time})
	h.startsNot("inside our network")
	if h.requests(wellKnown) != 0 {
		t.Error("inside our network: it was asked")
	}
}

func TestADocumentOfSlowBytesEndsInTime(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	client := web.NewOutboundClient(true)
	client.Timeout = 300 * time.Millisecond
	h.Provider = oidc.New(oidc.Options{Client: client, Now: h.time})
	h.handle(wellKnown, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	start := time.Now()
	h.startsNot("a byte at a time")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestADocumentIsKeptForAnHourAndInAnOutageForADay(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for range 20 {
		h.starts("at first")
	}
	h.handle(wellKnown, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	h.later(time.Hour - time.Second)
	h.starts("within the hour")
	if n := h.requests(wellKnown); n != 1 {
		t.Errorf("asked %d times", n)
	}
	h.later(time.Second)
	h.starts("in an outage")
	h.starts("in an outage")
	if n := h.requests(wellKnown); n != 1 {
		t.Errorf("in an outage: asked %d times", n)
	}
	h.later(23 * time.Hour)
	h.startsNot("after a day")
	h.handle(wellKnown, nil)
	h.startsNot("just tried")
	h.later(30 * time.Second)
	h.starts("again")
}

func TestABrowserThatGoesAwaySpoilsNothing(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Begin(gone, h.config(), "x"); err != nil {
		t.Error(err)
	}
	h.starts("the next one")
	if n := h.requests(wellKnown); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestAChangeOfKeysIsFollowed(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	all := h.keys
	h.keys = strings.ReplaceAll(all, `"kid":"r"`, `"kid":"old"`)
	id, checks, err := h.finish(h.config())
	refused(t, "a key that is not published yet", id, checks, err, oidc.CodeInvalid, "key")
	h.keys = all
	for range 50 {
		id, checks, err = h.finish(h.config())
	}
	refused(t, "a key that was asked for just now", id, checks, err, oidc.CodeInvalid, "key")
	if n := h.requests("/keys"); n != 1 {
		t.Errorf("a kid that is not there: asked %d times", n)
	}
	h.later(time.Minute)
	h.accepted("a minute later")
	h.handle("/keys", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"keys":[]}`) })
	h.later(23 * time.Hour)
	h.accepted("in an outage of the keys")
	h.later(2 * time.Hour)
	if _, _, err := h.finish(h.config()); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("after a day: %v", err)
	}
}

func TestASetThatHoldsAPrivateKeyIsNotTaken(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	h.keys = strings.Replace(h.keys, `"kid":"e"`, `"kid":"e","d":"AA"`, 1)
	if _, _, err := h.finish(h.config()); !errors.Is(err, oidc.ErrUnavailable) {
		t.Error(err)
	}
}

func TestAnIssuerIsOneCustomers(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://accounts.google.com", "https://acme.okta.com/oauth2/default", "https://sso.acme.example/realms/acme", "http://localhost:8080",
		"https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0", "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/", "https://common.example/common",
	} {
		if err := oidc.CheckIssuer(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, everybodys := range []string{
		"https://login.microsoftonline.com/common/v2.0", "https://login.microsoftonline.com/organizations/v2.0", "https://LOGIN.microsoftonline.com/Consumers/v2.0", "https://login.microsoftonline.com/",
		"https://login.microsoftonline.com:443/common/v2.0", "https://sts.windows.net/common/", "https://login.microsoftonline.us/common/v2.0", "https://login.microsoftonline.com/%7Btenantid%7D/v2.0",
		"https://login.microsoftonline.com/9188040D-6c67-4c5b-b112-36a304b66dad/v2.0", "https://login.microsoftonline.com",
	} {
		if err := oidc.CheckIssuer(everybodys); !errors.Is(err, oidc.ErrSharedIssuer) {
			t.Errorf("%s: %v", everybodys, err)
		}
	}
	for _, none := range []string{"", "acme.example", "//acme.example", "javascript:x", "file:///x", "https://", "https://a:b@op.example", "https://op.example?x=1", "https://op.example?", "https://op.example#", "https://op.example/\x7f"} {
		if err := oidc.CheckIssuer(none); err == nil || errors.Is(err, oidc.ErrSharedIssuer) {
			t.Errorf("%q: %v", none, err)
		}
	}
}
