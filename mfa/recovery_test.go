package mfa

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestTenRecoveryCodesAreMadeAndFoundAgain(t *testing.T) {
	t.Parallel()
	codes, hashes := NewRecoveryCodes("ana")
	if len(codes) != 10 || len(hashes) != 10 {
		t.Fatalf("%d codes, %d hashes", len(codes), len(hashes))
	}
	form := regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`)
	seen := map[string]bool{}
	for i, code := range codes {
		if !form.MatchString(code) || seen[code] {
			t.Errorf("%q", code)
		}
		seen[code] = true
		lookalikes := strings.NewReplacer("0", "o", "1", "l").Replace(strings.ToLower(code))
		for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + " ", lookalikes} {
			hash, ok := RecoveryHash("ana", typed)
			if !ok || FindRecoveryCode(hashes, hash) != i {
				t.Errorf("%q is not found", typed)
			}
		}
	}
}

func TestARecoveryCodeOfSomebodyElseIsNone(t *testing.T) {
	t.Parallel()
	codes, hashes := NewRecoveryCodes("ana")
	hash, ok := RecoveryHash("ben", codes[0])
	if !ok || FindRecoveryCode(hashes, hash) >= 0 {
		t.Error("ben's browser may use ana's code")
	}
	mine, _ := RecoveryHash("ana", codes[0])
	if bytes.Equal(hash, mine) || FindRecoveryCode(nil, mine) >= 0 {
		t.Error("a code has one hash for everybody")
	}
}

func TestWhatCannotBeARecoveryCodeIsNone(t *testing.T) {
	t.Parallel()
	codes, _ := NewRecoveryCodes("ana")
	for _, typed := range []string{"", "123456", codes[0] + "0", codes[0][1:], "UUUU-UUUU-UUUU-UUUU", codes[0] + "\n", "\x00" + codes[0], strings.Repeat(" ", 1<<20), strings.Repeat("-", 70)} {
		if _, ok := RecoveryHash("ana", typed); ok {
			t.Errorf("%.30q", typed)
		}
	}
}
