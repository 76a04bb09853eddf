package oidc_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
)

// faults are the names of the checks of a probe that failed.
func (h *hostile) faults(c oidc.Config) string {
	h.t.Helper()
	var names []string
	for _, check := range h.Probe(h.t.Context(), c) {
		if !check.OK {
			names = append(names, check.Name)
		}
		if strings.Contains(check.Expected+check.Got, clientSecret) {
			h.t.Errorf("%+v", check)
		}
	}
	return strings.Join(names, " ")
}

func TestAProbeFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		document object
		change   func(*hostile, *oidc.Config)
		faults   string
	}{
		"nothing":          {object{}, func(*hostile, *oidc.Config) {}, ""},
		"everything said":  {object{"code_challenge_methods_supported": []string{"plain", "S256"}, "id_token_signing_alg_values_supported": []string{"RS256"}}, func(*hostile, *oidc.Config) {}, ""},
		"everybody's":      {object{}, func(_ *hostile, c *oidc.Config) { c.Issuer = "https://login.microsoftonline.com/common/v2.0" }, "issuer"},
		"another issuer":   {object{"issuer": "https://op.example"}, func(*hostile, *oidc.Config) {}, "discovery"},
		"plain":            {object{"code_challenge_methods_supported": []string{"plain"}}, func(*hostile, *oidc.Config) {}, "pkce"},
		"only secrets":     {object{"id_token_signing_alg_values_supported": []string{"HS256", "none"}}, func(*hostile, *oidc.Config) {}, "algorithm"},
		"only by key":      {object{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, func(*hostile, *oidc.Config) {}, "token_endpoint_auth_method"},
		"post, not said":   {object{}, func(_ *hostile, c *oidc.Config) { c.AuthMethod = "client_secret_post" }, "token_endpoint_auth_method"},
		"no secret":        {object{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, func(_ *hostile, c *oidc.Config) { c.ClientSecret = "" }, ""},
		"no keys":          {object{}, func(h *hostile, _ *oidc.Config) { h.keys = `{"keys":[]}` }, "keys"},
		"no such client":   {object{}, func(h *hostile, _ *oidc.Config) { h.fault = "invalid_client" }, "client"},
		"another's client": {object{}, func(h *hostile, _ *oidc.Config) { h.fault = "unauthorized_client" }, "client"},
		"another fault":    {object{}, func(h *hostile, _ *oidc.Config) { h.fault = "invalid_request" }, ""},
		"no token endpoint": {object{}, func(h *hostile, _ *oidc.Config) {
			h.handle("/token", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, "client"},
		"tokens for all": {object{}, func(h *hostile, _ *oidc.Config) {
			h.handle("/token", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"access_token":"x","token_type":"Bearer"}`)
			})
		}, "client"},
		"keys on no server": {object{}, func(h *hostile, _ *oidc.Config) { h.handle("/keys", http.NotFound) }, "keys"},
	} {
		h := newHostile(t)
		c := h.config()
		h.document = h.document.with(r.document)
		r.change(h, &c)
		if got := h.faults(c); got != r.faults {
			t.Errorf("%s: %q, want %q", name, got, r.faults)
		}
	}
}

func TestAProbeLooksAnew(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	h.starts("first")
	h.document["token_endpoint"] = ""
	if got := h.faults(h.config()); got != "discovery" {
		t.Errorf("%q", got)
	}
	h.starts("what was kept stays")
}
