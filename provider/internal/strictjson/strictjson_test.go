package strictjson

import (
	"strings"
	"testing"
)

func TestOnlyWhatReadsInOneWayIsRead(t *testing.T) {
	t.Parallel()
	for _, good := range []string{`{}`, `{"a":{"a":1},"A":2}`, `[1,{"b":[]}]`, ` {"a":null} `} {
		var v any
		if err := Unmarshal([]byte(good), &v); err != nil {
			t.Errorf("%s: %v", good, err)
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
