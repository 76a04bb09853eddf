package federation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// jwtSource is a login page of the customer's that answers with a JWT.
type jwtSource struct{ *Federation }

// Start leads to the login page, with the address to answer to in the dialect's
// parameter, and the state beside it for pages that echo that.
func (x jwtSource) Start(_ context.Context, at *attempt, hint asked) (away, error) {
	u, err := url.Parse(at.conn.JWT.LoginURL)
	if err != nil {
		return away{}, refuse(codeProviderDown, "login_url cannot be read")
	}
	query := u.Query()
	query.Set(returnParameter(at.conn.JWT.Dialect), at.url("/jwt?"+url.Values{"state": {at.flow.State}}.Encode()))
	query.Set("state", at.flow.State)
	if hint.loginHint != "" {
		query.Set("login_hint", hint.loginHint)
	}
	u.RawQuery = query.Encode()
	return away{url: u.String()}, nil
}

// returnParameter is what the dialect calls the address to answer to.
func returnParameter(dialect string) string {
	if dialect == "comm100" {
		return "redirect_url"
	}
	return "return_to"
}

// jwt is POST /jwt, and GET where the connection allows it: the login page's
// answer. A GET leads to a clean address at once.
func (x *Federation) jwt(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "answer", store.ConnectionJWT)
	if err != nil {
		return err
	}
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	form := query
	if r.Method == http.MethodPost {
		if form, err = web.ReadForm(r); err != nil {
			return err
		}
	}
	state := stateOf(query, form)
	if r.Method != http.MethodPost && !at.conn.JWT.AllowGet {
		err = refuse(codeTokenInvalid, "the answer came by GET, and `allow_get` is off")
	} else {
		err = x.token(w, r, at, form, state)
	}
	return x.fail(w, r, at, err, state, "")
}

// stateOf is the state of the flow that an answer is for: in the address that was
// asked for, beside the token, or in that address as the page echoes it.
func stateOf(query, form url.Values) string {
	if s := query.Get("state"); s != "" {
		return s
	}
	if s := form.Get("state"); s != "" {
		return s
	}
	for _, name := range []string{"return_to", "redirect_url"} {
		if u, err := url.Parse(form.Get(name)); err == nil {
			if s := u.Query().Get("state"); s != "" {
				return s
			}
		}
	}
	return ""
}

func (x *Federation) token(w http.ResponseWriter, r *http.Request, at *attempt, form url.Values, state string) error {
	raw := form.Get("jwt")
	keys, err := x.keysets.Keys(r.Context(), at.site.Path, at.conn, jwt.KeyID(raw))
	if err != nil {
		return refuse(codeProviderDown, "its keys cannot be had: %v", err)
	}
	use := jwt.Agent
	if at.conn.For == store.ForVisitors {
		use = jwt.Visitor
	}
	var restored store.Restoration
	err = x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) (err error) {
		restored, err = store.Restorations.Get(tx, store.RestorationKey)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	claims, checks, err := jwt.Verify(raw, jwt.Expect{
		Use: use, Dialect: at.conn.JWT.Dialect, Audience: at.url(""), Issuer: at.conn.JWT.Issuer, Keys: keys, Now: x.Now(), Skew: at.skew(), NotBefore: restored.At,
	})
	for _, c := range checks {
		at.check(c.Name, c.OK, c.Expected, c.Got)
	}
	var no *jwt.Refused
	if errors.As(err, &no) {
		return refuse(no.Code, "%v", err)
	}
	if err != nil {
		return err
	}
	id, err := at.tokenIdentity(&claims)
	if err != nil {
		return err
	}
	id.State = state
	return x.receive(w, r, at, id, "jti "+claims.ID, claims.Until)
}

// tokenIdentity is who the token is about. Without a name of its own a person is
// their address, where the connection may speak for it.
func (at *attempt) tokenIdentity(claims *jwt.Claims) (*identity, error) {
	at.said = saidOf(claims.Values)
	id := &identity{Made: claims.IssuedAt}
	var err error
	if id.Profile, err = at.profile(profile.JWT, profile.ValuesOf(claims.Values)); err != nil {
		return nil, err
	}
	if at.conn.For == store.ForAgents && id.Profile.Email == "" {
		at.check("email", false, "an address", "none")
		return nil, refuse(codeMissing, "the token has no email")
	}
	switch {
	case claims.HasSubject:
		id.Subject = "sub:" + claims.Subject
	default:
		email, err := web.CanonicalEmail(id.Profile.Email)
		if err != nil {
			at.check("sub", false, "sub, external_id or email", "none")
			return nil, refuse(codeMissing, "the token names nobody: it needs sub, external_id or email")
		}
		id.Subject = byAddress + email
	}
	if len(id.Subject) > maxSubject {
		return nil, refuse(codeTokenInvalid, "the subject is longer than %d bytes", maxSubject)
	}
	at.subject = id.Subject
	return id, nil
}

// saidOf is what a token says, for the trace.
func saidOf(values map[string]any) map[string][]string {
	said := map[string][]string{}
	for name, v := range values {
		if list, ok := v.([]any); ok {
			for _, one := range list {
				said[name] = append(said[name], fmt.Sprint(one))
			}
			continue
		}
		said[name] = []string{fmt.Sprint(v)}
	}
	return said
}

// SignOut leads to the customer's own sign-out page.
func (x jwtSource) SignOut(_ context.Context, at *attempt, left session.SignedOut) (away, error) {
	if at.conn.JWT.LogoutURL == "" {
		return away{}, nil
	}
	u, err := url.Parse(at.conn.JWT.LogoutURL)
	if err != nil {
		return away{}, refuse(codeProviderDown, "logout_url cannot be read")
	}
	query := u.Query()
	query.Set(returnParameter(at.conn.JWT.Dialect), at.url("/logout?"+url.Values{"state": {at.flow.State}}.Encode()))
	if sub, ok := strings.CutPrefix(left.Subject, "sub:"); ok {
		query.Set("external_id", sub)
	}
	u.RawQuery = query.Encode()
	return away{url: u.String()}, nil
}

// Check looks at the keys.
func (x jwtSource) Check(ctx context.Context, at *attempt) {
	keys, err := x.keysets.Keys(ctx, at.site.Path, at.conn, "")
	at.check("keys", err == nil && len(keys) > 0, "at least one key", keysFound(len(keys), err))
}

func keysFound(n int, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(n)
}
