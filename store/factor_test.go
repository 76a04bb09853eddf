package store

import "testing"

// TestARestoreGivesNoUsedCodeBack: codes that were used after the backup would
// work again, and wrong ones be forgotten.
func TestARestoreGivesNoUsedCodeBack(t *testing.T) {
	t.Parallel()
	dropped := transient()
	for kind, want := range map[Kind]bool{
		RecoveryCodes.Kind: true, BreakGlassCodes.Kind: true, Devices.Kind: true, Enrolments.Kind: true,
		AllFactorTries.Kind: false, AllSpent.Kind: false, Authenticators.Kind: false,
	} {
		if dropped[kind] != want {
			t.Errorf("%s is left out: %v", kind, dropped[kind])
		}
	}
}
