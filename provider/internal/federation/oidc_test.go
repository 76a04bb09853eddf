package federation

import (
	"slices"
	"testing"

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
