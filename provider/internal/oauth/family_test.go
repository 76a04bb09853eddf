package oauth

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFamiliesStandInTheStoreByTheirCodesTime(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_795_000_000_000)
	first, second, later := grantID(makeCode(at)), grantID(makeCode(at)), grantID(makeCode(at.Add(time.Hour)))
	if first == second || first[:6] != second[:6] || first[:6] == later[:6] {
		t.Error(first, second, later)
	}
	code := makeCode(at)
	if bought, replayed := grantID(code), grantID(strings.Clone(code)); bought != replayed {
		t.Error("a replay would not find what the code bought")
	}
	lengths := []int{}
	for _, odd := range []string{"", codePrefix, "x", code[:len(code)-1], code + "A", codePrefix + randomToken(32)} {
		lengths = append(lengths, len(grantID(odd)))
	}
	if len(slices.Compact(lengths)) != 1 || lengths[0] != len(first) {
		t.Error(lengths)
	}
}
