package visitor

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestNamesOfAVisitorDoNotGrowWithoutEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	var last said
	for range maxAliases + 1 {
		h.later(10 * time.Second)
		last = h.start(map[string]any{})
		h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": last.text("renew")})
	}
	h.later(10 * time.Second)
	known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	shown, err := h.known.Show(t.Context(), load(h), known.text("visitor_id"))
	if err != nil || len(shown.Aliases) != maxAliases || len(shown.Sessions) != maxSessions {
		t.Errorf("%d names, %d browsers, %v", len(shown.Aliases), len(shown.Sessions), err)
	}
	h.start(map[string]any{"renew": last.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
}

func TestRacersWithOneRenewalTokenOrProofDoNotPart(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		answers := make([]said, 20)
		race := func(body map[string]any) {
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() { answers[i] = h.start(body) })
			}
			wg.Wait()
		}
		race(map[string]any{"renew": a.text("renew")})
		for _, b := range answers {
			v, err := h.x.open(t.Context(), load(h), b.text("renew"), h.now())
			if err != nil || v.Generation != 2 {
				t.Fatalf("%d %s: %+v %v", b.Code, b.Body, v, err)
			}
		}
		verifier := strings.Repeat("v", 43)
		race(map[string]any{"proof": h.proof("shop", verifier, shop), "code_verifier": verifier})
		won := 0
		for _, b := range answers {
			if b.Code == http.StatusOK {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d took the proof", won)
		}
	})
}

func TestWhatIsPlantedByAnotherSiteOrMadeUpIsNothing(t *testing.T) {
	t.Parallel()
	h, other := newHouse(t, storetest.Bolt), newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	foreign := other.start(map[string]any{}).text("renew")
	h.start(map[string]any{"renew": foreign}).want(t, http.StatusBadRequest, "invalid_grant", "")
	a := h.start(map[string]any{"renew": foreign, "identity": h.jwt("shop", "u1", nil)})
	if shown, err := h.known.Show(t.Context(), load(h), a.text("visitor_id")); err != nil || len(shown.Aliases) != 0 {
		t.Errorf("%+v %v", shown, err)
	}
	// A token of the house's own is no renewal token, and the other way round.
	h.start(map[string]any{"renew": a.text("access_token")}).want(t, http.StatusBadRequest, "invalid_grant", "")
	h.start(map[string]any{"identity": a.text("access_token")}).want(t, http.StatusBadRequest, "invalid_grant", "")
}

func TestNothingFromBeforeARestoreIsTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	stranger := h.start(map[string]any{})
	raw := h.jwt("shop", "u1", nil)
	known := h.start(map[string]any{"identity": raw})
	var backup bytes.Buffer
	_, err := store.Backup(t.Context(), h.engine, h.sealer, &backup)
	h.ok(err)
	fresh, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "restored.db"), Now: h.now})
	h.ok(err)
	t.Cleanup(func() { fresh.Close() })
	h.later(time.Second)
	_, err = store.Restore(t.Context(), fresh, h.sealer, bytes.NewReader(backup.Bytes()), h.now())
	h.ok(err)
	h.on(fresh)
	h.ok(h.keys.Ensure(t.Context(), "", keys.EdDSA))
	for _, renew := range []string{stranger.text("renew"), known.text("renew")} {
		h.start(map[string]any{"renew": renew}).want(t, http.StatusBadRequest, "invalid_grant", "")
	}
	h.start(map[string]any{"identity": raw}).want(t, http.StatusBadRequest, "invalid_grant", "token_expired")
	h.later(2 * time.Minute) // the shop's clock may run ahead
	if again := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}); again.text("visitor_id") != known.text("visitor_id") {
		t.Errorf("the visitor is another: %s", again.Body)
	}
}
