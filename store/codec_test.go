package store

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// recordType is what a table holds.
func recordType(t AnyTable) reflect.Type {
	return reflect.TypeOf(t.(rows).fresh()).Elem()
}

func TestEveryTableHasACodec(t *testing.T) {
	t.Parallel()
	for _, table := range Tables() {
		if codecOf(recordType(table)) == nil {
			t.Errorf("%s goes through JSON: it has a field that codec.go does not understand", table.Name())
		}
	}
}

func TestACodecWritesAndReadsWhatPackedJSONIs(t *testing.T) {
	t.Parallel()
	for _, table := range Tables() {
		r := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			rec := reflect.New(recordType(table))
			fill(r, rec.Elem())
			checkCodec(t, rec)
		}
	}
}

type odd struct {
	Map   map[string]int          `json:"map"`
	Float float64                 `json:"float,omitempty"`
	Any   any                     `json:"any"`
	Array [3]byte                 `json:"array"`
	Raw   *json.RawMessage        `json:"raw,omitempty"`
	Ptr   *odd                    `json:"ptr,omitempty"`
	List  [][]byte                `json:"list"`
	Named []struct{ A, B string } `json:"named"`
	Small int8                    `json:"small"`
	Zero  *time.Time              `json:"zero,omitempty"`
}

func TestWhatACodecDoesNotUnderstandGoesThroughJSON(t *testing.T) {
	t.Parallel()
	long := make([]string, 300)
	at := time.Now()
	for _, rec := range []any{
		&odd{}, &odd{Map: map[string]int{"b": 1, "a": 2}, Float: 1.5, Any: "x", Ptr: &odd{Any: 1.0}, List: [][]byte{nil, {}, {1}, []byte("abc")}, Zero: &at},
		&Role{Permissions: long}, &Role{Key: strings.Repeat("x", 5000)}, &Session{Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))},
		&AuditHead{Sequence: 1<<64 - 1}, &AuditEntry{Body: json.RawMessage(`{"a": "<>"}`)},
	} {
		checkCodec(t, reflect.ValueOf(rec))
	}
}

// checkCodec compares a record's codec, if it can write it, with JSON.
func checkCodec(t *testing.T, rec reflect.Value) {
	t.Helper()
	c := codecOf(rec.Type().Elem())
	text, err := json.Marshal(rec.Interface())
	p := packer{}
	if c == nil || !c.write(&p, rec.Elem()) {
		if packed := pack(text); err == nil && len(packed) > 0 && packed[0] == tagObject {
			t.Errorf("%T: JSON can be packed and is not: %s", rec.Interface(), text)
		}
		return
	}
	if err != nil || !bytes.Equal(p.out, pack(text)) {
		t.Fatalf("%T: %v\n%s\n%x\n%x", rec.Interface(), err, text, p.out, pack(text))
	}
	was, is := reflect.New(rec.Type().Elem()), reflect.New(rec.Type().Elem())
	if err := json.Unmarshal(text, was.Interface()); err != nil {
		t.Fatal(err)
	}
	if u := (unpacker{in: p.out}); !c.read(&u, is.Elem()) || len(u.in) != 0 || !reflect.DeepEqual(was.Interface(), is.Interface()) {
		t.Fatalf("%T: %s\n%#v\n%#v", rec.Interface(), text, was.Elem(), is.Elem())
	}
}

// fill makes a value of anything that records hold, often awkward.
func fill(r *rand.Rand, v reflect.Value) {
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	switch {
	case r.IntN(5) == 0: // zero
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<38)-1<<35, []int64{0, r.Int64N(1e9), 500_000_000}[r.IntN(3)]).UTC()))
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		texts := []string{`null`, `{}`, `{"a":[1,-2.50,"x"],"b":{"t":"2026-11-22T10:11:12Z"}}`, `"<b>"`, `[true,false]`, `{"é":"\u00e9\n"}`}
		v.SetBytes([]byte(texts[r.IntN(len(texts))]))
	case v.Type() == bytesType:
		v.SetBytes(bytesOf(r.IntN([]int{8, 40, 400}[r.IntN(3)])))
	case v.Kind() == reflect.String:
		texts := []string{
			"openid", "", "a", "ü", "<&>", "a\"b\\", "\x01\xff\u2028", "2026-11-22T10:11:12.5Z", "2026-11-22T10:11:12.50Z", "0199aa00-0000-7000-8000-a1b2c3d4e5f6",
			hex.EncodeToString(bytesOf(r.IntN(40))), base64.RawURLEncoding.EncodeToString(bytesOf(r.IntN(40))), base64.StdEncoding.EncodeToString(bytesOf(r.IntN(300))),
			"abcdefg_-", "https://chat.acme.example/x?y=z", strings.Repeat("long ", r.IntN(100)), "AAAAAAAAAB", "abcdef0",
		}
		v.SetString(texts[r.IntN(len(texts))])
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(int8(r.Uint32())) << (8 * r.IntN(v.Type().Bits()/8)))
	case v.CanUint():
		v.SetUint(uint64(byte(r.Uint32())) << (8 * r.IntN(v.Type().Bits()/8)))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	default:
		panic("records hold a " + v.Type().String() + " now: fill it here")
	}
}

// testdata/records.txt holds records as the first version wrote them: kind, hex, JSON.
func TestRecordsOfTheFirstVersionAreRead(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/records.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	types := map[Kind]reflect.Type{}
	for _, table := range Tables() {
		types[table.Name()] = recordType(table)
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	read := 0
	for ; lines.Scan(); read++ {
		part := strings.SplitN(lines.Text(), " ", 3)
		stored, err := hex.DecodeString(part[1])
		if err != nil {
			t.Fatal(err)
		}
		was, is := reflect.New(types[Kind(part[0])]), reflect.New(types[Kind(part[0])])
		if err := json.Unmarshal([]byte(part[2]), was.Interface()); err != nil {
			t.Fatal(err)
		}
		u := unpacker{in: stored}
		if !codecOf(was.Type().Elem()).read(&u, is.Elem()) || len(u.in) != 0 || !reflect.DeepEqual(was.Interface(), is.Interface()) {
			t.Errorf("%s\n%#v", lines.Text(), is.Elem())
		}
		if back, err := unpack(stored); err != nil || string(back) != part[2] {
			t.Errorf("%s\n%s %v", lines.Text(), back, err)
		}
	}
	if lines.Err() != nil || read < 20 {
		t.Fatal(read, lines.Err())
	}
}

// FuzzCodec reads anything twice: what the codec takes, JSON takes too, and it
// means the same.
func FuzzCodec(f *testing.F) {
	g := sampleGrant()
	raw, _ := encode(&Grants, &g)
	f.Add(raw[1:])
	f.Add([]byte{tagObject, 1, 0, 1, 'x', tagNull})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != tagObject { // decode sees to that
			return
		}
		for _, table := range Tables() {
			is, was := reflect.New(recordType(table)), reflect.New(recordType(table))
			u := unpacker{in: b}
			if !codecOf(is.Type().Elem()).read(&u, is.Elem()) || len(u.in) != 0 {
				continue
			}
			text, err := unpack(b)
			if err != nil || !json.Valid(text) {
				t.Fatalf("%s: %x is no JSON: %s %v", table.Name(), b, text, err)
			}
			if json.Unmarshal(text, was.Interface()) != nil {
				continue // a name that only differs in capitals, which are names to JSON too
			}
			if again, err := json.Marshal(was.Interface()); err != nil || !bytes.Equal(again, text) {
				continue // nothing that we would have written, such as a name given twice
			}
			if !reflect.DeepEqual(is.Interface(), was.Interface()) {
				t.Fatalf("%s: %s\n%#v\n%#v", table.Name(), text, is.Elem(), was.Elem())
			}
		}
	})
}
