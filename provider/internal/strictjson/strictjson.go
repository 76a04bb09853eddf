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
	"strings"
	"unicode"
)

// MaxDepth is how deeply values may be nested.
const MaxDepth = 16

// Unmarshal is json.Unmarshal for such a value. Members that differ in case alone are
// one member twice: encoding/json puts both into one field.
func Unmarshal(raw []byte, into any) error {
	if err := check(raw, fold); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// Check returns what keeps raw from being read in one way only; nil for nothing. It is
// for what is read into maps, where case counts.
func Check(raw []byte) error { return check(raw, func(name string) string { return name }) }

func check(raw []byte, same func(string) string) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := unique(d, 0, same); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is something behind the JSON value")
	}
	return nil
}

// fold is the same for all names that encoding/json takes for one.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// unique reads one value and refuses members that are the same.
func unique(d *json.Decoder, depth int, same func(string) string) error {
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
			key := same(name.(string))
			if seen[key] {
				return fmt.Errorf("JSON member %.50q is given twice", name)
			}
			seen[key] = true
		}
		if err := unique(d, depth+1, same); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
