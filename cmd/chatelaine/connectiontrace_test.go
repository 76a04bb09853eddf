package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestATraceTellsWhatWasNotSentFromWhatFails(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, c := range []check{
		{Name: "audience", OK: true, Got: "us"},
		{Name: "attribute roles", OK: true, Expected: "groups or memberOf", Absent: true},
		{Name: "issuer", Expected: "them", Got: "else"},
	} {
		c.print(&terminal{out: &out})
	}
	want := "  ok    audience             us\n" +
		"  -     attribute roles      not sent; looked for groups or memberOf\n" +
		"  FAILS issuer               expected them\n"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("%s", out.String())
	}
}
