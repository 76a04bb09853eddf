package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// members reads one JSON object, its names exactly as written. It refuses what
// encoding/json alone would settle silently: a name given twice, trailing data,
// bytes that are not UTF-8.
func members(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	out := make(map[string]json.RawMessage, 24)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("not well-formed JSON")
		}
		key, _ := name.(string)
		if _, twice := out[key]; twice {
			return nil, errors.New("a member is given twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("not well-formed JSON")
		}
		out[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("not well-formed JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return out, nil
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
