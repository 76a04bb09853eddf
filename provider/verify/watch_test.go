package verify_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

// endOf waits for a watch and says how it ended and after how long.
func endOf(ended <-chan verify.Ended) (end verify.Ended, told bool, after time.Duration) {
	began := time.Now()
	end, told = <-ended
	return end, told, time.Since(began)
}

func TestWatchEndsWithinASecondOfTheRevocation(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		mine := c.Watch(t.Context(), verified(t, c, issuer.Token(nil)))
		other := c.Watch(t.Context(), verified(t, c, issuer.Token(verifytest.Claims{"sid": "session-2"})))
		time.Sleep(time.Minute)
		issuer.Revoke(verifytest.Revocation{SID: "session-1", Reason: "role_lost"})
		end, told, after := endOf(mine)
		if !told || end != (verify.Ended{Reason: policy.ReasonRevoked, Detail: "role_lost"}) || after > time.Second {
			t.Errorf("%+v %v after %s", end, told, after)
		}
		if _, told := <-mine; told {
			t.Error("it ended twice")
		}
		select {
		case end := <-other:
			t.Errorf("another session ended: %+v", end)
		default:
		}
	})
}

func TestWatchEndsWhenTheTokenExpires(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		end, told, after := endOf(c.Watch(t.Context(), verified(t, c, issuer.Token(nil))))
		if !told || end.Reason != policy.ReasonTokenExpired || after != 5*time.Minute {
			t.Errorf("%+v %v after %s", end, told, after)
		}
	})
}

func TestWatchEndsWhenTheClientIsStaleAndDenies(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		token := verified(t, c, issuer.Token(nil))
		ended := c.Watch(t.Context(), token)
		issuer.Silence()
		end, told, after := endOf(ended)
		if !told || end.Reason != policy.ReasonStale || after > 32*time.Second {
			t.Errorf("%+v %v after %s", end, told, after)
		}
		if end, told, after := endOf(c.Watch(t.Context(), token)); !told || end.Reason != policy.ReasonStale || after > 0 {
			t.Errorf("a new watch: %+v %v after %s", end, told, after)
		}
	})
}

func TestWatchOfATokenRevokedBeforehandEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		token := verified(t, c, issuer.Token(nil))
		issuer.Revoke(verifytest.Revocation{All: true})
		time.Sleep(time.Second)
		if end, told, after := endOf(c.Watch(t.Context(), token)); !told || end.Reason != policy.ReasonRevoked || after > 0 {
			t.Errorf("%+v %v after %s", end, told, after)
		}
	})
}

func TestWatchIsClosedWithoutAVerdictByItsContextAndByClose(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		token := verified(t, c, issuer.Token(nil))
		ctx, cancel := context.WithCancel(t.Context())
		first, second := c.Watch(ctx, token), c.Watch(t.Context(), token)
		cancel()
		if _, told, after := endOf(first); told || after > 0 {
			t.Error("a cancelled watch told something")
		}
		c.Close()
		if _, told, after := endOf(second); told || after > 0 {
			t.Error("a closed client told something")
		}
		if _, told, _ := endOf(c.Watch(t.Context(), token)); told {
			t.Error("a closed client watches")
		}
	})
}

func TestWatchOfATokenThatNobodyVerifiedEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, issuer *verifytest.Issuer) {
		c := issuer.Client(t)
		for _, token := range []*verify.Token{nil, {}, verified(t, issuer.Client(t), issuer.Token(nil))} {
			if end, _, _ := endOf(c.Watch(t.Context(), token)); end.Reason != policy.ReasonTokenUnverified {
				t.Errorf("%+v", end)
			}
		}
	})
}

func TestTenThousandSocketsAreToldOfOneEventInASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		token := verified(t, c, issuer.Token(nil))
		var all []<-chan verify.Ended
		for range 10_000 {
			all = append(all, c.Watch(t.Context(), token))
		}
		issuer.Revoke(verifytest.Revocation{Subject: "ana"})
		began := time.Now()
		for _, ended := range all {
			if end := <-ended; end.Reason != policy.ReasonRevoked {
				t.Fatalf("%+v", end)
			}
		}
		if time.Since(began) > time.Second {
			t.Errorf("it took %s", time.Since(began))
		}
	})
}
