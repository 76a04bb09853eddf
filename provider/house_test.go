package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	deskSecret    = "desk-secret-of-at-least-32-characters"
	backendSecret = "backend-secret-of-at-least-32-chars-"
	thirdSecret   = "third-secret-of-at-least-32-character"
	deskCallback  = "http://127.0.0.1:9999/callback"
	agentPassword = "Correct-Horse-9-Battery"
	chat          = "https://chat.acme.example"
)

// siteFile is the company that these tests are about. %s is one more redirect URI.
const siteFile = `sites:
  - path: ""
    name: Acme Support
    domains: [acme.example]
    roles: [{key: supervisors, name: Supervisors, permissions: [chat.monitor, visitor.ban]}]
    departments: [{key: billing, name: Billing}]
    agents:
      - {email: ana@acme.example, name: Ana Silva, password: "` + agentPassword + `", roles: [administrators], departments: [billing]}
      - {email: raj@acme.example, name: Raj Patel, password: "` + agentPassword + `", roles: [supervisors]}
    clients:
      - {client_id: desk, client_name: Agent Desk, company: Acme, client_secret: "` + deskSecret + `", first_party: true,
         redirect_uris: ["` + deskCallback + `"%s], post_logout_redirect_uris: ["http://127.0.0.1:9999/"],
         grant_types: [authorization_code, refresh_token, client_credentials], default_resource: "` + chat + `",
         scope: "openid profile email offline_access chat"}
      - {client_id: spa, client_name: Desk in the browser, company: Acme, first_party: true, token_endpoint_auth_method: none,
         redirect_uris: ["` + deskCallback + `"], grant_types: [authorization_code, refresh_token], default_resource: "` + chat + `",
         scope: "openid offline_access chat"}
      - {client_id: backend, client_name: Chat backend, company: Acme, client_secret: "` + backendSecret + `", first_party: true,
         grant_types: [client_credentials], default_resource: "` + chat + `"}
      - {client_id: third, client_name: Reports, company: Else, client_secret: "` + thirdSecret + `",
         redirect_uris: ["` + deskCallback + `"], grant_types: [authorization_code, refresh_token], scope: "openid email report.view"}
    resources:
      - {identifier: "` + chat + `", scopes: [chat, report.view], access_token_format: jwt, signing_alg: ES256, checks_network: true}
`

// running is a whole house over real HTTP.
type running struct {
	t      testing.TB
	issuer string
	server *provider.Server
	engine store.Store
	sealer *store.Sealer
	log    *lockedBuffer
	// restart ends the server and serves the same store by another.
	restart func()
	// serve has what follows answered by another handler.
	serve   func(http.Handler)
	options provider.Options
}

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

// start serves the company on loopback; callback is one more redirect URI of the
// desk, or "".
func start(t testing.TB, on storetest.Engine, callback string, change ...func(*provider.Options)) *running {
	t.Helper()
	var engine store.Store
	var err error
	if on == storetest.PostgreSQL {
		engine, err = postgres.Open(t.Context(), postgres.Options{URL: database.URL(t), AllowAsync: true})
	} else {
		engine, err = bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "chatelaine.db")})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return startOn(t, engine, callback, change...)
}

func startOn(t testing.TB, engine store.Store, callback string, change ...func(*provider.Options)) *running {
	t.Helper()
	h := &running{t: t, engine: engine, log: &lockedBuffer{}}
	var serving atomic.Pointer[http.Handler]
	h.serve = func(by http.Handler) { serving.Store(&by) }
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*serving.Load()).ServeHTTP(w, r) }))
	t.Cleanup(listening.Close)
	h.issuer = listening.URL
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	h.sealer = sealer
	options := provider.Options{
		Store: engine, Sealer: sealer, PublicURL: h.issuer, Log: zerolog.New(h.log),
		Argon2: provider.Argon2{MemoryKiB: 8, Time: 1, Threads: 1},
	}
	for _, c := range change {
		c(&options)
	}
	h.options = options
	h.server, err = provider.New(options)
	if err != nil {
		t.Fatal(err)
	}
	h.serve(h.server)
	if callback != "" {
		callback = `, "` + callback + `"`
	}
	h.apply(fmt.Sprintf(siteFile, callback))
	if err := h.server.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := h.run()
	h.restart = func() {
		stop()
		if h.server, err = provider.New(options); err != nil {
			t.Fatal(err)
		}
		h.serve(h.server)
		stop = h.run()
	}
	t.Cleanup(func() {
		stop()
		listening.CloseClientConnections()
		for _, secret := range []string{deskSecret, backendSecret, thirdSecret, agentPassword} {
			if strings.Contains(h.log.String(), secret) {
				t.Errorf("the log holds the secret %q", secret)
			}
		}
	})
	return h
}

// twoNodes has what follows answered by two servers of one store in turn, and returns
// them.
func (h *running) twoNodes() (nodes [2]http.Handler) {
	h.t.Helper()
	second, err := provider.New(h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	nodes = [2]http.Handler{h.server, second}
	var turn atomic.Uint32
	h.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { nodes[turn.Add(1)%2].ServeHTTP(w, r) }))
	return nodes
}

// run runs the server in the background, until what it returns is called.
func (h *running) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := h.server
	go func() { done <- server.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	}
}

// apply puts a site file through the control handler, as the command does.
func (h *running) apply(file string) {
	h.t.Helper()
	h.control("apply", map[string]any{}, file)
}

// control asks for an operation and returns its result.
func (h *running) control(operation string, in any, body string) map[string]any {
	h.t.Helper()
	result, said := h.controlled(operation, in, body)
	if result == nil {
		h.t.Fatalf("%s: %s", operation, said)
	}
	return result
}

// controlFault asks for what is refused, and returns what is said of it.
func (h *running) controlFault(operation string, in any) string {
	h.t.Helper()
	result, said := h.controlled(operation, in, "")
	if result != nil {
		h.t.Errorf("%s is done: %s", operation, said)
	}
	return said
}

func (h *running) controlled(operation string, in any, body string) (result map[string]any, said string) {
	h.t.Helper()
	input, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/"+operation+"?in="+url.QueryEscape(string(input)), strings.NewReader(body))
	r.Header.Set("Chatelaine-Operator", "tester")
	w := httptest.NewRecorder()
	h.server.Control().ServeHTTP(w, r)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	var last struct {
		Result map[string]any
		Error  any
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		h.t.Fatalf("%s: status %d: %v %s", operation, w.Code, err, w.Body)
	}
	if last.Error != nil {
		return nil, w.Body.String()
	}
	if last.Result == nil {
		last.Result = map[string]any{}
	}
	return last.Result, w.Body.String()
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
