package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

func TestAConversationIsHandedOverOnlyOnceTheVisitorHasBecomeAnother(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := &shopChat{issuer.Client(t), &talks{all: map[string]*talk{}}}
	comes := func(raw, before string) *talk {
		token, err := c.client.Token(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/chat/stream?"+url.Values{"talk": {before}}.Encode(), nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		return c.talkOf(r, token)
	}
	visitor := func(sub, sid, assurance string) string {
		return issuer.Token(verifytest.Claims{"sub": sub, "sid": sid, "subject_type": "visitor", "assurance": assurance})
	}
	ann := comes(visitor("ann", "s1", "anonymous"), "")
	c.talks.add(ann, talkLine{From: "visitor", Text: "hello"})

	for name, raw := range map[string]string{"a stranger": visitor("eve", "s2", "anonymous"), "somebody known": visitor("bob", "s3", "signed")} {
		if got := comes(raw, ann.id); got.visitor == "ann" || len(got.said) != 0 {
			t.Errorf("%s reads what is another's: %+v", name, got)
		}
	}
	issuer.Revoke(verifytest.Revocation{SID: "s1", Reason: "visitor_upgraded"})
	nora := visitor("nora", "s4", "federated")
	if got := comes(nora, ann.id); got.visitor != "nora" || len(got.said) != 1 {
		t.Errorf("the conversation does not go on: %+v", got)
	}
	if got := comes(visitor("eve", "s2", "anonymous"), ann.id); len(got.said) != 0 {
		t.Error("it was handed over twice")
	}
	if got := comes(nora, ""); len(got.said) != 1 {
		t.Error("it is lost after a reload")
	}
}

func TestOrdersAreShownToThoseWhomSomebodyVouchesFor(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := &shopChat{issuer.Client(t), &talks{all: map[string]*talk{}}}
	mux := http.NewServeMux()
	c.routes(mux)
	for name, one := range map[string]struct {
		claims verifytest.Claims
		want   int
	}{
		"anonymous": {verifytest.Claims{"subject_type": "visitor", "assurance": "anonymous"}, http.StatusUnauthorized},
		"signed":    {verifytest.Claims{"subject_type": "visitor", "assurance": "signed"}, http.StatusOK},
		"federated": {verifytest.Claims{"subject_type": "visitor", "assurance": "federated"}, http.StatusOK},
		"an agent":  {nil, http.StatusForbidden}, // no sign-in makes one a visitor
	} {
		r := httptest.NewRequest(http.MethodGet, "/chat/orders", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(one.claims))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != one.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
