package federation

import (
	"slices"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

func TestUserinfoIsAskedForWhatTheConnectionMaps(t *testing.T) {
	t.Parallel()
	to := []store.Mapped{{Value: "a", To: []string{"supervisors"}}}
	for _, c := range []struct {
		conn store.Connection
		want []string
	}{
		{store.Connection{}, nil},
		{store.Connection{RoleMap: to}, []string{"roles"}},
		{store.Connection{RoleMap: to, DepartmentMap: to, Attributes: []store.Attribute{{Field: "roles", From: []string{"groups", "wids"}}}}, []string{"departments", "groups", "wids"}},
	} {
		got := wanted(&c.conn)
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

func TestAnAnswerThatDoesNotSayWhenSomebodyWasAskedIsNotFresh(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		mode  string
		fresh bool
		conn  store.Connection
		asked time.Time
		want  bool
	}{
		"said":                    {modeAgent, true, store.Connection{OIDC: &store.OIDCConnection{}}, now, true},
		"said, too early":         {modeAgent, true, store.Connection{OIDC: &store.OIDCConnection{AssumeFresh: true}}, now.Add(-time.Hour), false},
		"not said":                {modeAgent, true, store.Connection{OIDC: &store.OIDCConnection{}}, time.Time{}, false},
		"not said, as expected":   {modeAgent, true, store.Connection{OIDC: &store.OIDCConnection{AssumeFresh: true}}, time.Time{}, true},
		"not said, nor asked for": {modeAgent, false, store.Connection{OIDC: &store.OIDCConnection{}}, time.Time{}, true},
		"a rehearsal":             {modeRehearse, true, store.Connection{OIDC: &store.OIDCConnection{}}, time.Time{}, true},
		"a login page's":          {modeAgent, true, store.Connection{JWT: &store.JWTConnection{}}, time.Time{}, true},
	} {
		c.conn.For = store.ForAgents
		at := &attempt{conn: &c.conn, flow: &flow{Mode: c.mode, Fresh: c.fresh, Started: now}}
		if err := at.fits(&identity{Asked: c.asked}); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
