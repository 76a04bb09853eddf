package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// members reads one JSON object, its names exactly as written. It refuses what
// encoding/json alone would settle silently: a name given twice, bytes that are
// not UTF-8.
func members(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(data, &out); err != nil || out == nil {
		return nil, errors.New("not a JSON object")
	}
	if len(out) != countMembers(data) {
		return nil, errors.New("a member is given twice")
	}
	return out, nil
}

// countMembers counts the names of the outer object in well-formed JSON: the
// colons outside strings at its depth.
func countMembers(data []byte) int {
	count, depth, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ':' && depth == 1:
			count++
		}
	}
	return count
}

// field decodes one member. A missing one leaves into alone; null is a fault.
func field(from map[string]json.RawMessage, name string, into any) error {
	raw, ok := from[name]
	if !ok {
		return nil
	}
	if string(raw) == "null" || json.Unmarshal(raw, into) != nil {
		return fmt.Errorf("%q has the wrong form", name)
	}
	return nil
}
