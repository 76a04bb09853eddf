package oauth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
)

// aCode seals a code that is issued then.
func aCode(t *testing.T, key []byte, at time.Time) string {
	t.Helper()
	code, err := (&authCode{Authorization: store.Authorization{ClientID: "RP", AgentID: "alice"}, Issued: at}).seal(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestFamiliesStandInTheStoreByTheirCodesTime(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	at := time.UnixMilli(1_795_000_000_000)
	first, second, later := grantID(aCode(t, key, at)), grantID(aCode(t, key, at)), grantID(aCode(t, key, at.Add(time.Hour)))
	if first == second || first[:6] != second[:6] || first[:6] == later[:6] {
		t.Error(first, second, later)
	}
	code := aCode(t, key, at)
	if bought, replayed := grantID(code), grantID(strings.Clone(code)); bought != replayed {
		t.Error("a replay would not find what the code bought")
	}
	for _, odd := range []string{"", codePrefix, "x", code[:len(code)-1], code + "A", codePrefix + randomToken(32)} {
		if len(grantID(odd)) != len(first) || grantID(odd) == grantID(code) {
			t.Error(odd)
		}
	}
}

func TestACodeSaysWhatItWasMadeForAndHidesIt(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	now := time.Now().UTC()
	want := &authCode{
		Authorization: store.Authorization{
			ClientID: "RP", AgentID: "alice", SID: "s", Scopes: []string{"openid", "chat"}, Resources: []string{"https://chat.example"}, AuthTime: now,
			AMR: []string{"pwd", "otp"}, ACR: "aal2", Remembered: true, Lifted: true, Nonce: "n-0", Claims: []byte(`{"id_token":null}`),
		},
		RedirectURI: callback, Challenge: "c", Issued: now, ValidUntil: now.Add(time.Minute),
	}
	code, err := want.seal(key, "acme")
	if err != nil {
		t.Fatal(err)
	}
	got, err := openCode(key, "acme", code)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(code, codePrefix))
	if bytes.Contains(raw, []byte("alice")) || len(code) > 1024 {
		t.Errorf("%d characters: %q", len(code), raw)
	}
}

// TestACodeIsTakenToTheByte: another spelling of a code, or another site's, would
// be redeemed a second time under another family.
func TestACodeIsTakenToTheByte(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	code := aCode(t, key, time.Now())
	others := map[string]string{
		"another prefix": strings.Replace(code, codePrefix, accessPrefix, 1), "no prefix": strings.TrimPrefix(code, codePrefix),
		"padded": code + "=", "a line more": code + "\n", "longer": code + "AAAA", "shorter": code[:len(code)-4], "too long": codePrefix + strings.Repeat("A", maxCode+1), "nothing": "",
	}
	for i := range len(code) - len(codePrefix) {
		changed := []byte(code)
		if changed[len(codePrefix)+i]++; changed[len(codePrefix)+i] == 'z'+1 {
			changed[len(codePrefix)+i] = 'a'
		}
		others[string(rune(i))] = string(changed)
	}
	for name, other := range others {
		if _, err := openCode(key, "", other); !errors.Is(err, errNoCode) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := openCode(key, "acme", code); !errors.Is(err, errNoCode) {
		t.Errorf("another site's: %v", err)
	}
	if _, err := openCode(bytes.Repeat([]byte{2}, 32), "", code); !errors.Is(err, errNoCode) {
		t.Errorf("another key's: %v", err)
	}
}
