package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Methods of client authentication.
const (
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
	authKey   = "private_key_jwt"
	authNone  = "none"
)

// credentials are what a request says of its client: one method, never two.
type credentials struct {
	method    string
	id        string
	secrets   []string // spellings of the one secret; any may match
	assertion string
}

// AuthenticateClient says which client sends the request, or ErrInvalidClient:
// the same for an unknown client and for a wrong secret. A public client is
// known by its client_id alone. An assertion is spent by it.
func (o *OAuth) AuthenticateClient(r *http.Request, form url.Values) (*store.Client, error) {
	s := site.From(r.Context())
	c, proof, err := o.authenticate(r, s, form)
	if err != nil || proof == nil {
		return c, err
	}
	err = o.Store.Update(r.Context(), s.Path, proof.spend)
	return c, err
}

// authenticate is AuthenticateClient without the spending: an assertion is spent
// in the transaction of what it is for, so that a failure does not burn it.
func (o *OAuth) authenticate(r *http.Request, s *site.Site, form url.Values) (*store.Client, *assertion, error) {
	given, err := readCredentials(r, form)
	if err != nil {
		return nil, nil, err
	}
	c, proof, err := o.check(r.Context(), s, given)
	if errors.Is(err, ErrInvalidClient) {
		return nil, nil, o.failed(r.Context(), s, given.id, err)
	}
	return c, proof, err
}

func readCredentials(r *http.Request, form url.Values) (credentials, error) {
	var found []credentials
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return credentials{}, web.Public(ErrInvalidRequest, "send one Authorization header")
	}
	if len(headers) == 1 {
		given, err := readBasic(headers[0])
		if err != nil {
			return given, err
		}
		found = append(found, given)
	}
	id := form.Get("client_id")
	if form.Has("client_secret") {
		found = append(found, credentials{method: authPost, id: id, secrets: []string{form.Get("client_secret")}})
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		if form.Get("client_assertion_type") != assertionType {
			return credentials{}, web.Public(ErrInvalidClient, "client_assertion_type is not "+assertionType)
		}
		found = append(found, credentials{method: authKey, id: id, assertion: form.Get("client_assertion")})
	}
	switch {
	case len(found) > 1:
		return credentials{}, web.Public(ErrInvalidRequest, "the client authenticates in more than one way at once")
	case len(found) == 0 && id == "":
		return credentials{}, web.Public(ErrInvalidClient, "the client does not authenticate")
	case len(found) == 0:
		return credentials{method: authNone, id: id}, nil
	case found[0].method == authBasic && id != "" && id != found[0].id:
		return credentials{}, web.Public(ErrInvalidRequest, "client_id is not the client that authenticates")
	}
	return found[0], nil
}

// readBasic reads HTTP Basic. Name and secret are form-encoded (RFC 6749,
// section 2.3.1), which many clients leave out, so the secret's bytes as they
// stand will do as well.
func readBasic(header string) (credentials, error) {
	malformed := web.Public(ErrInvalidClient, "the Authorization header is not well-formed Basic")
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return credentials{}, web.Public(ErrInvalidClient, "clients authenticate here by Basic, in the body, or by assertion")
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(encoded))
	id, secret, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok || !utf8.Valid(plain) {
		return credentials{}, malformed
	}
	given := credentials{method: authBasic, secrets: []string{secret}}
	if given.id, err = url.QueryUnescape(id); err != nil || !utf8.ValidString(given.id) || given.id == "" {
		return credentials{}, malformed
	}
	if decoded, err := url.QueryUnescape(secret); err == nil && decoded != secret && utf8.ValidString(decoded) {
		given.secrets = append(given.secrets, decoded)
	}
	return given, nil
}

// check compares with what the client is registered for.
func (o *OAuth) check(ctx context.Context, s *site.Site, given credentials) (*store.Client, *assertion, error) {
	if given.method == authKey {
		return o.checkAssertion(ctx, s, given)
	}
	c, err := o.client(ctx, s, given.id)
	if err != nil && !errors.Is(err, ErrUnknownClient) {
		return nil, nil, err
	}
	known := err == nil
	if !known {
		c = &store.Client{}
	}
	switch {
	case given.method == authNone && known && c.Public():
		return c, nil, nil
	case secretOK(c, given.secrets, o.Now()) && known && mayUse(c, given.method):
		return c, nil, nil
	}
	return nil, nil, ErrInvalidClient
}

// client finds a client that is not disabled, or ErrUnknownClient.
func (o *OAuth) client(ctx context.Context, s *site.Site, id string) (*store.Client, error) {
	c, err := o.Sites.Client(ctx, s, id)
	if errors.Is(err, site.ErrNoClient) || err == nil && c.Disabled {
		return nil, ErrUnknownClient
	}
	return c, err
}

// mayUse: a client that has a secret may send it both ways unless it is strict,
// since client libraries probe.
func mayUse(c *store.Client, method string) bool {
	registered := c.TokenEndpointAuthMethod
	if registered != authBasic && registered != authPost {
		return false
	}
	return !c.StrictAuthMethod || registered == method
}

// secretOK compares hashes in constant time, and as often for a client that has
// no secret, or does not exist, as for one that has one.
func secretOK(c *store.Client, given []string, now time.Time) bool {
	var none [sha256.Size]byte
	ok := 0
	for _, text := range given {
		sum := sha256.Sum256([]byte(text))
		matched := 0
		if len(c.Secrets) == 0 {
			subtle.ConstantTimeCompare(sum[:], none[:])
		}
		for _, secret := range c.Secrets {
			live := secret.Expires.IsZero() || now.Before(secret.Expires)
			if same := subtle.ConstantTimeCompare(sum[:], secret.SHA256); live && text != "" {
				matched |= same
			}
		}
		ok |= matched
	}
	return ok == 1
}

// failed counts a failure by client and network, for the audit log and against
// guessing. The answer after too many says so; right credentials always work.
func (o *OAuth) failed(ctx context.Context, s *site.Site, id string, err error) error {
	o.Audit.Count(s.Path, audit.Event{Action: audit.ClientAuthFailure, Result: audit.Refused, Object: o.knownClient(ctx, s, id)})
	if o.secrets.secret(o.Now(), s.Path, id, web.ClientIP(ctx)) {
		return ErrTooManyFailures
	}
	return err
}

// knownClient names a client that exists; a guessed name is not written down.
func (o *OAuth) knownClient(ctx context.Context, s *site.Site, id string) audit.Ref {
	if _, err := o.Sites.Client(ctx, s, id); err != nil {
		return audit.Ref{}
	}
	return audit.Ref{Type: "client", ID: id}
}
