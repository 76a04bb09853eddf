package store

import (
	"encoding/json"
	"testing"
)

func BenchmarkGrant(b *testing.B) {
	g := sampleGrant()
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := encode(&Grants, &g); err != nil {
				b.Fatal(err)
			}
		}
	})
	raw, _ := encode(&Grants, &g)
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

func BenchmarkAuditRecord(b *testing.B) {
	rec := UnsealedAudit{
		ID: "0hq5r2d5g0abcdefgh12345678901", Body: json.RawMessage(`{"t":1795000000000,"a":"token.issue","by":"agent:0199aa00-0000-7000-8000-a1b2c3d4e5f6","of":"client:bench","q":"0123456789abcdef01234567","c":[{"f":"grant","n":"xFzOm0PcWhfkrn9QB7JRtF"},{"f":"sid","n":"ztOm0PcWhfkrn9QB7JRtFw"}],"p":["ip=AAAAAAAAAAAAAAAAAAAAAA","user_agent=AAAAAAAAAAAAAAAAAAAAAA"]}`),
		MAC: make([]byte, 16), Personal: []PersonalValue{{Field: "ip", Salt: make([]byte, 16), Value: "127.0.0.1"}, {Field: "user_agent", Salt: make([]byte, 16), Value: "Go-http-client/1.1"}},
	}
	raw, _ := encode(&UnsealedAudits, &rec)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			_, _ = encode(&UnsealedAudits, &rec)
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			_, _ = UnsealedAudits.decode(raw)
		}
	})
}
