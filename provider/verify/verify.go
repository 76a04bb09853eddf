// Package verify is the SDK for chat backends: it tells a backend whether an
// access token of a Chatelaine site is good, what its holder may do, and when
// that ends.
//
// [New] reads the site's discovery document and keys and follows its
// revocation feed. From then on [Client.Token] verifies tokens without a call,
// and still refuses one within a second of its sign-out, revocation or lost
// role. [Token.May] decides locally by permission, network and age;
// [Client.Ask] asks the server, whose answer also knows what a token cannot.
// [Client.Watch] tells a backend to close a socket, and [Client.Middleware]
// guards an http.Handler. Package verifytest has an issuer for tests.
//
// When the feed has been silent for 30 seconds, nobody knows which tokens have
// been revoked. The client then says that it is stale, and denies or allows as
// [Options.WhenStale] chose.
//
// The package owns no routes and stores nothing. It talks to the issuer's
// origin alone, follows no redirects, and imports the standard library, policy
// and go-jose only. It verifies JWTs; ask the server about opaque tokens.
package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Stale says what becomes of a token while the revocation feed is silent.
type Stale int

const (
	// Deny refuses every token until the feed is heard again, and ends what is
	// watched: nothing revoked is ever let in.
	Deny Stale = iota
	// Allow goes on with what is known: a token that was revoked meanwhile is
	// let in until it expires.
	Allow
)

// Limits of the options.
const (
	DefaultLeeway   = 10 * time.Second
	MaxLeeway       = time.Minute
	DefaultCache    = 10_000         // verified tokens
	MaxLifetime     = 24 * time.Hour // of a token, whatever it says
	StaleAfter      = 30 * time.Second
	keysMaxAge      = 5 * time.Minute // a new key is published ten minutes before its first use
	requestTimeout  = 5 * time.Second
	startTimeout    = 15 * time.Second
	maxResponse     = 1 << 20 // bytes
	maxHeaderBytes  = 64 << 10
	maxTokenBytes   = 16 << 10
	unknownKidPause = time.Minute // between refetches for an unknown kid
)

// Options configure a Client.
type Options struct {
	// Issuer is the site's issuer, exactly as its tokens and discovery document
	// spell it: "https://id.example", "https://id.example/acme".
	Issuer string
	// Audience is this backend's resource identifier; tokens for another are
	// refused.
	Audience string
	// ClientID and ClientSecret authenticate this backend (client_secret_basic)
	// to the revocation feed and the decision endpoint.
	ClientID     string
	ClientSecret string
	// WithoutRevocations does without the feed, and so without client
	// credentials: a revoked token is then good until it expires.
	WithoutRevocations bool
	// WhenStale chooses what happens while the feed is silent; default Deny.
	WhenStale Stale
	// Leeway forgives clocks that differ: at most a minute, 0 means 10 seconds,
	// less than 0 none.
	Leeway time.Duration
	// CacheTokens bounds the verified tokens that are remembered; 0 means 10,000.
	CacheTokens int
	// HTTPClient makes the calls; nil means one with limits on size and time.
	// Its Timeout is not used, and redirects are never followed.
	HTTPClient *http.Client
	// AllowInsecure accepts an http issuer that is not on loopback.
	AllowInsecure bool
	// Logger hears of lost connections and refused key sets; nil means nobody.
	Logger *slog.Logger
}

// Client verifies tokens of one site for one audience. It is safe for
// concurrent use; make one and keep it until Close.
type Client struct {
	options   Options                 // without the secret
	basic     func(req *http.Request) // client_secret_basic, RFC 6749 section 2.3.1
	http      *http.Client
	log       *slog.Logger
	endpoints endpoints
	keys      *keyCache
	cache     *tokenCache
	revoked   *revocations
	watches   *watches
	heard     heard
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// New makes a client. It returns when the discovery document and the keys have
// been read and the revocation feed is followed, and says what is wrong if one
// of them cannot be within ctx (or 15 seconds).
func New(ctx context.Context, options Options) (*Client, error) {
	options, err := options.checked()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	id, secret := url.QueryEscape(options.ClientID), url.QueryEscape(options.ClientSecret)
	options.ClientSecret = ""
	c := &Client{options: options, http: limited(options.HTTPClient), log: options.Logger, revoked: newRevocations(), watches: newWatches()}
	c.basic = func(req *http.Request) { req.SetBasicAuth(id, secret) }
	c.heard.base = time.Now()
	c.cache = newTokenCache(options.CacheTokens)
	if err := c.discover(ctx); err != nil {
		return nil, err
	}
	c.keys = &keyCache{fetch: c.fetchKeys, removed: c.cache.clear, log: c.log}
	if err := c.keys.refresh(ctx); err != nil {
		return nil, err
	}
	return c, c.start(ctx)
}

// start runs what goes on until Close, and waits for the feed.
func (c *Client) start(ctx context.Context) error {
	life, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.running.Go(func() { c.keys.run(life) })
	c.running.Go(func() { c.sweep(life) })
	if c.options.WithoutRevocations {
		return nil
	}
	feed := &feed{client: c, ready: make(chan struct{}), refused: make(chan error, 1)}
	c.running.Go(func() { feed.run(life) })
	select {
	case <-feed.ready:
		return nil
	case err := <-feed.refused:
		c.Close()
		return err
	case <-ctx.Done():
		c.Close()
		return fmt.Errorf("%w: the revocation feed at %s did not start: %w", ErrUnavailable, c.endpoints.revocations, errors.Join(ctx.Err(), feed.lastError()))
	}
}

// Close stops following the site and ends every watch without a verdict. A
// closed client is stale at once.
func (c *Client) Close() {
	c.stop()
	c.running.Wait()
	c.heard.forget()
	c.watches.closeAll()
}

// String leaves the secret out.
func (o Options) String() string {
	return fmt.Sprintf("{Issuer:%s Audience:%s ClientID:%s ClientSecret:[redacted]}", o.Issuer, o.Audience, o.ClientID)
}

// GoString leaves the secret out.
func (o Options) GoString() string { return "verify.Options" + o.String() }

func (o Options) checked() (Options, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if err := checkIssuer(o.Issuer, o.AllowInsecure); err != nil {
		fault("Issuer: %w", err)
	}
	if o.Audience == "" {
		fault("Audience: the resource identifier of this backend is needed")
	}
	if !o.WithoutRevocations && (o.ClientID == "" || o.ClientSecret == "") {
		fault("ClientID and ClientSecret are needed to follow revocations; set WithoutRevocations to do without")
	}
	if o.Leeway > MaxLeeway {
		fault("Leeway: %s is more than %s", o.Leeway, MaxLeeway)
	}
	if o.CacheTokens < 0 {
		fault("CacheTokens: %d is less than 0", o.CacheTokens)
	}
	if o.WhenStale != Deny && o.WhenStale != Allow {
		fault("WhenStale: neither Deny nor Allow")
	}
	if err := errors.Join(faults...); err != nil {
		return o, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return o.filled(), nil
}

func (o Options) filled() Options {
	if o.Leeway == 0 {
		o.Leeway = DefaultLeeway
	}
	o.Leeway = max(o.Leeway, 0)
	if o.CacheTokens == 0 {
		o.CacheTokens = DefaultCache
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func checkIssuer(issuer string, insecure bool) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return fmt.Errorf("%q is not a URL of scheme, host and path", issuer)
	case u.Scheme == "https", u.Scheme == "http" && (insecure || loopback(u.Hostname())):
		return nil
	}
	return fmt.Errorf("%q is neither https nor http on loopback; AllowInsecure would accept it", issuer)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// limited is the user's client, or ours, that follows no redirects. The calls
// bring their own time limits, since the feed is meant to last.
func limited(given *http.Client) *http.Client {
	client := &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: requestTimeout}).DialContext,
		TLSHandshakeTimeout:    requestTimeout,
		ResponseHeaderTimeout:  requestTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        time.Minute,
		MaxIdleConnsPerHost:    16,
		ForceAttemptHTTP2:      true,
	}}
	if given != nil {
		copied := *given
		client = &copied
	}
	client.Timeout = 0
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}
