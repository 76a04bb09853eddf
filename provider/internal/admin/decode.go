package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
)

// maxFile is the most that a site file may have, in bytes: some 50,000 agents.
const maxFile = 16 << 20

// Fault is one thing wrong with a site file.
type Fault struct {
	Line    int    `json:"line,omitempty"` // from 1; 0: the file as a whole
	Message string `json:"message"`
}

// String is the fault as people read it.
func (f Fault) String() string {
	if f.Line == 0 {
		return f.Message
	}
	return fmt.Sprintf("line %d: %s", f.Line, f.Message)
}

// FileError is everything wrong with a site file, by line.
type FileError struct{ Faults []Fault }

// Error names all faults.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return "the site file cannot be applied:\n  " + strings.Join(lines, "\n  ")
}

type faultList []Fault

// add is called in a hundred places: inlined in each, it makes the program 30 KiB larger.
//
//go:noinline
func (f *faultList) add(l line, format string, args ...any) {
	*f = append(*f, Fault{l.n, fmt.Sprintf(format, args...)})
}

// err is nil or a *FileError, in the order of the lines.
func (f faultList) err() error {
	if len(f) == 0 {
		return nil
	}
	arrange.By(f, func(a, b Fault) int { return a.Line - b.Line })
	return &FileError{f}
}

// decodeFile reads a site file strictly: one document, no unknown, doubled or
// mistyped names, no aliases. What cannot be understood is a fault with its
// line; the rest is decoded all the same, so that one run names everything.
func decodeFile(raw []byte) (*siteFile, faultList) {
	var faults faultList
	if len(raw) > maxFile {
		faults.add(line{}, "the file has more than %d MiB", maxFile>>20)
		return nil, faults
	}
	if !utf8.Valid(raw) {
		faults.add(line{}, "the file is not UTF-8")
		return nil, faults
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		faults.add(line{}, "the file is empty")
		return nil, faults
	} else if err != nil {
		faults = append(faults, yamlFault(err))
		return nil, faults
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		faults.add(line{}, "the file holds more than one document")
	}
	file := &siteFile{}
	decoder{&faults}.value(doc.Content[0], reflect.ValueOf(file).Elem(), "the file")
	return file, faults
}

// yamlFault takes the line out of the library's message.
func yamlFault(err error) Fault {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, message, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return Fault{n, message}
			}
		}
	}
	return Fault{0, text}
}

type decoder struct{ faults *faultList }

func (d decoder) fault(n *yaml.Node, format string, args ...any) {
	d.faults.add(line{n.Line}, format, args...)
}

// maxText is the most that one text of the file may have, in bytes.
const maxText = 8 << 10

func (d decoder) value(n *yaml.Node, into reflect.Value, name string) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fault(n, "%s: anchors and aliases are not understood here, write it out", name)
		return
	}
	switch target := into.Addr().Interface().(type) {
	case *longText:
		d.document(n, target, name)
		return
	case *instant:
		d.instant(n, target, name)
		return
	case *attributeList:
		d.attributes(n, target, name)
		return
	case *mappedList:
		d.mapped(n, target, name)
		return
	case *secret:
		if text, ok := d.text(n, name); ok {
			target.set(text)
		}
		return
	case **jsonValue:
		d.json(n, target, name)
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(into.Type().Elem())
		d.value(n, fresh.Elem(), name)
		into.Set(fresh)
	case reflect.Struct:
		d.mapping(n, into, name)
	case reflect.Slice:
		d.list(n, into, name)
	case reflect.String:
		if text, ok := d.text(n, name); ok {
			into.SetString(text)
		}
	default:
		d.scalar(n, into, name)
	}
}

func (d decoder) text(n *yaml.Node, name string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.fault(n, "%s must be a text", name)
	case n.Tag != "!!str":
		d.fault(n, "%s must be a text: put it in quotes", name)
	case len(n.Value) > maxText:
		d.fault(n, "%s is longer than %d bytes", name, maxText)
	case strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		d.fault(n, "%s holds a control character", name)
	default:
		return n.Value, true
	}
	return "", false
}

func (d decoder) scalar(n *yaml.Node, into reflect.Value, name string) {
	wants, words := "!!bool", "true or false"
	if into.Kind() == reflect.Int {
		wants, words = "!!int", "a whole number"
	}
	if n.Kind != yaml.ScalarNode || n.Tag != wants || n.Decode(into.Addr().Interface()) != nil {
		d.fault(n, "%s must be %s", name, words)
	}
}

func (d decoder) list(n *yaml.Node, into reflect.Value, name string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, "%s must be a list", name)
		return
	}
	list := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, list.Index(i), name)
	}
	into.Set(list)
}

func (d decoder) mapping(n *yaml.Node, into reflect.Value, name string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s must be a mapping", name)
		return
	}
	fields := map[string]reflect.Value{}
	var known []string
	for i := range into.NumField() {
		if !into.Type().Field(i).IsExported() {
			continue
		}
		if at, ok := into.Field(i).Addr().Interface().(*line); ok {
			at.n = n.Line
			continue
		}
		key, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("yaml"), ",")
		fields[key] = into.Field(i)
		known = append(known, key)
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, ok := fields[key.Value]
		if first, twice := seen[key.Value]; twice {
			d.fault(key, "%s is given twice, first in line %d", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line
		if !ok || key.Kind != yaml.ScalarNode {
			d.fault(key, "%q is not known here; known are %s", key.Value, strings.Join(known, ", "))
			continue
		}
		d.value(value, field, key.Value)
	}
}

func (d decoder) json(n *yaml.Node, into **jsonValue, name string) {
	var v any
	if n.Kind != yaml.MappingNode || hasAlias(n) {
		d.fault(n, "%s must be a mapping", name)
		return
	}
	if err := n.Decode(&v); err != nil {
		d.fault(n, "%s cannot be read: %v", name, err)
		return
	}
	raw, err := json.Marshal(v)
	if err != nil {
		d.fault(n, "%s is not JSON: its names must be texts", name)
		return
	}
	*into = &jsonValue{raw}
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}
