package visitor

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func benchmark(b *testing.B, body func() string) {
	h := newHouse(b, storetest.Bolt)
	benchmarkOn(b, h, body)
}

func benchmarkOn(b *testing.B, h *house, body func() string) {
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, testIssuer+"/visitors/start", strings.NewReader(body()))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", shop)
		w := httptest.NewRecorder()
		h.later(perNetwork.every) // so that the rate lets it
		h.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

func BenchmarkAnonymousStart(b *testing.B) { benchmark(b, func() string { return `{}` }) }

// BenchmarkFloor is the signature alone, with what no start can do without.
func BenchmarkFloor(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	s := load(h)
	payload := []byte(base64.RawURLEncoding.EncodeToString(make([]byte, 300)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.keys.Sign(b.Context(), s, "ES256", TokenType, payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnonymousStartAmongManyBans(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	h.update(func(tx store.Tx) error {
		for i := range 10_000 {
			ban := store.Ban{ID: random(12), Network: addrAt(i), Reason: "x", Created: time.Now()}
			if err := store.Bans.Put(tx, &ban); err != nil {
				return err
			}
		}
		return nil
	})
	benchmarkOn(b, h, func() string { return `{}` })
}

func addrAt(i int) string {
	a := addr("10.0.0.0").As4()
	a[1], a[2], a[3] = byte(i>>16), byte(i>>8), byte(i)
	return netip.AddrFrom4(a).String()
}
