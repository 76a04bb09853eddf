package audit

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestExportsFilterAndAreRecordedThemselves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn, Event{Action: SiteApply, Actor: Ref{"operator", "root"}, Reason: "=HYPERLINK(\"https://evil.example\")"}, Event{Action: ClientCreate, Object: Ref{"client", "desk"}})
	h.seal()
	h.record(Event{Action: ClientUpdate, Object: Ref{"client", "desk"}})
	for name, c := range map[string]struct {
		filter Filter
		want   int
	}{
		"actor":  {Filter{Actor: "operator:root", Action: "site"}, 1},
		"action": {Filter{Action: "client"}, 2},
		"object": {Filter{Object: "desk"}, 2},
		"ip":     {Filter{IP: "203.0.113.77", Action: "sign_in"}, 1},
		"no ip":  {Filter{IP: "203.0.113.7"}, 0},
		"future": {Filter{Since: time.Now().Add(time.Hour)}, 0},
		"past":   {Filter{Until: time.Now().Add(-time.Hour)}, 0},
		"now":    {Filter{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Action: "site"}, 1},
	} {
		var out strings.Builder
		if err := h.Export(t.Context(), "", &out, JSONLines, c.filter, Ref{"operator", "root"}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if out.Len() == 0 {
			lines = nil
		}
		if len(lines) != c.want {
			t.Errorf("%s: %d lines: %s", name, len(lines), out.String())
		}
		for _, l := range lines {
			if !json.Valid([]byte(l)) {
				t.Errorf("%s: %s", name, l)
			}
		}
	}
	if got := h.all(Filter{Action: AuditExport}); len(got) != 8 || got[0].ActorID != "root" {
		t.Errorf("%d exports are recorded", len(got))
	}
	if err := h.Export(t.Context(), "", nil, "xml", Filter{}, Ref{}); !errors.Is(err, ErrFilter) {
		t.Error(err)
	}
	if err := h.Export(t.Context(), "", nil, CSV, Filter{Since: time.Now(), Until: time.Unix(1, 0)}, Ref{}); !errors.Is(err, ErrFilter) {
		t.Error(err)
	}
}

func TestCSVHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, evil := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "|calc", "\t=1", "=cmd|' /C calc'!A0", "\"quoted\",=1"} {
		h.record(Event{Action: SiteApply, Reason: evil, Actor: Ref{"operator", evil}})
	}
	var out strings.Builder
	if err := h.Export(t.Context(), "", &out, CSV, Filter{Action: SiteApply}, Ref{"operator", "root"}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 9 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for _, row := range rows {
		for _, c := range row {
			if c != "" && strings.ContainsAny(c[:1], "=+-@|%\t\r") {
				t.Errorf("a cell begins with %q", c[:1])
			}
		}
	}
}
