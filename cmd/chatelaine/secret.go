package main

import "fmt"

// secret is a setting that must never be shown: every way to print it gives
// [redacted]. The text is behind a pointer because fmt calls no methods on
// unexported fields of other structs. reveal is the one way to it.
type secret struct{ text *string }

const redacted = "[redacted]"

func (secret) String() string               { return redacted }
func (secret) GoString() string             { return redacted }
func (secret) Format(s fmt.State, _ rune)   { _, _ = s.Write([]byte(redacted)) }
func (secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s secret) empty() bool                { return s.reveal() == "" }
func (s *secret) hide(text string)          { s.text = &text }

func (s secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}
