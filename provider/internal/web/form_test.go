package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAFormIsReadInOneWayOnly(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		contentType, body string
		want              error
	}{
		"plain":                     {form, "a=1&b=2", nil},
		"utf-8 named":               {form + "; charset=UTF-8", "a=1", nil},
		"a parameter twice":         {form, "a=1&a=1", ErrBadRequest},
		"a semicolon":               {form, "a=1;b=2", ErrBadRequest},
		"a bad escape":              {form, "a=%zz", ErrBadRequest},
		"a NUL":                     {form, "a=%00", ErrBadRequest},
		"overlong UTF-8":            {form, "a=%c0%af", ErrBadRequest},
		"JSON":                      {"application/json", "{}", ErrMediaType},
		"multipart":                 {"multipart/form-data; boundary=x", "", ErrMediaType},
		"text":                      {"text/plain", "a=1", ErrMediaType},
		"no type":                   {"", "a=1", ErrMediaType},
		"another charset":           {form + "; charset=utf-7", "a=1", ErrMediaType},
		"a body over the limit":     {form, "a=" + strings.Repeat("x", MaxForm), ErrTooLarge},
		"more parameters than read": {form, strings.Repeat("a&", MaxParameters) + "b", ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			if _, err := ReadForm(r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestTwoCookiesOfOneNameAreNone(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "session=a; session=b; other=c")
	if v, ok := Cookie(r, "session"); ok {
		t.Errorf("took %q of two", v)
	}
	if v, ok := Cookie(r, "other"); !ok || v != "c" {
		t.Errorf("other = %q, %v", v, ok)
	}
	r = r.WithContext(WithSite(r.Context(), &SiteInfo{Path: "acme", Secure: true}))
	r.Header.Set("Cookie", "session=a; __Host-session.acme=b; __Host-flow-1.acme=c")
	if v, _ := Cookie(r, "session"); v != "b" {
		t.Errorf("over https the cookie is %q, want the __Host- one of this site", v)
	}
	if names := CookieNames(r, "flow-"); len(names) != 1 || names[0] != "flow-1" {
		t.Errorf("flow cookies: %v", names)
	}
}

func TestOutboundRequestsReachNoPrivateAddress(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		w.Write(make([]byte, len(r.URL.Path)*OutboundBytes/8))
	}))
	defer server.Close()
	if _, err := Fetch(t.Context(), NewOutboundClient(false), server.URL+"/"); !errors.Is(err, ErrOutbound) {
		t.Errorf("loopback: %v", err)
	}
	open := NewOutboundClient(true)
	if _, err := Fetch(t.Context(), open, server.URL+"/"); err != nil {
		t.Errorf("loopback when allowed: %v", err)
	}
	if _, err := Fetch(t.Context(), open, server.URL+"/away"); !errors.Is(err, ErrOutbound) {
		t.Errorf("a redirect: %v", err)
	}
	if _, err := Fetch(t.Context(), open, server.URL+"/0123456789"); !errors.Is(err, ErrOutbound) {
		t.Errorf("more than 1 MiB: %v", err)
	}
}
