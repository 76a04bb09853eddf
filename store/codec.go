package store

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// codec writes and reads the records of one type in their packed form without
// the JSON in between. What it writes is, to the byte, what pack makes of
// json.Marshal's text. A field that it does not know how to treat goes through
// JSON, as do whole records of a type that it does not understand.
type codec struct{ fields []field }

type field struct {
	name   string
	packed []byte // the name as it is stored
	at     []int  // its place in the struct
	absent func(reflect.Value) bool
	way
}

// way is how values of a Go type are written and read. Both report whether they
// could; what was written by then is of no use.
type way struct {
	write func(*packer, reflect.Value) bool
	read  func(*unpacker, reflect.Value) bool
}

// codecs holds the *codec of each reflect.Type, nil if it has none. They are made
// when first asked for, since tables are plain values that hold no state.
var codecs sync.Map

func codecOf(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	c := newCodec(t, 0)
	codecs.Store(t, c)
	return c
}

func newCodec(t reflect.Type, depth int) *codec {
	c := &codec{}
	if t.Kind() != reflect.Struct || depth > maxPackDepth || !c.add(t, nil, depth) || len(c.fields) > maxMembers {
		return nil
	}
	return c
}

// add appends the fields of t, those of embedded structs in their place.
func (c *codec) add(t reflect.Type, at []int, depth int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		place := append(slices.Clone(at), i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "":
		case f.Anonymous:
			if name != "" || !f.IsExported() || f.Type.Kind() != reflect.Struct || !c.add(f.Type, place, depth) {
				return false
			}
		case f.IsExported():
			absent, ok := absentIf(f.Type, options)
			if !ok || name == "" || !plainText(name) || c.index(name) >= 0 {
				return false
			}
			c.fields = append(c.fields, field{name, packName(nil, []byte(name)), place, absent, wayOf(f.Type, depth+1)})
		}
	}
	return true
}

func (c *codec) index(name string) int {
	return slices.IndexFunc(c.fields, func(f field) bool { return f.name == name })
}

// absentIf says when json.Marshal leaves a field out; nil: never.
func absentIf(t reflect.Type, options string) (absent func(reflect.Value) bool, ok bool) {
	switch {
	case options == "":
		return nil, true
	case options == "omitempty" && t.Kind() == reflect.Struct:
		return nil, true
	case options == "omitempty" && slices.Contains([]reflect.Kind{reflect.Slice, reflect.Map, reflect.String, reflect.Array}, t.Kind()):
		return func(v reflect.Value) bool { return v.Len() == 0 }, true
	case options == "omitempty":
		return reflect.Value.IsZero, true
	case options == "omitzero" && t == timeType:
		return func(v reflect.Value) bool { return v.Addr().Interface().(*time.Time).IsZero() }, true
	case options == "omitzero" && !has[interface{ IsZero() bool }](t):
		return reflect.Value.IsZero, true
	}
	return nil, false
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	bytesType = reflect.TypeFor[[]byte]()
	rawType   = reflect.TypeFor[json.RawMessage]()
	asJSON    = way{(*packer).anyField, (*unpacker).anyField}
)

// has reports whether values of t, or their addresses, have the methods of I.
func has[I any](t reflect.Type) bool {
	i := reflect.TypeFor[I]()
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

// wayOf finds the way of a type. Types that have JSON or text of their own keep it.
func wayOf(t reflect.Type, depth int) way {
	if t == timeType {
		return way{(*packer).timeField, (*unpacker).timeField}
	}
	if t == rawType {
		return way{(*packer).rawField, (*unpacker).rawField}
	}
	if has[json.Marshaler](t) || has[json.Unmarshaler](t) || has[encoding.TextMarshaler](t) || has[encoding.TextUnmarshaler](t) {
		return asJSON
	}
	switch t.Kind() {
	case reflect.String:
		return way{(*packer).stringField, (*unpacker).stringField}
	case reflect.Bool:
		return way{(*packer).boolField, (*unpacker).boolField}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return way{(*packer).intField, (*unpacker).intField}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return way{(*packer).uintField, (*unpacker).uintField}
	case reflect.Slice:
		if t == bytesType {
			return way{(*packer).bytesField, (*unpacker).bytesField}
		}
		if t.Elem().Kind() != reflect.Uint8 && depth <= maxPackDepth {
			return listWay(wayOf(t.Elem(), depth+1))
		}
	case reflect.Struct:
		if c := newCodec(t, depth); c != nil {
			return way{c.write, c.read}
		}
	}
	return asJSON
}

func listWay(element way) way {
	return way{
		write: func(p *packer, list reflect.Value) bool {
			if list.IsNil() {
				p.out = append(p.out, tagNull)
				return true
			}
			p.out = append(p.out, tagArray, byte(list.Len()))
			ok := list.Len() <= maxMembers
			for i := 0; ok && i < list.Len(); i++ {
				ok = element.write(p, list.Index(i))
			}
			return ok
		},
		read: func(u *unpacker, v reflect.Value) bool {
			if !u.begins(tagArray) {
				return u.anyField(v)
			}
			count, ok := u.byte()
			list := reflect.MakeSlice(v.Type(), int(count), int(count))
			for i := 0; ok && i < int(count); i++ {
				ok = element.read(u, list.Index(i))
			}
			v.Set(list)
			return ok
		},
	}
}
