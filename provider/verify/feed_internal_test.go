package verify

import (
	"strings"
	"testing"
)

// hear passes the lines of a connection on and says whether it has come to the
// present, and where it would resume.
func hear(t *testing.T, text string) (reached bool, lastID string) {
	t.Helper()
	f := &feed{client: &Client{revoked: newRevocations()}}
	var p progress
	var e event
	for line := range strings.SplitSeq(text, "\n") {
		if e.line(line) {
			if err := f.take(e, &p); err != nil {
				t.Fatal(err)
			}
			e = event{}
		}
	}
	return p.reached, f.lastID
}

func TestConnectionHasComeToThePresentOnlyAfterItsList(t *testing.T) {
	t.Parallel()
	const entry = "event: revocation\ndata: {\"jti\":\"x\",\"expires\":9}\nid: "
	for name, c := range map[string]struct {
		text    string
		reached bool
		lastID  string
	}{
		"nothing":                        {"", false, ""},
		"a comment before ready":         {": hello\n\n", false, ""},
		"an entry before ready":          {entry + "3\n\n", false, "3"},
		"ready, nothing missing":         {"event: ready\nid: 7\ndata: {\"id\":\"7\"}\n\n", true, "7"},
		"ready, a list follows":          {"event: ready\ndata: {\"id\":\"7\"}\n\n", false, ""},
		"half of the list":               {"event: ready\ndata: {\"id\":\"7\"}\n\n" + entry + "6\n\n", false, "6"},
		"the whole list":                 {"event: ready\ndata: {\"id\":7}\n\n" + entry + "6\n\n" + entry + "7\n\n", true, "7"},
		"the last has expired":           {"event: ready\ndata: {\"id\":\"7\"}\n\n" + entry + "6\n\n: keep-alive\n\n", true, "6"},
		"reset to the beginning":         {"event: ready\ndata: {\"id\":\"7\"}\n\nevent: reset\nid: 0\ndata: {}\n\n", false, "0"},
		"ready that says nothing":        {"event: ready\ndata: ?\n\n: keep-alive\n\n", true, ""},
		"events that are not known here": {"event: news\nid: 9\ndata: {}\n\n", false, "9"},
	} {
		if reached, lastID := hear(t, c.text); reached != c.reached || lastID != c.lastID {
			t.Errorf("%s: %v, resumes at %q", name, reached, lastID)
		}
	}
}

// FuzzEntry holds that no event makes the reader panic, and that what it takes
// in names something and has times that are times.
func FuzzEntry(f *testing.F) {
	f.Add(`{"sid":"a","before":1700000000.5,"expires":1700000300,"reason":"sign_out"}`)
	f.Add(`{"all":true,"before":-1}`)
	f.Fuzz(func(t *testing.T, data string) {
		e, err := parseEntry([]byte(data))
		if err != nil {
			return
		}
		if e.JTI == "" && !(e.Before > 0 && e.Before < yearTenThousand) {
			t.Fatalf("%q was taken in as %+v", data, e)
		}
	})
}
