// Package strictjson reads JSON in which every reader sees the same: no member
// twice, nothing behind the value, nothing nested too deeply. encoding/json takes
// the last of two members, and other readers the first.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxDepth is how deeply values may be nested.
const MaxDepth = 16

// Unmarshal is json.Unmarshal for such a value.
func Unmarshal(raw []byte, into any) error {
	if err := Check(raw); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// Check returns what keeps raw from being read in one way only; nil for nothing.
func Check(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := unique(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is something behind the JSON value")
	}
	return nil
}

// unique reads one value and refuses repeated members.
func unique(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	delim, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	if depth == MaxDepth {
		return errors.New("JSON is nested too deeply")
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if seen[name.(string)] {
				return fmt.Errorf("JSON member %.50q is given twice", name)
			}
			seen[name.(string)] = true
		}
		if err := unique(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
