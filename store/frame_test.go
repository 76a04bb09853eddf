package store

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestAFrameBelongsToItsPlace(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_800_000_000_123).UTC()
	frame := AppendFrame(nil, "acme", "agent", []byte("1"), []byte("value"), at)
	if v, expires, err := OpenFrame("acme", "agent", []byte("1"), frame); err != nil || string(v) != "value" || !expires.Equal(at) {
		t.Fatal(v, expires, err)
	}
	for _, p := range []struct {
		site string
		kind Kind
		key  string
	}{{"acm", "agent", "1"}, {"acme", "agents", "1"}, {"acme", "agent", "2"}, {"acmea", "gent", "1"}, {"", "agent", "1"}} {
		if _, _, err := OpenFrame(p.site, p.kind, []byte(p.key), frame); !errors.Is(err, ErrDamaged) {
			t.Errorf("opened at %v: %v", p, err)
		}
	}
	for i := range frame {
		harmed := bytes.Clone(frame)
		harmed[i] ^= 0x40
		if _, _, err := OpenFrame("acme", "agent", []byte("1"), harmed); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d may change: %v", i, err)
		}
		if _, _, err := OpenFrame("acme", "agent", []byte("1"), frame[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes are enough: %v", i, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add("acme", "agent", []byte("1"), []byte("value"), int64(0))
	f.Add("", "grant/sid", []byte("a\x00b"), []byte{}, int64(1_800_000_000_123))
	f.Fuzz(func(t *testing.T, site, kind string, key, b []byte, at int64) {
		var expires time.Time
		if at > 0 {
			expires = time.UnixMilli(at % (1 << 50)).UTC()
		}
		_, _, _ = OpenFrame(site, Kind(kind), key, b) // must not panic
		v, e, err := OpenFrame(site, Kind(kind), key, AppendFrame(nil, site, Kind(kind), key, b, expires))
		if len(site) < 1<<16 && len(kind) < 1<<16 && len(key) < 1<<16 && (err != nil || !bytes.Equal(v, b) || !e.Equal(expires)) {
			t.Fatal(v, e, err)
		}
	})
}

func FuzzRecordDecoding(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x00{}", "\x00null", "\x01{}", "\x00{\"id\":1}", "\x00{\"expires\":\"2026\"}", "\x00[]", "\x00{\"scopes\":[\"a\"]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, err := range []error{
			second(Agents.decode(raw)), second(Grants.decode(raw)), second(Sessions.decode(raw)), second(Clients.decode(raw)), second(AllSettings.decode(raw)),
		} {
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
		}
		if kind, key, err := splitExpiry(raw); err == nil && len(kind)+len(key)+9 != len(raw) {
			t.Fatal(kind, key)
		}
	})
}

func second[T any](_ T, err error) error { return err }
