package mail

import (
	"context"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Whoever has got hold of an account could else fill the mailbox's places with
// mails of something harmless, and then change what the owner has to hear of.
func TestManyMailsOfOneSortKeepNoOtherSortOut(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		m := h.through((&letters{}).take)
		tell := func(kind string) {
			h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error { return m.Notice(ctx, tx, s, ana, kind) }))
		}
		for range maxWaiting + 10 {
			tell(templates.NoticeProfileChanged)
		}
		for _, kind := range []string{templates.NoticeFactorRemoved, templates.NoticePasswordChanged, templates.NoticePasswordChanged} {
			tell(kind)
		}
		waiting := map[string]int{}
		for _, rec := range h.waiting() {
			waiting[rec.Name]++
		}
		if waiting[templates.NoticeProfileChanged] != maxWaiting || waiting[templates.NoticeFactorRemoved] != 1 || waiting[templates.NoticePasswordChanged] != 1 {
			t.Errorf("%v", waiting)
		}
	})
}
