package oauth

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/templates"
)

// metadata is the discovery document of OpenID Connect Discovery 1.0 and of RFC
// 8414. Everything it says is true of this site; what is not there is refused.
type metadata struct {
	Issuer                            string   `json:"issuer"`
	AuthorizationEndpoint             string   `json:"authorization_endpoint"`
	TokenEndpoint                     string   `json:"token_endpoint"`
	UserinfoEndpoint                  string   `json:"userinfo_endpoint"`
	JWKSURI                           string   `json:"jwks_uri"`
	IntrospectionEndpoint             string   `json:"introspection_endpoint"`
	RevocationEndpoint                string   `json:"revocation_endpoint"`
	EndSessionEndpoint                string   `json:"end_session_endpoint"`
	AccessEvaluationEndpoint          string   `json:"access_evaluation_endpoint"`
	AccessEvaluationsEndpoint         string   `json:"access_evaluations_endpoint"`
	AccessRevocationsEndpoint         string   `json:"access_revocations_endpoint"`
	ScopesSupported                   []string `json:"scopes_supported"`
	ClaimsSupported                   []string `json:"claims_supported"`
	ClaimTypesSupported               []string `json:"claim_types_supported"`
	ResponseTypesSupported            []string `json:"response_types_supported"`
	ResponseModesSupported            []string `json:"response_modes_supported"`
	GrantTypesSupported               []string `json:"grant_types_supported"`
	SubjectTypesSupported             []string `json:"subject_types_supported"`
	ACRValuesSupported                []string `json:"acr_values_supported"`
	DisplayValuesSupported            []string `json:"display_values_supported"`
	PromptValuesSupported             []string `json:"prompt_values_supported"`
	UILocalesSupported                []string `json:"ui_locales_supported"`
	IDTokenAlgs                       []string `json:"id_token_signing_alg_values_supported"`
	CodeChallengeMethodsSupported     []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods                  []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs                     []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods          []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgs             []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods             []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs                []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	AuthorizationResponseISSParameter bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameterSupported          bool     `json:"claims_parameter_supported"`
	RequestParameterSupported         bool     `json:"request_parameter_supported"`
	RequestURIParameterSupported      bool     `json:"request_uri_parameter_supported"` // its default is true
	RequireRequestURIRegistration     bool     `json:"require_request_uri_registration"`
}

func metadataOf(s *site.Site, algs, grants []string) metadata {
	var assertion []string
	for _, alg := range assertionAlgs {
		assertion = append(assertion, string(alg))
	}
	secret := []string{authBasic, authPost, authKey}
	all := append(slices.Clone(secret), authNone)
	return metadata{
		Issuer:                            s.Issuer,
		AuthorizationEndpoint:             s.URL("/oauth/authorize"),
		TokenEndpoint:                     s.URL("/oauth/token"),
		UserinfoEndpoint:                  s.URL("/oauth/userinfo"),
		JWKSURI:                           s.URL("/oauth/jwks"),
		IntrospectionEndpoint:             s.URL("/oauth/introspect"),
		RevocationEndpoint:                s.URL("/oauth/revoke"),
		EndSessionEndpoint:                s.URL("/oauth/logout"),
		AccessEvaluationEndpoint:          s.URL("/access/v1/evaluation"),
		AccessEvaluationsEndpoint:         s.URL("/access/v1/evaluations"),
		AccessRevocationsEndpoint:         s.URL("/access/v1/revocations"),
		ScopesSupported:                   scopesSupported(s),
		ClaimsSupported:                   claimsSupported(),
		ClaimTypesSupported:               []string{"normal"},
		ResponseTypesSupported:            []string{"code"},
		ResponseModesSupported:            []string{"query", "form_post"},
		GrantTypesSupported:               grants,
		SubjectTypesSupported:             []string{"public"},
		ACRValuesSupported:                policy.ACRValues(),
		DisplayValuesSupported:            []string{"page"},
		PromptValuesSupported:             []string{"none", "login", "consent", "select_account"},
		UILocalesSupported:                templates.Locales(),
		IDTokenAlgs:                       algs,
		CodeChallengeMethodsSupported:     []string{"S256"},
		TokenAuthMethods:                  all,
		TokenAuthAlgs:                     assertion,
		IntrospectionAuthMethods:          secret,
		IntrospectionAuthAlgs:             assertion,
		RevocationAuthMethods:             all,
		RevocationAuthAlgs:                assertion,
		AuthorizationResponseISSParameter: true,
		ClaimsParameterSupported:          true,
	}
}

// scopesSupported are OpenID Connect's, the house's own, every permission, and
// what the site's resources have added.
func scopesSupported(s *site.Site) []string {
	scopes := []string{scopeOpenID, scopeProfile, scopeEmail, scopeAddress, scopePhone, scopeOffline, scopeRoles, scopeGroups, scopeChat}
	var more []string
	for _, p := range policy.AllPermissions() {
		more = append(more, p.Name)
	}
	for _, r := range s.Resources {
		more = append(more, r.Scopes...)
	}
	slices.Sort(more)
	for _, name := range slices.Compact(more) {
		if !slices.Contains(scopes, name) {
			scopes = append(scopes, name)
		}
	}
	return scopes
}

func claimsSupported() []string {
	return []string{
		"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid",
		"name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo", "updated_at",
		"email", "email_verified", "address", "phone_number", "roles", "groups",
	}
}

var (
	jsonType    = []string{"application/json"}
	cacheMinute = []string{"public, max-age=60"}
)

// discoveryKey holds the algorithms, since a key may become active without the
// site having changed.
type discoveryKey struct{ algs string }

// discovery serves both documents; the bytes are made once a snapshot.
func (o *OAuth) discovery(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	algs, err := o.Keys.Algs(r.Context(), s)
	if err != nil {
		return err
	}
	body, err := s.Cached(discoveryKey{strings.Join(algs, " ")}, func() (any, error) { return json.Marshal(metadataOf(s, algs, o.grantsOf(s))) })
	if err != nil {
		return err
	}
	writePublic(w, cacheMinute, body.([]byte))
	return nil
}

// writePublic answers with ready JSON that caches may keep. The length is said,
// since net/http would send what is over 2 KiB in chunks.
func writePublic(w http.ResponseWriter, cache []string, body []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = jsonType, cache
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.Write(body)
}
