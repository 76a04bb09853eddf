package admin

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
)

// maxDocument is the most that a document in the file may have, in bytes.
const maxDocument = 1 << 20

func (d decoder) document(n *yaml.Node, into *longText, name string) {
	text := strings.TrimPrefix(strings.ReplaceAll(n.Value, "\r\n", "\n"), "\ufeff")
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag != "!!str":
		d.fault(n, "%s must be a text", name)
	case len(text) > maxDocument:
		d.fault(n, "%s is longer than %d bytes", name, maxDocument)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		d.fault(n, "%s holds a control character", name)
	default:
		*into = longText(strings.TrimSpace(text))
	}
}

// instant is a time of the file, as RFC 3339 has it, or a day, of which it is the
// beginning in UTC.
type instant struct{ time.Time }

// MarshalYAML writes it as the file has it.
func (i instant) MarshalYAML() (any, error) { return i.Format(time.RFC3339Nano), nil }

func (d decoder) instant(n *yaml.Node, into *instant, name string) {
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!str" || n.Tag == "!!timestamp") {
		for _, form := range []string{time.RFC3339, time.DateOnly} {
			if at, err := time.Parse(form, n.Value); err == nil {
				into.Time = at.UTC()
				return
			}
		}
	}
	d.fault(n, "%s must be a time such as 2030-01-31T12:00:00Z, or a day such as 2030-01-31", name)
}

// pairs calls fn for each pair of a mapping whose names are not known beforehand.
func (d decoder) pairs(n *yaml.Node, name string, fn func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s must be a mapping", name)
		return
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		text, ok := d.text(key, "a name in "+name)
		if !ok {
			continue
		}
		if first, twice := seen[text]; twice {
			d.fault(key, "%s: %q is given twice, first in line %d", name, text, first)
			continue
		}
		seen[text] = key.Line
		if value.Kind == yaml.AliasNode || value.Anchor != "" {
			d.fault(value, "%s: anchors and aliases are not understood here, write it out", name)
			continue
		}
		fn(key, value)
	}
}

// texts is a text, or a list of them.
func (d decoder) texts(n *yaml.Node, name string) (list []string) {
	if n.Kind == yaml.ScalarNode {
		if text, ok := d.text(n, name); ok {
			return []string{text}
		}
		return nil
	}
	d.value(n, reflect.ValueOf(&list).Elem(), name)
	return list
}

func (d decoder) attributes(n *yaml.Node, into *attributeList, name string) {
	*into = attributeList{}
	d.pairs(n, name, func(key, value *yaml.Node) {
		a := fileAttribute{At: line{key.Line}, field: key.Value}
		if value.Kind == yaml.MappingNode {
			listFrom(value)
			d.mapping(value, reflect.ValueOf(&a).Elem(), name)
		} else {
			a.From = d.texts(value, name+": "+key.Value)
		}
		*into = append(*into, a)
	})
	arrange.By(*into, func(a, b fileAttribute) int { return strings.Compare(a.field, b.field) })
}

// listFrom makes a list of one name in from.
func listFrom(n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := n.Content[i+1]; n.Content[i].Value == "from" && v.Kind == yaml.ScalarNode {
			n.Content[i+1] = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: v.Line, Column: v.Column, Content: []*yaml.Node{v}}
		}
	}
}

func (d decoder) mapped(n *yaml.Node, into *mappedList, name string) {
	*into = mappedList{}
	d.pairs(n, name, func(key, value *yaml.Node) {
		*into = append(*into, fileMapped{line{key.Line}, key.Value, sorted(d.texts(value, fmt.Sprintf("%s: %q", name, key.Value)))})
	})
	arrange.By(*into, func(a, b fileMapped) int { return strings.Compare(a.value, b.value) })
}

// MarshalYAML writes the mapping as the file has it, in its shortest form.
func (l attributeList) MarshalYAML() (any, error) {
	return yamlMapping(l, func(a fileAttribute) (string, any) {
		if a.Constant != nil || a.Type != nil {
			return a.field, a
		}
		return a.field, shortest(a.From)
	})
}

// MarshalYAML writes the mapping as the file has it, in its shortest form.
func (l mappedList) MarshalYAML() (any, error) {
	return yamlMapping(l, func(m fileMapped) (string, any) { return m.value, shortest(m.to) })
}

func shortest(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func yamlMapping[T any](list []T, pair func(T) (string, any)) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, item := range list {
		name, v := pair(item)
		key, value := &yaml.Node{}, &yaml.Node{}
		key.SetString(name)
		if err := value.Encode(v); err != nil {
			return nil, err
		}
		value.Style = yaml.FlowStyle
		if value.Kind == yaml.ScalarNode {
			value.Style = 0
		}
		out.Content = append(out.Content, key, value)
	}
	return out, nil
}
