package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the documents that are made from the code")

const (
	settingsDoc   = "../../docs/settings.md"
	settingsBegin = "<!-- settings: made by go test ./cmd/chatelaine -run EverySetting -update -->\n"
	settingsEnd   = "<!-- end -->\n"
)

// settingsTable is the table of docs/settings.md.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| setting | environment | flag | default | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range settings() {
		env := "`" + s.env() + "`"
		if s.secret() && s.name != "master_key" {
			env += " or `" + s.env() + "_FILE`"
		}
		flag, def := "`--"+s.flag()+"`", "–"
		if s.name == "master_key" {
			flag = "none"
		}
		if s.def != "" {
			def = "`" + s.def + "`"
		}
		kind := ""
		if s.kind() == "list" {
			kind = " A list."
		}
		doc := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(s.doc)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s%s |\n", s.name, env, flag, def, doc, kind)
	}
	return b.String()
}

func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(settingsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(raw), settingsBegin)
	table, after, ended := strings.Cut(rest, settingsEnd)
	if !begun || !ended {
		t.Fatalf("%s has no table between %q and %q", settingsDoc, settingsBegin, settingsEnd)
	}
	want := settingsTable()
	if *update {
		if err := os.WriteFile(settingsDoc, []byte(before+settingsBegin+want+settingsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(table, "\n")); diff != "" {
		t.Errorf("docs/settings.md is not what the code says (go test ./cmd/chatelaine -run EverySetting -update mends it):\n%s", diff)
	}
}
