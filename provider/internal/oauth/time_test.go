package oauth

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// fosite looks at the wall clock in many places. In a bubble the clock is the
// test's, so that nothing of what we promise hangs on fosite's idea of now.
func TestLifetimesHoldWhateverReadsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFlows(t, storetest.Bolt)
		code := h.code(ask("RP", callback))
		time.Sleep(59 * time.Second)
		a := h.redeem("RP", callback, code)
		if a.Code != http.StatusOK || a.JSON["expires_in"] != 300.0 {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
		late := h.code(ask("RP", callback))
		time.Sleep(60 * time.Second)
		h.redeem("RP", callback, late).wantError(t, http.StatusBadRequest, "invalid_grant")

		first := a.text("refresh_token")
		time.Sleep(11 * time.Hour)
		second := h.refresh("RP", first)
		time.Sleep(9 * time.Second)
		if again := h.refresh("RP", first); again.text("refresh_token") != second.text("refresh_token") {
			t.Errorf("within the grace: %d %s", again.Code, again.Body)
		}
		time.Sleep(time.Second)
		h.refresh("RP", first).wantError(t, http.StatusBadRequest, "invalid_grant")
		h.refresh("RP", second.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
	})
}
