package provider_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	widgetOrigin = "https://shop.example"
	widgetSecret = "the shop's server and the house know this"
)

// widgets lets a widget in, and makes a connection for its visitors' JWTs.
func (h *running) widgets() {
	h.t.Helper()
	sealed, err := h.sealer.Seal("", store.Connections.Kind, "shop", []byte(widgetSecret))
	if err != nil {
		h.t.Fatal(err)
	}
	shop := store.Connection{
		ID: "shop", Kind: store.ConnectionJWT, For: store.ForVisitors, Name: "Shop", Created: time.Now(), Changed: time.Now(),
		JWT: &store.JWTConnection{Keys: []store.VerificationKey{{KID: "s1", Secret: sealed}}},
	}
	h.write(func(tx store.Tx) error {
		s, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		s.Visitors = store.VisitorRules{Anonymous: true, SignIn: store.SignInOptional, Origins: []string{widgetOrigin}}
		return errors.Join(store.AllSettings.Put(tx, &s), store.Connections.Put(tx, &shop))
	})
}

// visitorJWT is what the shop's server makes.
func (h *running) visitorJWT(jti, sub string) string {
	now := time.Now().Unix()
	payload, err := json.Marshal(map[string]any{"iss": "shop", "aud": h.issuer + "/federation/shop", "sub": sub, "iat": now, "jti": jti, "email": sub + "@buyers.example"})
	if err != nil {
		h.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signing := encode([]byte(`{"alg":"HS256","kid":"s1"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(widgetSecret))
	mac.Write([]byte(signing))
	return signing + "." + encode(mac.Sum(nil))
}

// visitor is the answer to a start.
type visitor struct {
	Token     string `json:"access_token"`
	VisitorID string `json:"visitor_id"`
	Assurance string `json:"assurance"`
	Renew     string `json:"renew"`
	Error     string `json:"error"`
	Reason    string `json:"reason"`
}

// visit starts as the widget does.
func (h *running) visit(body map[string]string) visitor {
	h.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.issuer+"/visitors/start", strings.NewReader(string(raw)))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", widgetOrigin)
	return h.visitorAnswer(req)
}

func (h *running) visitorAnswer(req *http.Request) visitor {
	h.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	var v visitor
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || v.Token == "" && v.Error == "" {
		h.t.Fatalf("%d %s %v", resp.StatusCode, raw, err)
	}
	return v
}

func TestAVisitorIsTrustedUntilTheyTurnOutToBeAnother(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := start(t, on, "")
		h.widgets()
		backend := h.backend()
		stranger := h.visit(map[string]string{})
		token, err := backend.Token(t.Context(), stranger.Token)
		if err != nil || token.Subject != stranger.VisitorID || token.SubjectType != policy.Visitor || token.Assurance != "anonymous" {
			t.Fatalf("%+v %v", token, err)
		}
		if d := token.Admit(office, policy.Demands{Assurance: []string{"signed", "federated"}}); d.Allowed || d.Reason != policy.ReasonStepUp {
			t.Errorf("a stranger where one must be known: %+v", d)
		}
		ended := backend.Watch(t.Context(), token)
		known := h.visit(map[string]string{"identity": h.visitorJWT("j1", "u1"), "renew": stranger.Renew})
		if known.Assurance != "signed" || known.VisitorID == stranger.VisitorID {
			t.Fatalf("%+v", known)
		}
		select {
		case <-ended:
		case <-time.After(3 * time.Second):
			t.Error("the stranger's socket is still open")
		}
		if _, err := backend.Token(t.Context(), known.Token); err != nil {
			t.Error(err)
		}
		if again := h.visit(map[string]string{"renew": stranger.Renew}); again.Error != "invalid_grant" {
			t.Errorf("the stranger's copy: %+v", again)
		}
	})
}

func TestAVisitorJWTIsAGrantAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.widgets()
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {h.visitorJWT("j1", "u1")}}
	ask := func() visitor {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.issuer+"/oauth/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return h.visitorAnswer(req)
	}
	got := ask()
	if _, err := h.backend().Token(t.Context(), got.Token); err != nil || got.Renew != "" {
		t.Errorf("%+v %v", got, err)
	}
	if again := ask(); again.Error != "invalid_grant" || again.Reason != "token_replayed" {
		t.Errorf("again: %+v", again)
	}
}

func TestAVisitorComesBackFromTheCustomersLoginToTheWidget(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newFederated(t, on, func(c *store.Connection) { c.For, c.Domains, c.RoleMap = store.ForVisitors, nil, nil })
		h.widgets()
		verifier := oauth2.GenerateVerifier()
		b := newBrowser(t, h.idp.SSO)
		p := b.get(h.issuer + "/federation/corp/start?" + url.Values{
			"visitor": {"redirect"}, "origin": {widgetOrigin}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
			"state": {"w1"}, "return_to": {widgetOrigin + "/cart"},
		}.Encode())
		if p.away == nil {
			t.Fatalf("not sent away: %d %s", p.status, p.body)
		}
		b.stop = widgetOrigin
		p = b.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, p.away), rajThere))
		if p.away == nil {
			t.Fatalf("not sent back: %d %s", p.status, p.body)
		}
		fragment, err := url.ParseQuery(p.away.Fragment)
		if err != nil || fragment.Get("chatelaine_code") == "" || fragment.Get("chatelaine_state") != "w1" {
			t.Fatalf("sent to %s", p.away)
		}
		proof := map[string]string{"proof": fragment.Get("chatelaine_code"), "code_verifier": verifier}
		got := h.visit(proof)
		token, err := h.backend().Token(t.Context(), got.Token)
		if err != nil || token.Assurance != "federated" {
			t.Fatalf("%+v %v", token, err)
		}
		var claims struct{ Email, Name string }
		if err := token.Claims(&claims); err != nil || claims.Email != "raj@acme.example" {
			t.Errorf("%+v %v", claims, err)
		}
		if again := h.visit(proof); again.Error != "invalid_grant" {
			t.Errorf("again: %+v", again)
		}
	})
}

func TestAVisitorIsFoundByWhatTheCustomerCallsThem(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := start(t, on, "")
		h.widgets()
		mia := h.visit(map[string]string{"identity": h.visitorJWT("j1", "mia")}).VisitorID
		tagged := h.visit(map[string]string{"identity": h.visitorJWT("j2", "mia+news")}).VisitorID
		bo := h.visit(map[string]string{"identity": h.visitorJWT("j3", "bo")}).VisitorID
		if mia == tagged || mia == bo {
			t.Fatal("they are one")
		}
		for _, c := range []struct{ by, name, id string }{{"visitor", mia, mia}, {"external_id", "mia", mia}, {"external_id", "mia+news", tagged}, {"email", "Bo@buyers.example", bo}} {
			if got := h.control("visitors/show", map[string]any{c.by: c.name}, ""); got["id"] != c.id {
				t.Errorf("%s %s is %v, not %s", c.by, c.name, got["id"], c.id)
			}
		}
		for _, c := range []struct {
			in   map[string]any
			says []string
		}{
			{map[string]any{"email": "mia@buyers.example"}, []string{"name one by their id", mia, tagged}},
			{map[string]any{"external_id": "nobody"}, []string{"there is no visitor nobody"}},
			{map[string]any{"email": "nobody"}, []string{"is not an e-mail address"}},
			{map[string]any{}, []string{"name the visitor by their id"}},
			{map[string]any{"external_id": "mia", "email": "bo@buyers.example"}, []string{"name the visitor by their id"}},
		} {
			for _, operation := range []string{"visitors/show", "visitors/erase"} {
				said := h.controlFault(operation, c.in)
				for _, words := range c.says {
					if !strings.Contains(said, words) {
						t.Errorf("%s %v: %q does not say %q", operation, c.in, said, words)
					}
				}
			}
		}
		if got := h.control("visitors/erase", map[string]any{"external_id": "mia"}, ""); got["erased"] != mia {
			t.Errorf("erased %v", got)
		}
		if got := h.control("visitors/show", map[string]any{"email": "mia@buyers.example"}, ""); got["id"] != tagged {
			t.Errorf("after mia is forgotten her address finds %v", got["id"])
		}
		if said := h.controlFault("visitors/show", map[string]any{"external_id": "mia"}); !strings.Contains(said, "there is no visitor") {
			t.Errorf("she is found: %s", said)
		}
	})
}
