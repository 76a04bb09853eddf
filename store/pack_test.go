package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func sampleGrant() Grant {
	now := time.Date(2026, 11, 22, 10, 11, 12, 123456789, time.UTC)
	return Grant{
		ID: base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xA7}, 16)),
		Authorization: Authorization{
			ClientID: "desk", AgentID: "0199aa00-0000-7000-8000-a1b2c3d4e5f6", SID: base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0x5C}, 16)),
			Scopes: []string{"openid", "profile", "email", "offline_access", "chat"}, Resources: []string{"https://chat.acme.example"},
			AuthTime: now, AMR: []string{"pwd"}, ACR: "aal1", Nonce: "n-0S6_WzA2Mj",
		},
		Generation: 3, Current: bytes.Repeat([]byte{1}, 32), Previous: bytes.Repeat([]byte{0xFE}, 32), Rotated: now,
		IdleSeconds: 43200, Created: now, Expires: now.Add(12 * time.Hour), End: now.Add(720 * time.Hour),
	}
}

func TestATokenFamilyIsStoredInAtMostHalfOf600Bytes(t *testing.T) {
	t.Parallel()
	g := sampleGrant()
	text, err := json.Marshal(&g)
	if err != nil {
		t.Fatal(err)
	}
	packed := pack(text)
	t.Logf("%d bytes of JSON, %d packed", len(text), len(packed))
	if len(packed) > 300 {
		t.Errorf("%d bytes", len(packed))
	}
	back, err := unpack(packed)
	if err != nil || !bytes.Equal(back, text) {
		t.Errorf("%v\n%s\n%s", err, text, back)
	}
}

func TestPackedJSONComesBackAsItWas(t *testing.T) {
	t.Parallel()
	many := "[" + strings.Repeat("1,", 300) + "1]"
	for _, text := range []string{
		`{}`, `{"a":null,"b":true,"c":false,"d":[],"e":{}}`, `{"n":[0,-0,1.5,1e9,9223372036854775807,9223372036854775808,-1]}`,
		`{"s":["","a\"b","\\","\u0000","ü","abcd","ABCD","deadbeef","DEADBEEF","deadbee","AAAAAAAAAAA=","AAAAAAAAAAA","-_-_-_-_","AAAAAAAAAB"]}`,
		`{"u":["0199aa00-0000-7000-8000-a1b2c3d4e5f6","0199AA00-0000-7000-8000-a1b2c3d4e5f6","0199aa00-0000-7000-8000-a1b2c3d4e5f"]}`,
		`{"t":["2026-11-22T10:11:12Z","2026-11-22T10:11:12.5Z","2026-11-22T10:11:12.50Z","2026-11-22T10:11:12+01:00","0001-01-01T00:00:00Z","9999-12-31T23:59:59.999999999Z"]}`,
		`{"openid":"openid","unknown name":"x"}`, `{"many":` + many + `}`, strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40),
		`[1]`, `1`, ``, `{"broken":`, `{"a":tru}`, `{"a" :1}`,
	} {
		back, err := unpack(pack([]byte(text)))
		if err != nil || string(back) != text {
			t.Errorf("%s became %s, %v", text, back, err)
		}
	}
}

func TestWordsAreDistinctAndKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	if len(words) > 255 || len(wordNumber) != len(words) {
		t.Fatalf("%d words, %d distinct", len(words), len(wordNumber))
	}
	for word, place := range map[string]byte{"id": 1, "created": 25, "password_hash": 49, "host": 89, "openid": 90, "supervisors": 117} {
		if wordNumber[word] != place {
			t.Errorf("%q is number %d: stored records have it as %d", word, wordNumber[word], place)
		}
	}
}

func FuzzPack(f *testing.F) {
	text, _ := json.Marshal(sampleGrant())
	f.Add(text)
	f.Add(pack(text))
	f.Add([]byte(`{"a":["deadbeef",1,"2026-11-22T10:11:12Z"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if json.Valid(b) {
			var compact bytes.Buffer
			if json.Compact(&compact, b) == nil {
				if back, err := unpack(pack(compact.Bytes())); err != nil || !bytes.Equal(back, compact.Bytes()) {
					t.Fatalf("%s became %s, %v", compact.Bytes(), back, err)
				}
			}
		}
		_, _ = unpack(b) // must not panic
	})
}
