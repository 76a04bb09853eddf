package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

// maxTokenRecord is how many bytes one token may cost in the store: its record,
// its lookups, its entry in the expiry index, and the keys of all of them.
const maxTokenRecord = 600

func TestATokenCostsNoMoreThan600BytesInTheStore(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"jwt", "opaque"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "chatelaine.db")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { engine.Close() })
			h := startOn(t, engine, "")
			h.apply(strings.Replace(fmt.Sprintf(siteFile, ""), "access_token_format: jwt", "access_token_format: "+format, 1))
			got, _ := h.signIn("desk", deskSecret, "raj@acme.example", "openid profile email offline_access chat")
			for range 3 { // once rotated it holds what recognises the one before
				var status int
				if got, status = h.token("desk", deskSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); status != http.StatusOK {
					t.Fatalf("refresh: status %d, %s", status, got.Error)
				}
			}
			checkRecordSize(t, engine, store.Grants.Kind, 1)
			if format == "opaque" {
				checkRecordSize(t, engine, store.OpaqueTokens.Kind, 4)
			}
		})
	}
}

// It names the login that it rests on, however long connection and subject are.
func TestATokenOfAConnectionsLoginCostsNoMoreEither(t *testing.T) {
	t.Parallel()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "chatelaine.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	h, op := startOn(t, engine, ""), newLiar(t)
	h.connect(op.connection())
	op.next(map[string]any{"sub": strings.Repeat("raj", 80), "email": "raj@acme.example", "email_verified": true})
	got := h.throughLiar()
	for range 3 {
		got = h.refreshed(got)
	}
	checkRecordSize(t, engine, store.Grants.Kind, 1)
}

// checkRecordSize sums what the records of a kind take, all that belongs to them
// included, and compares it with how many there are.
func checkRecordSize(t *testing.T, engine store.Engine, kind store.Kind, want int) {
	t.Helper()
	var records, size int
	err := engine.Dump(t.Context(), func(r store.Record) error {
		index := r.Kind == store.ExpiryKind && strings.HasPrefix(string(r.Key[8:]), string(kind)+"\x00")
		if r.Kind != kind && !strings.HasPrefix(string(r.Kind), string(kind)+"/") && !index {
			return nil
		}
		if r.Kind == kind {
			records++
		}
		key := 2 + len(r.Site) + len(r.Kind) + len(r.Key)
		frame := len(store.AppendFrame(nil, r.Site, r.Kind, r.Key, r.Value, r.Expires))
		t.Logf("%-14s key %3d bytes, value %3d", r.Kind, key, frame)
		size += key + frame
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if records < want {
		t.Fatalf("%d records of %s, want %d", records, kind, want)
	}
	if per := size / records; per > maxTokenRecord {
		t.Errorf("%s: a record costs %d bytes in the store, %d are allowed", kind, per, maxTokenRecord)
	} else {
		t.Logf("%s: a record costs %d bytes in the store", kind, per)
	}
}
