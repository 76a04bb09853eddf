package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// userInfo adds what userinfo says and the ID token does not (OpenID Connect Core,
// section 5.3). An address and whether it is verified come from one of the two.
func (j *judgement) userInfo(ctx context.Context, doc document, tokens *oauth2.Token, id *Identity) error {
	if doc.UserInfo == "" || !j.lacks(id.Values) {
		return nil
	}
	// It is not told where the keys are: an answer in a JWT is not taken.
	op := (&oidc.ProviderConfig{IssuerURL: j.Issuer, UserInfoURL: doc.UserInfo}).NewProvider(j.context(ctx))
	info, err := op.UserInfo(j.context(ctx), oauth2.StaticTokenSource(tokens))
	if err != nil {
		return unavailable("userinfo", err)
	}
	var raw json.RawMessage
	if err := info.Claims(&raw); err != nil {
		return unavailable("userinfo", err)
	}
	more, err := read(raw)
	if err := j.must(err == nil, "userinfo", "claims that read in one way", fmt.Sprint(err)); err != nil {
		return err
	}
	if err := j.check(CodeInvalid, "userinfo sub", more["sub"] == any(id.Subject), id.Subject, token{claims: more}.said("sub")); err != nil {
		return err
	}
	if _, there := id.Values["email"]; there {
		delete(more, "email_verified")
	} else {
		delete(id.Values, "email_verified")
	}
	maps.Copy(more, id.Values)
	id.Values = more
	return nil
}

// lacks reports whether something that is wanted is not in the ID token. A name with
// dots reaches into an object, unless it is one as it stands.
func (j *judgement) lacks(claims map[string]any) bool {
	for _, name := range append([]string{"email", "name"}, j.Wanted...) {
		head, _, _ := strings.Cut(name, ".")
		_, whole := claims[name]
		_, object := claims[head]
		if !whole && !object {
			return true
		}
	}
	return false
}
