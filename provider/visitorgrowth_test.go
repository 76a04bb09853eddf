package provider_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// newcomersGrow is for a record that is new, whose lookups each lie on a page of their
// own in a full house.
const newcomersGrow = 3.0

// A house whose visitors have come for years: each record has its four lookups.
const manyVisitors = 1_000_000

func TestAMillionVisitorsMakeNoStartSlower(t *testing.T) {
	if os.Getenv("LONG_TESTS") == "" {
		t.Skip("fills a store with 1,000,000 visitors: LONG_TESTS=1 asks for it")
	}
	empty, full := newVisited(t, 0), newVisited(t, manyVisitors)
	for _, row := range []struct {
		name  string
		limit float64
		times int
		once  func(*visited)
	}{
		{"a stranger's start", readsGrow, 8000, (*visited).stranger},
		{"a stranger's renewal", readsGrow, 8000, (*visited).strangerAgain},
		{"start of one who is known", durableGrow, 800, (*visited).known},
		{"renewal of one who is known", durableGrow, 800, (*visited).knownAgain},
		{"start of one who is new", newcomersGrow, 800, (*visited).newcomer},
	} {
		small, large := time.Hour, time.Hour
		for range 5 { // the least of several runs is the one that others disturbed least
			small = min(small, empty.cpu(row.times/5, func(*grown) { row.once(empty) }))
			large = min(large, full.cpu(row.times/5, func(*grown) { row.once(full) }))
		}
		ratio := float64(large) / float64(small)
		t.Logf("%-28s %8v empty, %8v full: %.2f ×", row.name, small, large, ratio)
		if ratio > row.limit {
			t.Errorf("%s: %.2f × of an empty house, at most %.1f is allowed", row.name, ratio, row.limit)
		}
	}
}

// visited is a house with so many visitors besides those who come now.
type visited struct {
	*grown
	n       int
	renew   string   // a stranger's
	renewed []string // of those who are known, by their number
}

// regulars are those who come again and again: none so often that a rate refuses.
const regulars = 400

func newVisited(t *testing.T, visitors int) *visited {
	t.Helper()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "chatelaine.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	v := &visited{grown: &grown{running: startOn(t, engine, ""), engine: engine}}
	v.widgets()
	now := time.Now()
	began := time.Now()
	if err := storetest.Fill(t.Context(), engine, storetest.Filling{Visitors: visitors, Began: now.Add(-1000 * 24 * time.Hour), Until: now}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d visitors were filled in in %v", visitors, time.Since(began).Round(time.Second))
	v.renew = v.visits(map[string]string{}).Renew
	for i := range regulars {
		v.renewed = append(v.renewed, v.visits(map[string]string{"identity": v.visitorJWT(fmt.Sprint("first-", i), fmt.Sprint("regular-", i))}).Renew)
	}
	return v
}

// visits is a start of the widget's, without a network.
func (v *visited) visits(body map[string]string) (answer visitor) {
	v.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/visitors/start", strings.NewReader(string(raw)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", widgetOrigin)
	if err := json.Unmarshal(v.ask(r), &answer); err != nil {
		v.t.Fatal(err)
	}
	return answer
}

func (v *visited) stranger() { v.visits(map[string]string{}) }

func (v *visited) strangerAgain() { v.renew = v.visits(map[string]string{"renew": v.renew}).Renew }

func (v *visited) known() {
	v.n++
	i := v.n % regulars
	v.renewed[i] = v.visits(map[string]string{"identity": v.visitorJWT(fmt.Sprint("again-", v.n), fmt.Sprint("regular-", i))}).Renew
}

func (v *visited) knownAgain() {
	v.n++
	i := v.n % regulars
	v.renewed[i] = v.visits(map[string]string{"renew": v.renewed[i]}).Renew
}

func (v *visited) newcomer() {
	v.n++
	v.visits(map[string]string{"identity": v.visitorJWT(fmt.Sprint("new-", v.n), fmt.Sprint("newcomer-", v.n))})
}
