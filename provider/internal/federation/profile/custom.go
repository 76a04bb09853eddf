package profile

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
)

// custom are the fields of a site's own, in the types that the mapping gives them.
func (m *mapping) custom() (list []Custom, err error) {
	for _, f := range m.fields {
		name, ok := strings.CutPrefix(f.Field, "custom.")
		if !ok {
			continue
		}
		values, from := m.find(f.Field)
		if len(values) == 0 {
			continue
		}
		if len(list) == MaxCustom {
			return nil, fmt.Errorf("%w: more than %d fields of the site's own", ErrValue, MaxCustom)
		}
		v, ok := typed(f.Type, values)
		if !ok {
			m.check("attribute "+from, false, "a "+orString(f.Type), "something else")
			return nil, fmt.Errorf("%w: %s is no %s", ErrValue, from, orString(f.Type))
		}
		text, err := json.Marshal(v)
		if err != nil || len(text) > MaxValue {
			return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrValue, from, MaxValue)
		}
		list = append(list, Custom{name, string(text)})
	}
	arrange.By(list, func(a, b Custom) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func orString(kind string) string {
	if kind == "" {
		return "string"
	}
	return kind
}

func typed(kind string, values []any) (any, bool) {
	if kind == "list" {
		list := []string{}
		for _, v := range values[:min(len(values), MaxValues)] {
			text, ok := scalar(v)
			if !ok || !fit(text) {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	text, ok := scalar(values[0])
	if !ok || !fit(text) {
		return nil, false
	}
	switch kind {
	case "number":
		n, err := strconv.ParseFloat(text, 64)
		if !json.Valid([]byte(text)) { // 0x1p4, 1_000, +1
			return nil, false
		}
		return json.Number(strconv.FormatFloat(n, 'f', -1, 64)), err == nil && n-n == 0 // neither infinite nor NaN
	case "boolean":
		return text == "true" || text == "1", text == "true" || text == "1" || text == "false" || text == "0"
	}
	return text, true
}
