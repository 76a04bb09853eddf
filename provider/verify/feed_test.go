package verify_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

// bubble runs a test where time passes only when everything waits.
func bubble(t *testing.T, run func(t *testing.T, issuer *verifytest.Issuer)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { run(t, verifytest.New(t)) })
}

func TestRevocationIsHeardWithinASecondByWhateverItNames(t *testing.T) {
	for name, r := range map[string]verifytest.Revocation{
		"jti": {JTI: "family-1.token-1"}, "sid": {SID: "session-1"}, "sub": {Subject: "ana"}, "client": {ClientID: "desk"}, "all": {All: true},
		"family": {JTI: "family-1"}, "jti, before it was issued": {JTI: "family-1.token-1", Before: time.Unix(1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
				c := issuer.Client(t)
				raw := issuer.Token(verifytest.Claims{"jti": "family-1.token-1"})
				other := issuer.Token(verifytest.Claims{"sub": "ben", "sid": "session-2", "client_id": "mobile", "jti": "family-1a.token-1"})
				token := verified(t, c, raw)
				verified(t, c, other)
				r.Reason = "sign_out"
				issuer.Revoke(r)
				time.Sleep(time.Second)
				if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrRevoked) || !strings.Contains(err.Error(), "sign_out") {
					t.Errorf("%v", err)
				}
				if d := token.May("chat.accept", office); d.Reason != policy.ReasonRevoked || d.Allowed {
					t.Errorf("%+v", d)
				}
				if _, err := c.Token(t.Context(), other); (err != nil) != r.All {
					t.Errorf("another's token: %v", err)
				}
			})
		})
	}
}

func TestTokenIssuedAfterTheRevocationIsGood(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		issuer.Revoke(verifytest.Revocation{Subject: "ana"})
		same := issuer.Token(nil)
		time.Sleep(time.Millisecond)
		after := issuer.Token(nil)
		time.Sleep(500 * time.Millisecond)
		if _, err := c.Token(t.Context(), same); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("issued in the millisecond of the event: %v", err)
		}
		verified(t, c, after)
		second := verifytest.Claims{"iat_ms": nil}
		if _, err := c.Token(t.Context(), issuer.Token(second)); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("issued in the second of the event, for all that it says: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
		verified(t, c, issuer.Token(second))
	})
}

func TestAnEndedSessionsTokensAreRefusedWhateverTheClocksSay(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		issuer.Revoke(verifytest.Revocation{SID: "session-1"})
		time.Sleep(5 * time.Second)
		if _, err := c.Token(t.Context(), issuer.Token(nil)); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("by a clock that is ahead: %v", err)
		}
		verified(t, c, issuer.Token(verifytest.Claims{"sid": "session-2"}))
	})
}

func TestLaterEntryOfAnEarlierTimeTakesNothingBack(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c, raw := issuer.Client(t), issuer.Token(nil)
		issuer.Revoke(verifytest.Revocation{Subject: "ana", Reason: "role_lost"})
		issuer.Revoke(verifytest.Revocation{Subject: "ana", Reason: "older", Before: time.Now().Add(-time.Hour)})
		time.Sleep(time.Second)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrRevoked) || !strings.Contains(err.Error(), "role_lost") {
			t.Errorf("%v", err)
		}
	})
}

func TestRevocationsFromBeforeTheClientStartedAreKnownWhenNewReturns(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		raw := issuer.Token(nil)
		issuer.Revoke(verifytest.Revocation{SID: "session-1"})
		for range 500 {
			issuer.Revoke(verifytest.Revocation{SID: "another"})
		}
		c := issuer.Client(t)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("%v", err)
		}
	})
}

func TestLostConnectionIsResumedWithoutMissingAnything(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c, raw := issuer.Client(t), issuer.Token(nil)
		verified(t, c, raw)
		for range 20 {
			issuer.Unavailable(true)
			issuer.Revoke(verifytest.Revocation{SID: "another"})
			time.Sleep(time.Second)
			issuer.Unavailable(false)
			time.Sleep(6 * time.Second)
			verified(t, c, raw)
		}
		issuer.Unavailable(true)
		issuer.Revoke(verifytest.Revocation{SID: "session-1"})
		time.Sleep(10 * time.Second)
		issuer.Unavailable(false)
		time.Sleep(6 * time.Second)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("%v", err)
		}
	})
}

func TestConnectionCutByTheServerIsBackWithinASecond(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c, raw := issuer.Client(t), issuer.Token(nil)
		issuer.Cut()
		issuer.Revoke(verifytest.Revocation{SID: "session-1"})
		time.Sleep(time.Second)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("%v", err)
		}
	})
}

func TestRestoredServerResetsTheReaderAndNothingRevokedComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		before, after := issuer.Token(nil), issuer.Token(verifytest.Claims{"sid": "session-2"})
		for range 10 {
			issuer.Revoke(verifytest.Revocation{SID: "session-1"})
		}
		time.Sleep(time.Second)
		issuer.Renumber()
		issuer.Revoke(verifytest.Revocation{SID: "session-2"})
		time.Sleep(time.Second)
		for _, raw := range []string{before, after} {
			if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrRevoked) {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestSilentFeedMakesTheClientStaleAfterThirtySecondsAndDenies(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		raw := issuer.Token(nil)
		token := verified(t, c, raw)
		time.Sleep(35 * time.Second)
		verified(t, c, raw) // keep-alives are heard
		issuer.Silence()
		time.Sleep(20 * time.Second)
		verified(t, c, raw)
		time.Sleep(11 * time.Second)
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrStale) || !c.Stale() {
			t.Errorf("%v", err)
		}
		if d := token.May("chat.accept", office); d.Reason != policy.ReasonStale || d.Allowed {
			t.Errorf("%+v", d)
		}
		issuer.Speak()
		time.Sleep(time.Second)
		if verified(t, c, raw); c.Stale() {
			t.Error("still stale")
		}
	})
}

func TestStaleClientAllowsWhereItsUserChoseSo(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		options := issuer.Options()
		options.WhenStale = verify.Allow
		c, err := verify.New(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		raw := issuer.Token(nil)
		issuer.Unavailable(true)
		time.Sleep(time.Minute)
		token := verified(t, c, raw)
		if d := token.May("chat.accept", office); !d.Allowed || !c.Stale() {
			t.Errorf("%+v, stale %v", d, c.Stale())
		}
	})
}

func TestClientWithoutTheFeedIsNeverStale(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c, err := verify.New(t.Context(), verify.Options{Issuer: issuer.URL, Audience: verifytest.Audience, HTTPClient: issuer.Options().HTTPClient, WithoutRevocations: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		time.Sleep(time.Minute)
		if verified(t, c, issuer.Token(nil)); c.Stale() {
			t.Error("stale")
		}
	})
}

func TestEntryThatCannotBeReadIsNotSkipped(t *testing.T) {
	for name, data := range map[string]string{
		"names nothing known": `{"tenant":"x","before":1,"expires":2}`, "no before": `{"sid":"s"}`, "not JSON": `hello`,
		"before in words": `{"sid":"s","before":"2026-01-01T00:00:00Z"}`, "before beyond all": `{"all":true,"before":1e300}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
				c := issuer.Client(t)
				issuer.RevokeRaw(data)
				time.Sleep(time.Minute)
				if _, err := c.Token(t.Context(), issuer.Token(nil)); !errors.Is(err, verify.ErrStale) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestEntriesAreForgottenWhenNoTokenTheyNameCanLive(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		long := issuer.Token(verifytest.Claims{"exp": time.Now().Add(time.Hour).Unix()})
		issuer.Revoke(verifytest.Revocation{JTI: "x", Expires: time.Now().Add(time.Minute)})
		issuer.Revoke(verifytest.Revocation{SID: "session-1", Expires: time.Now().Add(time.Hour)})
		time.Sleep(30 * time.Minute)
		if _, err := c.Token(t.Context(), long); !errors.Is(err, verify.ErrRevoked) {
			t.Errorf("an entry went before its time: %v", err)
		}
		raw := issuer.Token(verifytest.Claims{"jti": "x", "sid": "session-2"})
		verified(t, c, raw)
	})
}

func TestNewSaysWhatIsWrongWithTheFeed(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		options := issuer.Options()
		options.ClientSecret = "wrong"
		if _, err := verify.New(t.Context(), options); !errors.Is(err, verify.ErrClientRefused) {
			t.Errorf("a wrong secret: %v", err)
		}
		issuer.Serve("/access/v1/revocations", []byte("{}"))
		if _, err := verify.New(t.Context(), issuer.Options()); !errors.Is(err, verify.ErrUnavailable) || !strings.Contains(err.Error(), "event stream") {
			t.Errorf("another document: %v", err)
		}
		issuer.Serve("/access/v1/revocations", nil)
		issuer.Silence()
		if _, err := verify.New(t.Context(), issuer.Options()); !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("a silent feed: %v", err)
		}
		issuer.Unavailable(true)
		if _, err := verify.New(t.Context(), issuer.Options()); !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("no server: %v", err)
		}
	})
}

func TestClosedClientIsStale(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c, raw := issuer.Client(t), issuer.Token(nil)
		verified(t, c, raw)
		c.Close()
		c.Close()
		if _, err := c.Token(t.Context(), raw); !errors.Is(err, verify.ErrStale) {
			t.Errorf("%v", err)
		}
	})
}

func TestRevocationOverTCPIsHeardWithinASecond(t *testing.T) {
	t.Parallel()
	issuer := verifytest.Start(t)
	c := issuer.Client(t)
	ended := c.Watch(t.Context(), verified(t, c, issuer.Token(nil)))
	began := time.Now()
	issuer.Revoke(verifytest.Revocation{SID: "session-1", Reason: "sign_out"})
	select {
	case end := <-ended:
		if end.Reason != policy.ReasonRevoked || end.Detail != "sign_out" || time.Since(began) > time.Second {
			t.Errorf("%+v after %s", end, time.Since(began))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was heard")
	}
}
