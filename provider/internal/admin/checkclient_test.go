package admin

import (
	"strings"
	"testing"
)

func TestNoClientIsCalledAsVisitorsTokensSay(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"visitor", "Visitor"} {
		_, faults, _ := read("sites:\n  - path: \"\"\n    clients: [{client_id: "+id+"}]\n", true)
		if !strings.Contains(strings.Join(faults, "\n"), "choose another") {
			t.Errorf("%s: %q", id, faults)
		}
	}
}
