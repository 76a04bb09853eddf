package access

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

func TestJSONThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"duplicate member":        `{"subject":{"id":"a"},"subject":{"id":"b"}}`,
		"duplicate by an escape":  `{"action":{"name":"a","n\u0061me":"b"}}`,
		"trailing value":          `{} {}`,
		"trailing text":           `{}x`,
		"byte order mark":         "\xef\xbb\xbf{}",
		"not a number":            `{"a":NaN}`,
		"invalid UTF-8":           "{\"a\":\"\xff\"}",
		"array":                   `[]`,
		"empty":                   ``,
		"unfinished":              `{"a":`,
		"mismatched":              `{"a":[}`,
		"single quotes":           `{'a':1}`,
		"too deep":                strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20),
		"one hundred thousand":    strings.Repeat("[", 100_000),
		"comma at the end":        `{"a":1,}`,
		"member without a string": `{1:2}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := parseJSON([]byte(body))
			if !errors.Is(err, web.ErrBadRequest) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > 50*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestMemberNamesAreExact(t *testing.T) {
	t.Parallel()
	o, err := parseJSON([]byte(`{"Action":{"name":"x"},"ACTION":1,"action":{"name":"visitor.ban","Name":"site.manage"},"subject":{"type":"agent","id":"a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	q, err := parseQuestion(o, nil)
	if err != nil || q.action != "visitor.ban" {
		t.Errorf("action %q, %v", q.action, err)
	}
}

func TestABodyIsReadOnlyAsJSONAndOnlySoFar(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind, body string
		want       error
	}{
		"text":      {"text/plain", `{}`, web.ErrMediaType},
		"form":      {"application/x-www-form-urlencoded", `{}`, web.ErrMediaType},
		"utf-16":    {"application/json; charset=utf-16", `{}`, web.ErrMediaType},
		"too large": {"application/json", `{"a":"` + strings.Repeat("x", maxBody) + `"}`, web.ErrTooLarge},
		"good":      {"application/json; charset=UTF-8", `{"a":1}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			if _, err := readJSON(r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAQuestionThatLacksSomethingSaysWhat(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"action":{"name":"x"}}`: "subject.type and subject.id, or context.token",
		`{"subject":{"type":"agent"},"action":{"name":"x"},"context":{"token":"t"}}`:                   "subject.type and subject.id together",
		`{"subject":{"type":"agent","id":"a"}}`:                                                        "action.name",
		`{"subject":{"type":"agent","id":"a"},"action":{"name":"x"},"resource":{"type":"chat"}}`:       "resource.type and resource.id together",
		`{"subject":{"type":"agent","id":"a"},"action":{"name":"x"},"context":{"ip":"010.0.0.1"}}`:     "context.ip",
		`{"subject":{"type":"agent","id":"a"},"action":{"name":"x"},"context":{"ip":"fe80::1%eth0"}}`:  "context.ip",
		`{"subject":{"type":"agent","id":"a"},"action":{"name":"x"},"context":{"ip":["203.0.113.7"]}}`: "ip is not a string",
		`{"subject":"agent","action":{"name":"x"}}`:                                                    "subject is not an object",
		`{"subject":{"type":"agent","id":7},"action":{"name":"x"}}`:                                    "id is not a string",
		`{"subject":{"type":"agent","id":"a\u0000"},"action":{"name":"x"}}`:                            "NUL",
	} {
		o, err := parseJSON([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseQuestion(o, nil)
		if !errors.Is(err, web.ErrBadRequest) || !strings.Contains(web.PublicText(err), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"subject":{"type":"agent","id":"a"},"action":{"name":"visitor.ban"},"resource":{"type":"c","id":"1"},"context":{"ip":"::ffff:192.0.2.1","token":"t"}}`))
	f.Add([]byte(`{"evaluations":[{"action":{"name":"x"}},{}],"subject":{"type":"agent","id":"a"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseJSON(body)
		if err != nil {
			return
		}
		questions, _, err := parseBatch(o)
		if err != nil {
			return
		}
		for _, q := range questions {
			if q.action == "" || q.token == "" && q.subjectID == "" {
				t.Errorf("accepted %s", body)
			}
			if q.ip.Is4In6() || q.ip.Zone() != "" {
				t.Errorf("address %v", q.ip)
			}
		}
	})
}
