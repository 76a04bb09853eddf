package site

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

func newSites(t *testing.T, maxAge time.Duration, paths ...string) *Sites {
	t.Helper()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "site.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	for _, path := range paths {
		host := ""
		if path == "own" {
			host = "own.example"
		}
		if err := Create(t.Context(), engine, path, host, DefaultSettings("Site "+path), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	sites, err := New(Options{Store: engine, PublicURL: "https://id.example", MaxAge: maxAge})
	if err != nil {
		t.Fatal(err)
	}
	return sites
}

func TestASiteIsFoundByHostAndPath(t *testing.T) {
	t.Parallel()
	sites := newSites(t, 0, "", "acme", "own")
	for url, want := range map[string]string{
		"https://id.example/oauth/token":                                 "https://id.example /oauth/token",
		"https://id.example/acme/oauth/token":                            "https://id.example/acme /oauth/token",
		"https://id.example/acme":                                        "https://id.example/acme /",
		"https://ID.example/acmes":                                       "https://id.example /acmes",
		"https://id.example/acme/.well-known/openid-configuration":       "https://id.example/acme /.well-known/openid-configuration",
		"https://id.example/.well-known/oauth-authorization-server/acme": "https://id.example/acme /.well-known/oauth-authorization-server",
		"https://id.example/.well-known/oauth-authorization-server":      "https://id.example /.well-known/oauth-authorization-server",
		"https://own.example/x":                                          "https://own.example /x",
		"https://id.example/own/x":                                       "https://id.example /own/x",
		"https://evil.example/":                                          "site: no site has this host",
	} {
		var got string
		h := sites.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = From(r.Context()).Issuer + " " + r.URL.Path
		}), func(_ http.ResponseWriter, _ *http.Request, err error) { got = "site: " + err.Error() })
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, url, nil))
		if got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}

func TestAChangeIsSeenByTheNextLoad(t *testing.T) {
	t.Parallel()
	sites := newSites(t, time.Hour, "")
	before, err := sites.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(before.Permissions([]string{policy.Administrators}), "policy.manage") {
		t.Error("administrators cannot manage policies")
	}
	err = sites.Store().Update(t.Context(), "", func(tx store.Tx) error {
		if err := store.Clients.Put(tx, &store.Client{ID: "desk", Name: "new"}); err != nil {
			return err
		}
		return Changed(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := sites.Load(t.Context(), "")
	if err != nil || after.Version <= before.Version {
		t.Fatalf("version %d after %d, %v", after.Version, before.Version, err)
	}
	if c, err := sites.Client(t.Context(), after, "desk"); err != nil || c.Name != "new" {
		t.Errorf("client: %v, %v", c, err)
	}
	if _, err := sites.Client(t.Context(), after, "other"); !errors.Is(err, ErrNoClient) {
		t.Errorf("unknown client: %v", err)
	}
}

func TestAnotherNodesChangeIsSeenWithinMaxAge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	sites := newSites(t, MaxAge, "")
	sites.now = func() time.Time { return now }
	before, _ := sites.Load(t.Context(), "")
	if err := sites.store.Update(context.Background(), "", Changed); err != nil { // past our own watch
		t.Fatal(err)
	}
	now = now.Add(MaxAge)
	after, err := sites.Load(t.Context(), "")
	if err != nil || after.Version == before.Version {
		t.Errorf("version %d after %d, %v", after.Version, before.Version, err)
	}
}

func TestASiteCannotTakeOneOfTheHousesPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"oauth", "Acme", "a/b", "-a", store.House, "../x", "acmé"} {
		if CheckPath(path) == nil {
			t.Errorf("%q was taken", path)
		}
	}
}
