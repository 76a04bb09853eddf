package audit

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// keptElsewhere is a copy of the checkpoint file, out of the owner's reach.
func (h *house) keptElsewhere() []byte {
	h.t.Helper()
	if err := h.checkpoint(h.t.Context(), "", true); err != nil {
		h.t.Fatal(err)
	}
	kept, err := os.ReadFile(h.Checkpoints)
	if err != nil {
		h.t.Fatal(err)
	}
	return kept
}

func TestAFileKeptElsewhereShowsWhatOurOwnNoLongerDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn, signIn)
	h.seal()
	kept := h.keptElsewhere()
	other := newHouse(t) // its owner began anew and has the file of the new one
	other.record(signIn)
	other.seal()
	other.keptElsewhere()
	if r := other.verify(); !r.Whole() {
		t.Fatalf("against its own file: %s", r)
	}
	if r, err := other.VerifyAgainst(t.Context(), "", bytes.NewReader(kept), nil); err != nil || r.Whole() {
		t.Errorf("against the kept one: %v, %s", err, r)
	}
	h.record(signIn)
	h.seal()
	own, err := os.ReadFile(h.Checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := h.VerifyAgainst(t.Context(), "", bytes.NewReader(kept), nil); err != nil || !r.Whole() || r.LastCheckpoint != 2 || r.Entries != 3 {
		t.Errorf("a whole one: %v, %s", err, r)
	}
	if after, err := os.ReadFile(h.Checkpoints); err != nil || !bytes.Equal(own, after) {
		t.Errorf("verifying wrote: %v", err)
	}
}

func TestAFileThatProvesNothingIsNoProof(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn)
	h.seal()
	kept := string(h.keptElsewhere())
	for name, file := range map[string]string{
		"empty":         "",
		"another site":  strings.ReplaceAll(kept, `"site":""`, `"site":"acme"`),
		"no checkpoint": "these\nare\nwords\n",
		"half a line":   kept[:len(kept)/2],
		"one long line": strings.Repeat("x", 3*maxCheckpoint) + "\n",
	} {
		if _, err := h.VerifyAgainst(t.Context(), "", strings.NewReader(file), nil); !errors.Is(err, ErrNoCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := h.VerifyAgainst(t.Context(), "", strings.NewReader(strings.Repeat("x", 3*maxCheckpoint)+"\n"+kept), nil)
	if err != nil || !r.Whole() {
		t.Errorf("after a long line: %v, %s", err, r)
	}
	if r, err = h.VerifyAgainst(t.Context(), "", strings.NewReader(strings.Replace(kept, `"seq":1`, `"seq":2`, 1)), nil); err != nil || r.Whole() {
		t.Errorf("edited: %v, %s", err, r)
	}
}
