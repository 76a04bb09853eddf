package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
)

// oneSite is a file whose lists are these.
func oneSite(lists string) string {
	return "sites:\n  - path: \"\"\n    " + strings.ReplaceAll(lists, "\n", "\n    ") + "\n"
}

const (
	secretA = `"secret-a-0123456789-abcdefghijklmn"`
	opX     = `kind: oidc, for: agents, issuer: "https://op.example", client_id: x`
	portalX = `kind: jwt, for: agents, login_url: "https://x.example/in"`
)

func certificate(t *testing.T, from, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := saml.NewCertificate(key, "idp", from, until)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// quoted is a text as YAML takes it.
func quoted(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}

func shortRSA(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err)
	}
	raw, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: raw}))
}

func TestConnectionsThatCannotBeAreRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	now := time.Now()
	for connections, say := range map[string]string{
		`[{id: "a/b", ` + opX + `}]`:                                         "line 3: a connection needs an id of 1 to 40",
		`[{id: A, ` + opX + `}]`:                                             "needs an id",
		`[{id: "-a", ` + opX + `}]`:                                          "needs an id",
		`[{id: ` + strings.Repeat("a", 41) + `, ` + opX + `}]`:               "needs an id",
		`[{id: a, for: agents}]`:                                             "is new: it needs kind",
		`[{id: a, kind: ldap, for: agents}]`:                                 `kind: "ldap" is not one of saml, jwt, oidc`,
		`[{id: a, kind: oidc, for: bots}]`:                                   `for: "bots" is not one of agents, visitors`,
		`[{id: a, ` + opX + `}, {id: a, ` + opX + `}]`:                       "connection a is named twice",
		`[{id: a, ` + opX + `, nmae: x}]`:                                    `"nmae" is not known here`,
		`[{id: a, ` + portalX + `, metadata_url: "https://x.example/"}]`:     "metadata_url is for kind saml, and this one is jwt",
		`[{id: a, ` + opX + `, keys: []}]`:                                   "keys is for kind jwt, and this one is oidc",
		`[{id: a, kind: saml, for: agents, client_secret: ` + secretA + `}]`: "client_secret is for kind oidc, and this one is saml",
		`[{id: a, kind: jwt, for: visitors, keys: [{secret: ` + secretA + `}], create: true, enforce: true}]`:                                                                  "create is for connections of agents, and this one is for visitors",
		`[{id: a, ` + portalX + `, user_hash: true}]`:                                                                                                                          "user_hash is for connections of visitors",
		`[{id: a, kind: jwt, for: visitors, user_hash: true, keys: [{secret: ` + secretA + `}]}]`:                                                                              "user_hash needs a key of its own",
		`[{id: a, kind: jwt, for: visitors, keys: [{secret: ` + secretA + `, use: user_hash}]}]`:                                                                               "stands beside user_hash: true",
		`[{id: a, kind: jwt, for: visitors, user_hash: true, keys: [{kid: t, secret: ` + secretA + `}, {kid: h, secret: ` + secretA + `, use: user_hash}]}]`:                   "verifies nothing else",
		`[{id: a, kind: jwt, for: visitors, user_hash: true, keys: [{secret: ` + secretA + `, use: user_hash}]}, {id: b, ` + portalX + `, keys: [{secret: ` + secretA + `}]}]`: "shares a secret with connection",
		`[{id: a, kind: jwt, for: visitors, user_hash: true, keys: [{secret: ` + secretA + `, use: user_hash, alg: HS256}]}]`:                                                  "without alg",
		`[{id: a, kind: jwt, for: visitors, user_hash: true, keys: [{secret: ` + secretA + `, use: sig}]}]`:                                                                    "is not one of user_hash",
		`[{id: a, ` + opX + `, domains: ["not a domain"]}]`:                                                                                                                    `"not a domain" is not a domain name`,
		`[{id: a, ` + opX + `, create: true}]`:                                                                                                                                 "create needs domains",
		`[{id: a, ` + opX + `, skew_seconds: 301}]`:                                                                                                                            "skew_seconds: 301 is not between 0 and 300",
		`[{id: a, ` + opX + `, role_map: {x: ghosts}}]`:                                                                                                                        `role_map: there is no role "ghosts"`,
		`[{id: a, ` + opX + `, role_map: {x: [agents, administrators]}}]`:                                                                                                      "single sign-on never makes an administrator",
		`[{id: a, ` + opX + `, department_map: {x: ghosts}}]`:                                                                                                                  `department_map: there is no department "ghosts"`,
		`[{id: a, ` + opX + `, attributes: {password: p}}]`:                                                                                                                    `there is no field "password"`,
		`[{id: a, ` + opX + `, attributes: {custom.x: p}}]`:                                                                                                                    `there is no field "custom.x"`,
		`[{id: a, ` + opX + `, attributes: {name: {type: number, from: n}}}]`:                                                                                                  "only custom fields have a type",
		`[{id: a, ` + opX + `, attributes: {email: {constant: "e@acme.example"}}}]`:                                                                                            "everybody would be the same person",
		`[{id: a, ` + opX + `, attributes: {email_verified: {constant: "true"}}}]`:                                                                                             "cannot be constant",
		`[{id: a, ` + opX + `, attributes: {email: {form: mail}}}]`:                                                                                                            `"form" is not known here; known are from, constant, type`,
		`[{id: a, ` + opX + `, attributes: {email: []}}]`:                                                                                                                      "says neither from nor constant",
		`[{id: a, ` + opX + `, attributes: {email: a, email: b}}]`:                                                                                                             `"email" is given twice`,
		`[{id: a, kind: oidc, for: agents, client_id: x}]`:                                                                                                                     "needs issuer and client_id",
		`[{id: a, kind: oidc, for: agents, client_id: x, issuer: "http://op.example"}]`:                                                                                        "is not an https URL",
		`[{id: a, kind: oidc, for: agents, client_id: x, issuer: "http://127.0.0.1:9"}]`:                                                                                       "for houses whose public_url is on loopback",
		`[{id: a, kind: oidc, for: agents, client_id: x, issuer: "https://10.0.0.1"}]`:                                                                                         "10.0.0.1 is no public address",
		`[{id: a, kind: oidc, for: agents, client_id: x, issuer: "https://[::ffff:127.0.0.1]"}]`:                                                                               "no public address",
		`[{id: a, kind: saml, for: agents, metadata_url: "https://169.254.169.254/latest"}]`:                                                                                   "no public address",
		`[{id: a, kind: oidc, for: agents, client_id: x, issuer: "https://login.microsoftonline.com/common/v2.0"}]`:                                                            "issuer:",
		`[{id: a, ` + opX + `, client_secret: short}]`:                                                                                                                         "client_secret has fewer than 32 characters",
		`[{id: a, ` + opX + `, token_endpoint_auth_method: private_key_jwt}]`:                                                                                                  "is not one of client_secret_basic, client_secret_post, none",
		`[{id: a, ` + opX + `, token_endpoint_auth_method: none, client_secret: "a-secret-0123456789-abcdefghijkl"}]`:                                                          "there is no client_secret",
		`[{id: a, ` + opX + `, prompt: none}]`:                                                                                                                                 "prompt:",
		`[{id: a, ` + opX + `, scopes: ["a b"]}]`:                                                                                                                              `"a b" is not a scope`,
		`[{id: a, ` + opX + `}, {id: b, ` + opX + `}]`:                                                                                                                         "has the same issuer https://op.example and client_id x as connection",
		`[{id: a, ` + portalX + `}]`:                                                                                                                                           "needs keys or jwks_url",
		`[{id: a, kind: jwt, for: agents, keys: [{secret: ` + secretA + `}]}]`:                                                                                                 "needs login_url",
		`[{id: a, ` + portalX + `, keys: [{kid: k, secret: short}]}]`:                                                                                                          `key "k": secret has 5 bytes, and 32 are the least`,
		`[{id: a, ` + portalX + `, keys: [{secret: "` + strings.Repeat("x", 40) + `"}]}]`:                                                                                      "over and over",
		`[{id: a, ` + portalX + `, keys: [{kid: k}]}]`:                                                                                                                         `key "k" is new and needs a secret or a public_key`,
		`[{id: a, ` + portalX + `, keys: [{kid: k, secret: ` + secretA + `, public_key: x}]}]`:                                                                                 "not both",
		`[{id: a, ` + portalX + `, keys: [{kid: k, secret: ` + secretA + `, alg: RS256}]}]`:                                                                                    "alg RS256 is not of this kind of key",
		`[{id: a, ` + portalX + `, keys: [{kid: k, secret: ` + secretA + `}, {kid: k, secret: ` + secretA + `}]}]`:                                                             "is named twice",
		`[{id: a, ` + portalX + `, keys: [{public_key: ` + quoted(shortRSA(t)) + `}]}]`:                                                                                        "must be RSA of 2,048",
		`[{id: a, ` + portalX + `, keys: [{public_key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}]}]`:                                                     "private key and not a PUBLIC KEY",
		`[{id: a, ` + portalX + `, keys: [{secret: ` + secretA + `}], dialect: acme}]`:                                                                                         "is not one of zendesk, comm100",
		`[{id: a, ` + portalX + `, dialect: zendesk, jwks_url: "https://acme.example/jwks"}, {id: b, kind: jwt, for: visitors, dialect: zendesk, jwks_url: "https://acme.example/jwks"}]`: "shares a key with connection",
		`[{id: a, ` + portalX + `, dialect: comm100, keys: [{secret: ` + secretA + `}]}, {id: b, kind: jwt, for: visitors, keys: [{secret: ` + secretA + `}]}]`:                           "shares a key with connection",
		`[{id: a, ` + portalX + `, dialect: zendesk, keys: [{secret: ` + secretA + `}]}, {id: b, ` + opX + `, client_secret: ` + secretA + `}]`:                                           "connection b: shares a key with connection a",
		`[{id: a, ` + opX + `, client_secret: ` + secretA + `}, {id: b, ` + portalX + `, dialect: zendesk, keys: [{secret: ` + secretA + `}]}]`:                                           "connection b: shares a key with connection a",
		`[{id: a, kind: jwt, for: agents, login_url: "javascript:alert(1)", keys: [{secret: ` + secretA + `}]}]`:                                                                          "is not an https URL",
		`[{id: a, kind: jwt, for: agents, login_url: "https://x.example/#f", keys: [{secret: ` + secretA + `}]}]`:                                                                         "has a fragment",
		`[{id: a, kind: saml, for: agents}]`: "needs metadata_url, metadata_xml, or sso_url",
		`[{id: a, kind: saml, for: agents, metadata_url: "https://i.example/", metadata_xml: "<x/>"}]`:                                                                                 "give one of metadata_url and metadata_xml",
		`[{id: a, kind: saml, for: agents, metadata_xml: "<x/>"}]`:                                                                                                                     "metadata_xml cannot be used",
		`[{id: a, kind: saml, for: agents, metadata_xml: "<!DOCTYPE x><x/>"}]`:                                                                                                         "metadata_xml cannot be used",
		`[{id: a, kind: saml, for: agents, sso_url: "https://i.example/"}]`:                                                                                                            "sso_url needs entity_id and certificates",
		`[{id: a, kind: saml, for: agents, sso_url: "https://i.example/", entity_id: i, certificates: [x]}]`:                                                                           "certificates: number 1 is",
		`[{id: a, kind: saml, for: agents, metadata_url: "https://i.example/", slo_url: "https://i.example/out"}]`:                                                                     "stand beside sso_url",
		`[{id: a, kind: saml, for: agents, sso_url: "https://i.example/", entity_id: i, certificates: [` + quoted(certificate(t, now.Add(-48*time.Hour), now.Add(-time.Hour))) + `]}]`: "its only certificate is not valid now",
		`[{id: a, ` + opX + `, domains: [acme.example], enforce: true}]`:                                                                                                               "enforce needs a rehearsal first",
		`[{id: a, ` + opX + `, default: true}, {id: b, kind: oidc, for: agents, issuer: "https://o2.example", client_id: x, default: true}]`:                                           "default is connection",
	} {
		h.refused("apply", "", oneSite("connections: "+connections), "usage", say)
	}
	for visitors, say := range map[string]string{
		`{sign_in: sometimes}`:                      "is not one of off, optional, required",
		`{token_minutes: 61}`:                       "61 is not between 1 and 60",
		`{token_minutes: 0}`:                        "0 is not between 1 and 60",
		`{origins: ["http://shop.example"]}`:        "is not https",
		`{origins: ["https://shop.example/"]}`:      "has more than scheme, host and port",
		`{origins: ["https://shop.example?x"]}`:     "has more than scheme",
		`{origins: ["https://u@shop.example"]}`:     "has more than scheme",
		`{origins: ["https://*.shop.example"]}`:     "is not an origin",
		`{origins: [shop.example]}`:                 "is not an origin",
		`{origins: ["null"]}`:                       "is not an origin",
		`{origins: ["https://shop.example:"]}`:      "has a port without a number",
		`{origins: ["https://shop.example:0"]}`:     "not between 1 and 65535",
		`{origins: ["https://shop.example:70000"]}`: "not between 1 and 65535",
		`{origins: ["javascript:alert(1)"]}`:        "is not an origin",
	} {
		h.refused("apply", "", oneSite("visitors: "+visitors), "usage", say)
	}
	for ban, say := range map[string]string{
		`{email: e@evil.example}`:                                                "a ban needs a reason",
		`{reason: x}`:                                                            "visitor_bans:",
		`{ip: 10.0.0.300, reason: x}`:                                            "is not an address",
		`{cidr: 203.0.113.7/24, reason: x}`:                                      "without bits outside of it",
		`{ip: 203.0.113.7, cidr: 203.0.113.0/24, reason: x}`:                     "not both",
		`{email: nobody, reason: x}`:                                             "is not an e-mail address",
		`{email: e@evil.example, reason: x, until: tomorrow}`:                    "must be a time such as",
		`{email: e@evil.example, reason: x}, {email: E@evil.example, reason: y}`: "is named twice",
	} {
		h.refused("apply", "", oneSite("visitor_bans: ["+ban+"]"), "usage", say)
	}
	if a := h.do("apply", "", oneSite("visitor_bans: [{email: nobody, reason: x}]")); a.failure == nil || len(a.failure.Faults) != 1 {
		t.Errorf("one fault is told as %+v", a.failure)
	}
	h.view(func(tx store.Tx) error {
		for c := range store.Connections.All(tx, "") {
			t.Errorf("%s was stored", c.ID)
		}
		return nil
	})
}

func (h *house) warnings(file string) []string {
	h.t.Helper()
	a := h.do("apply", "", file)
	if a.failure != nil {
		h.t.Fatalf("%+v", a.failure)
	}
	var out Applied
	if err := json.Unmarshal(a.result, &out); err != nil {
		h.t.Fatal(err)
	}
	return out.Warnings
}

func TestConnectionsThatAreLikelyNotMeantAreWarnedOf(t *testing.T) {
	t.Parallel()
	now := time.Now()
	soon, later := certificate(t, now.Add(-time.Hour), now.Add(10*24*time.Hour)), certificate(t, now.Add(-time.Hour), now.Add(1000*24*time.Hour))
	byHand := func(certificates ...string) string {
		for i := range certificates {
			certificates[i] = quoted(certificates[i])
		}
		return `connections: [{id: a, kind: saml, for: agents, sso_url: "https://i.example/", entity_id: i, certificates: [` + strings.Join(certificates, ", ") + `]}]`
	}
	for lists, say := range map[string]string{
		`connections: [{id: a, ` + opX + `, domains: [other.example]}]`: "other.example is not among the site's domains",
		`connections: [{id: a, ` + opX + `}]`:                           "has no client_secret",
		byHand(soon):                                                    "its last certificate ends on",
		byHand(later, soon):                                             "",
		`connections: [{id: a, ` + portalX + `, allow_get: true, keys: [{secret: ` + secretA + `}]}]`:                          "allow_get lets tokens stand in addresses",
		`connections: [{id: a, kind: jwt, for: visitors, user_hash: true, keys: [{secret: ` + secretA + `, use: user_hash}]}]`: "user_hash never ends",
		`visitors: {anonymous: true}`:                                                         "without origins no page may hold the widget",
		`visitors: {origins: ["https://shop.example"]}`:                                       "so that nobody gets a token",
		`connections: [{id: a, kind: jwt, for: visitors, keys: [{secret: ` + secretA + `}]}]`: "connection a: visitors.sign_in is off",
		`visitors: {sign_in: required, origins: ["https://shop.example"]}`:                    "there is no connection for visitors",
		`visitors: {sign_in: required, anonymous: true, origins: ["https://s.example"]}`:      "anonymous lets nobody in",
		`visitor_bans: [{cidr: 0.0.0.0/0, reason: x}]`:                                        "is everybody",
		`visitor_bans: [{email_domain: gmail.com, reason: x}]`:                                "gives addresses to everybody",
		`visitor_bans: [{email: e@evil.example, reason: x, until: 2020-01-01}]`:               "has ended: it can be removed",
	} {
		got := strings.Join(newHouse(t).warnings(oneSite(lists)), "\n")
		if say == "" && strings.Contains(got, "ends on") || say != "" && !strings.Contains(got, say) {
			t.Errorf("%s: %q does not say %q", lists, got, say)
		}
	}
}

func TestWhatIsForLoopbackIsTakenThereOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.PublicURL = "http://localhost:8080"
	for _, lists := range []string{
		`connections: [{id: a, kind: oidc, for: agents, client_id: x, issuer: "http://127.0.0.1:9000", client_secret: short}]`,
		`connections: [{id: b, kind: saml, for: agents, metadata_url: "http://localhost:9000/metadata"}]`,
		`connections: [{id: c, kind: jwt, for: agents, login_url: "http://localhost:9000/in", jwks_url: "http://localhost:9000/jwks"}]`,
	} {
		h.must("apply", "", oneSite(lists))
	}
	h.refused("apply", "", oneSite(`connections: [{id: d, `+portalX+`, keys: [{secret: short}]}]`), "usage", "32 are the least")
	h.refused("apply", "", oneSite(`connections: [{id: d, kind: saml, for: agents, metadata_url: "http://idp.example/"}]`), "usage", "is not an https URL")
}

func TestOneProviderIsOneConnectionOfEachPopulation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	idp := samltest.New("https://idp.example", time.Now())
	xml := quoted(idp.Metadata())
	h.must("apply", "", oneSite(`connections: [{id: a, kind: saml, for: agents, metadata_xml: `+xml+`}, {id: v, kind: saml, for: visitors, metadata_xml: `+xml+`}]`))
	h.refused("apply", "", oneSite(`connections: [{id: b, kind: saml, for: agents, metadata_xml: `+xml+`}]`), "usage", "as connection a")
	h.refused("apply", "", oneSite(`connections: [{id: b, kind: saml, for: agents, metadata_url: "https://idp.example/m", entity_id: `+quoted(entityIDOf(idp.Metadata()))+`}]`), "usage", "as connection a")
	h.must("apply", "", oneSite(`connections: [{id: u, kind: saml, for: agents, metadata_url: "https://other.example/m"}]`))
	h.refused("apply", "", oneSite(`connections: [{id: w, kind: saml, for: agents, metadata_url: "https://other.example/m"}]`), "usage", "as connection u")
}

func TestACertificateThatEndedSinceItWasAppliedStopsNoServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	now := time.Now()
	h.Now = func() time.Time { return now }
	file := oneSite(`connections: [{id: a, kind: saml, for: agents, sso_url: "https://i.example/", entity_id: i, certificates: [` + quoted(certificate(t, now.Add(-time.Hour), now.Add(time.Hour))) + `]}]`)
	h.must("apply", "", file)
	now = now.Add(2 * time.Hour)
	if got := h.warnings(file); !strings.Contains(strings.Join(got, "\n"), "is not valid now") {
		t.Errorf("warnings %q", got)
	}
}
