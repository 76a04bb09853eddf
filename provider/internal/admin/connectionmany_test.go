package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAThousandConnectionsAreAppliedInSeconds(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("sites:\n  - path: \"\"\n    connections:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "      - {id: c%d, kind: jwt, for: agents, dialect: zendesk, login_url: \"https://x.example/%d\", keys: [{kid: a, secret: \"secret-%04d-0123456789-abcdefghijklmn\"}]}\n", i, i, i)
	}
	h, begin := newHouse(t), time.Now()
	if lines := h.must("apply", "", b.String()); len(lines) < 1000 {
		t.Errorf("%d changes", len(lines))
	}
	if lines := h.must("apply", "", b.String()); len(lines) > 0 {
		t.Errorf("a second run changes %d", len(lines))
	}
	// A second alone, four under the race detector, twenty beside other work; comparing each
	// connection with each other took minutes.
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("it took %s", took)
	} else {
		t.Log(took)
	}
}
