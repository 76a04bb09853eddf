package strictjson

import (
	"strings"
	"testing"
)

func TestOnlyWhatReadsInOneWayIsRead(t *testing.T) {
	t.Parallel()
	for _, good := range []string{`{}`, `{"a":{"A":1},"b":2}`, `[1,{"b":[]}]`, ` {"a":null} `} {
		var v any
		if err := Unmarshal([]byte(good), &v); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{`{"kid":1,"KID":2}`, `{"kid":1,"\u212aid":2}`, `{"x":{"s":1,"\u017f":2}}`} { // the Kelvin sign, a long s
		var v any
		if err := Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s was read, though a struct has one field for both", bad)
		}
		if err := Check([]byte(bad)); err != nil {
			t.Errorf("%s, for a map: %v", bad, err)
		}
	}
	for _, bad := range []string{
		``, `{`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"x":[{"b":1,"b":1}]}`, `{} {}`, `{}x`, strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), strings.Repeat("[", 1e6),
	} {
		var v any
		if err := Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%.60s was read", bad)
		}
	}
}
