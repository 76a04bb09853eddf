package keys

import (
	"fmt"
	"strings"
	"testing"
)

var benchPayload = []byte(`{"exp":1800000000,"pad":"` + strings.Repeat("x", 400) + `"}`)

func BenchmarkSign(b *testing.B) {
	h := newHouse(b)
	s := load(b, h.Keys, "")
	for _, alg := range []string{ES256, RS256} {
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Sign(b.Context(), s, alg, "at+jwt", benchPayload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifySeen(b *testing.B) {
	h := newHouse(b)
	s := load(b, h.Keys, "")
	raw := sign(b, h.Keys, "", ES256, "at+jwt", string(benchPayload))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := h.Verify(b.Context(), s, raw, "at+jwt"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyNew(b *testing.B) {
	h := newHouse(b)
	s := load(b, h.Keys, "")
	var raws []string
	for i := range 1000 {
		raws = append(raws, sign(b, h.Keys, "", ES256, "at+jwt", strings.Replace(string(benchPayload), "xxxxx", fmt.Sprintf("%05d", i), 1)))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%len(raws) == 0 {
			h.seen = newSeen(seenBytes)
		}
		if _, _, err := h.Verify(b.Context(), s, raws[i%len(raws)], "at+jwt"); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
