package session

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func (b *browser) begin(query string) string {
	b.h.t.Helper()
	w, r := httptest.NewRecorder(), b.request()
	id, err := b.h.BeginSignIn(w, r, b.h.site(b.path), store.SignIn{Query: query})
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.take(w)
	return id
}

func (b *browser) flow(id string) (store.SignIn, error) {
	return b.h.SignIn(b.request(), b.h.site(b.path), id)
}

func TestASignInTravelsSealedInItsCookie(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser("")
	id := b.begin("client_id=desk&state=s3cret")
	got, err := b.flow(id)
	if err != nil {
		t.Fatal(err)
	}
	want := store.SignIn{ID: id, Query: "client_id=desk&state=s3cret", IP: "203.0.113.7", Started: h.now, Expires: h.now.Add(FlowLifetime)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got.AgentID, got.AMR, got.AuthTime = "ana", []string{"pwd"}, h.now
	w := httptest.NewRecorder()
	if err := h.UpdateSignIn(w, b.request(), h.site(""), got); err != nil {
		t.Fatal(err)
	}
	b.take(w)
	again, err := b.flow(id)
	if diff := cmp.Diff(got, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
	h.pass(FlowLifetime)
	if _, err := b.flow(id); !errors.Is(err, ErrNoFlow) {
		t.Errorf("after its time: %v", err)
	}
}

func TestASignInBelongsToItsBrowserSiteAndId(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser("")
	id := b.begin("a=1")
	other := b.begin("a=2")
	name, otherName := "__Host-flow-"+id, "__Host-flow-"+other
	if _, err := h.browser("").flow(id); !errors.Is(err, ErrNoFlow) {
		t.Errorf("another browser: %v", err)
	}
	acme := h.browser("acme")
	acme.cookies["x"] = &http.Cookie{Name: name + ".acme", Value: b.cookies[name].Value}
	if _, err := acme.flow(id); !errors.Is(err, ErrNoFlow) {
		t.Errorf("another site: %v", err)
	}
	value := b.cookies[name].Value
	for what, v := range map[string]string{
		"another flow's": b.cookies[otherName].Value, "changed": value[:60] + "AAAA" + value[64:], "cut": value[:len(value)-4], "short": "AAAA", "junk": "%%%", "empty": "",
	} {
		b.cookies[name] = &http.Cookie{Name: name, Value: v}
		if _, err := b.flow(id); !errors.Is(err, ErrNoFlow) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, id := range []string{"", "../x", strings.Repeat("A", 22), strings.Repeat("A", 1<<16)} {
		if _, err := b.flow(id); !errors.Is(err, ErrNoFlow) {
			t.Errorf("id %.30q: %v", id, err)
		}
	}
}

func TestABrowserHasAtMostFiveSignInsUnderWay(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser("")
	b.cookies["junk"] = &http.Cookie{Name: "__Host-flow-junk", Value: "junk"}
	var ids []string
	for range 12 {
		ids = append(ids, b.begin("a=1"))
		h.pass(time.Second)
	}
	delete(b.cookies, "junk")
	if len(b.cookies) > maxFlows {
		t.Errorf("%d cookies", len(b.cookies))
	}
	for i, id := range ids {
		if _, err := b.flow(id); (err == nil) != (i >= len(ids)-maxFlows) {
			t.Errorf("flow %d: %v", i, err)
		}
	}
	w := httptest.NewRecorder()
	h.EndSignIn(w, b.request(), ids[11])
	b.take(w)
	if _, err := b.flow(ids[11]); !errors.Is(err, ErrNoFlow) {
		t.Errorf("ended: %v", err)
	}
}

func TestARequestThatNoCookieCanHoldIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser("")
	b.begin("request=" + strings.Repeat("x", 2500))
	for name, c := range b.cookies {
		if len(name)+len(c.Value) > 4000 {
			t.Errorf("a cookie of %d bytes", len(name)+len(c.Value))
		}
	}
	_, err := h.BeginSignIn(httptest.NewRecorder(), b.request(), h.site(""), store.SignIn{Query: strings.Repeat("x", 4000)})
	if !errors.Is(err, ErrFlowTooLarge) {
		t.Error(err)
	}
}
