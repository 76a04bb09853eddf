// Package verifytest has an issuer for the tests of programs that use package
// verify: it issues tokens with any claims, rotates keys, revokes, goes silent
// and answers questions, all in the test's own process.
//
// [New] serves in memory, so that a test can run in a testing/synctest bubble
// and wait thirty seconds in none; [Start] listens on loopback, for a backend
// that runs elsewhere. It serves what a site serves to backends: discovery,
// JWKS, POST /access/v1/evaluation and GET /access/v1/revocations.
package verifytest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
)

// What an Issuer takes for granted.
const (
	Audience = "https://chat.example"
	ClientID = "backend"
)

// Issuer is a site as backends see it. It is safe for concurrent use.
type Issuer struct {
	// URL is the issuer: iss in tokens, and where it serves.
	URL string

	secret string
	http   *http.Client // nil: the default one reaches it
	close  func()

	mu        sync.Mutex
	keys      []*signingKey // published; the last of an algorithm signs
	documents map[string][]byte
	requests  map[string]int
	down      bool
	decide    func(Question) policy.Decision
	feed      feed
}

// New makes an issuer that is reached in memory, through the HTTPClient of its
// Options only. It ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := Open()
	t.Cleanup(i.Close)
	return i
}

// Open is New outside a test: call Close at the end.
func Open() *Issuer {
	pipes := newPipes()
	i := newIssuer("https://id.example")
	i.http = pipes.client()
	server := &http.Server{Handler: i, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(pipes) }() // ends with Close
	i.close = func() {
		i.http.CloseIdleConnections()
		_ = server.Close()
	}
	return i
}

// Start makes an issuer that listens on loopback until the test ends.
func Start(t testing.TB) *Issuer {
	t.Helper()
	i := newIssuer("")
	server := httptest.NewServer(i)
	i.URL = server.URL
	i.close = func() {
		server.CloseClientConnections()
		server.Close()
	}
	t.Cleanup(i.Close)
	return i
}

// Close ends the issuer.
func (i *Issuer) Close() { i.close() }

func newIssuer(url string) *Issuer {
	i := &Issuer{URL: url, secret: rand.Text(), documents: map[string][]byte{}, requests: map[string]int{}}
	i.decide = func(Question) policy.Decision { return policy.Decision{Reason: policy.ReasonPermission} }
	i.feed.changed = make(chan struct{})
	i.Rotate("ES256")
	return i
}

// Options are what verify.New needs to follow this issuer.
func (i *Issuer) Options() verify.Options {
	return verify.Options{Issuer: i.URL, Audience: Audience, ClientID: ClientID, ClientSecret: i.secret, HTTPClient: i.http}
}

// Client is a verify.Client of this issuer that ends with the test.
func (i *Issuer) Client(t testing.TB) *verify.Client {
	t.Helper()
	client, err := verify.New(t.Context(), i.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Question is what a backend asked.
type Question struct {
	Subject, Resource policy.Resource
	Action            string
	IP                string // empty and IPNamed: the backend does not know it
	IPNamed           bool
	Token             string
}

// Decide sets who answers questions. At first every answer is no.
func (i *Issuer) Decide(answer func(Question) policy.Decision) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.decide = answer
}

// Unavailable makes every request fail with 503, or ends that. Open feeds are
// cut.
func (i *Issuer) Unavailable(down bool) {
	i.mu.Lock()
	i.down = down
	i.mu.Unlock()
	if down {
		i.Cut()
	}
}

// Serve puts a document of the test's own at a path ("/.well-known/jwks.json"),
// to see what a client makes of it; nil takes it away.
func (i *Issuer) Serve(path string, document []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.documents[path] = document
}

// Requests counts what has been asked of a path.
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// JWKSPath is where the keys are.
const JWKSPath = "/.well-known/jwks.json"

// ServeHTTP serves the endpoints.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests[r.URL.Path]++
	down, document := i.down, i.documents[r.URL.Path]
	i.mu.Unlock()
	switch {
	case down:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
	case document != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // a reader who has gone is none of ours
	default:
		i.route(w, r)
	}
}

func (i *Issuer) route(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/openid-configuration":
		writeJSON(w, map[string]string{
			"issuer": i.URL, "jwks_uri": i.URL + JWKSPath,
			"access_evaluation_endpoint": i.URL + "/access/v1/evaluation", "access_revocations_endpoint": i.URL + "/access/v1/revocations",
		})
	case "GET " + JWKSPath:
		writeJSON(w, i.jwks())
	case "POST /access/v1/evaluation":
		i.authenticated(i.evaluation)(w, r)
	case "GET /access/v1/revocations":
		i.authenticated(i.follow)(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if id, secret, ok := r.BasicAuth(); !ok || id != ClientID || secret != i.secret {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "invalid_client", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func (i *Issuer) evaluation(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Subject, Resource struct{ Type, ID string }
		Action            struct{ Name string }
		Context           struct {
			IP    *string
			Token string
		}
	}
	err := json.NewDecoder(r.Body).Decode(&asked)
	subject := asked.Subject.Type != "" && asked.Subject.ID != "" || asked.Context.Token != ""
	if err != nil || !subject || asked.Action.Name == "" || asked.Resource.Type == "" || asked.Resource.ID == "" {
		http.Error(w, "incomplete question", http.StatusBadRequest)
		return
	}
	q := Question{Subject: asked.Subject, Resource: asked.Resource, Action: asked.Action.Name, Token: asked.Context.Token, IPNamed: asked.Context.IP != nil}
	if q.IPNamed {
		q.IP = *asked.Context.IP
	}
	i.mu.Lock()
	decide := i.decide
	i.mu.Unlock()
	d := decide(q)
	said := map[string]any{"reason": d.Reason, "expires_in": int(policy.DefaultKeep / time.Second)}
	obligations := map[string]string{}
	for _, o := range d.Obligations {
		obligations[o.Name] = o.Value
	}
	if len(obligations) > 0 {
		said["obligations"] = obligations
	}
	writeJSON(w, map[string]any{"decision": d.Allowed, "context": said})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a reader who has gone is none of ours
}
