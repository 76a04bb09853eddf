package store

import (
	"encoding/json"
	"testing"
)

func BenchmarkGrant(b *testing.B) {
	g := sampleGrant()
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := Grants.encode(&g); err != nil {
				b.Fatal(err)
			}
		}
	})
	raw, _ := Grants.encode(&g)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := Grants.decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPack(b *testing.B) {
	g := sampleGrant()
	text, _ := json.Marshal(&g)
	packed := pack(text)
	b.Run("json.Marshal", func(b *testing.B) {
		for b.Loop() {
			_, _ = json.Marshal(&g)
		}
	})
	b.Run("json.Unmarshal", func(b *testing.B) {
		for b.Loop() {
			var g Grant
			_ = json.Unmarshal(text, &g)
		}
	})
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			_ = pack(text)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			_, _ = unpack(packed)
		}
	})
}
