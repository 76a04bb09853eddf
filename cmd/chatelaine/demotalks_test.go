package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

func TestAConversationGoesOnWhereTheTokenSaysWhoItsVisitorWas(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	client := issuer.Client(t)
	x := &talks{all: map[string]*talk{}}
	comes := func(sub, was string) *talk {
		claims := verifytest.Claims{"sub": sub, "subject_type": "visitor", "assurance": "federated"}
		if was != "" {
			one := func(sub string) map[string]any {
				return map[string]any{"format": "iss_sub", "iss": issuer.URL, "sub": sub}
			}
			claims["sub_id"] = map[string]any{"format": "aliases", "identifiers": []any{one(sub), one(was)}}
		}
		token, err := client.Token(t.Context(), issuer.Token(claims))
		if err != nil {
			t.Fatal(err)
		}
		return x.of(token)
	}
	x.add(comes("ann", ""), talkLine{From: "visitor", Text: "hello"})
	if got := comes("eve", ""); got.visitor != "eve" || len(got.said) != 0 {
		t.Errorf("a stranger reads what is another's: %+v", got)
	}
	for range 2 { // the tokens that follow say it again
		if got := comes("nora", "ann"); got.visitor != "nora" || len(got.said) != 1 {
			t.Errorf("the conversation does not go on: %+v", got)
		}
	}
	if got := comes("ann", ""); len(got.said) != 0 {
		t.Error("whoever has the old name reads on")
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
