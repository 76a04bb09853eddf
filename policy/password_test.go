package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ana's facts; the list of common passwords is short and in folded form.
func ana() PasswordFacts {
	list := []string{"password", "letmein", "qwertyuiop", "summer", "hello", "iloveyou", "trustno1", "1qaz2wsx", "admin", "love", "ab"}
	return PasswordFacts{
		Names: []string{"Paul-André Müller", "Paul-André", "Müller", ""}, Addresses: []string{"p.mueller+chat@mail.acme-corp.co.uk"}, Site: "The Chat House",
		Common: func(folded string) bool { return slices.Contains(list, folded) },
	}
}

func broken(rules PasswordRules, facts PasswordFacts, pw string) []string {
	said := []string{}
	for _, c := range PasswordFailed(CheckPassword(rules, facts, pw)) {
		said = append(said, c.Rule)
	}
	return said
}

func TestEachRuleHoldsAtItsEdge(t *testing.T) {
	t.Parallel()
	guide := PasswordGuide()
	for pw, want := range map[string][]string{
		"Xk9-mvq":                       {PasswordLength},
		"Xk9-mvqz":                      {},
		"Xk9-mvqé":                      {},
		"Xk9-mvqe\u0301":                {}, // eight characters however they are typed
		"Xk9-mve\u0301":                 {PasswordLength},
		"Xk9-😀😀😀😀":                      {},
		"Xk9 mvqz":                      {},
		"xk9mvqzz":                      {PasswordKinds},
		"Xk9mvqzz":                      {},
		"XkMVqzzz":                      {PasswordKinds},
		"密码密码密码Ab":                      {}, // letters without case are special ones
		"":                              {PasswordLength, PasswordKinds, PasswordCommon},
		"abc":                           {PasswordLength, PasswordKinds, PasswordCommon},
		"Xk9-" + strings.Repeat("é", 1): {PasswordLength},
		"Xk9-" + rising(124):            {},
		"Xk9-" + rising(125):            {PasswordTooLong},
		"Xk9-mvqz\x00":                  {PasswordText},
		"Xk9-mvqz\xff":                  {PasswordText},
		strings.Repeat("Xk9-", 1<<18):   {PasswordTooLong, PasswordCommon},
		"\xffshort":                     {PasswordLength, PasswordText, PasswordKinds},
	} {
		if diff := cmp.Diff(want, broken(guide, ana(), pw)); diff != "" {
			t.Errorf("%.40q: %s", pw, diff)
		}
	}
}

// rising is a long text that repeats nothing.
func rising(n int) string {
	var b strings.Builder
	for r := rune(0x4E00); n > 0; n-- {
		b.WriteRune(r)
		r += 3
	}
	return b.String()
}

func TestEveryRuleThatIsOnIsAnsweredInTheOrderOfThePage(t *testing.T) {
	t.Parallel()
	facts := ana()
	facts.Breached = func(pw string) bool { return pw == "Password1!" }
	want := []PasswordCheck{
		{Rule: PasswordLength, OK: true, Wanted: 8}, {Rule: PasswordKinds, OK: true, Wanted: 3}, {Rule: PasswordNames, OK: true}, {Rule: PasswordCommon}, {Rule: PasswordBreached},
	}
	if diff := cmp.Diff(want, CheckPassword(PasswordGuide(), facts, "Password1!")); diff != "" {
		t.Error(diff)
	}
	facts.Breached = nil // nobody knows
	if got := CheckPassword(PasswordRules{RefuseBreached: true}, facts, "Password1!"); len(got) != 1 || !got[0].OK {
		t.Errorf("with all off: %+v", got)
	}
}

func TestASecondFactorAllowsAShorterPassword(t *testing.T) {
	t.Parallel()
	nist, facts := PasswordNIST(), ana()
	for pw, want := range map[string][2]bool{"velvet spoon 8": {false, true}, "velvet spoon 88": {true, true}, "velvet8": {false, false}} {
		for i, with := range []bool{false, true} {
			facts.HasFactor = with
			if got := len(broken(nist, facts, pw)) == 0; got != want[i] {
				t.Errorf("%q, with a factor %v: %v", pw, with, got)
			}
		}
	}
	for rules, want := range map[PasswordRules]int{{}: 8, {MinLength: 3}: 8, {MinLength: 300}: 128, {MinLength: 12, MinLengthWithFactor: 1}: 8} {
		if got := rules.Least(true); got != want {
			t.Errorf("%+v: %d", rules, got)
		}
	}
}

func TestNamesAreFoundInEveryDisguise(t *testing.T) {
	t.Parallel()
	rules := PasswordRules{RefuseNames: true}
	for _, pw := range []string{
		"xx-paul-77", "P@ul1-xyzw", "PAUL.xyzw7", "xxＰａｕｌ77z", "p\u200baul-xyzw", "p\u00adaul-xyzw", "pа\u0301ul-xyzw", "рaul-xyzw", "xMUELLER99", "mu\u0308ller-99", "MULLER-99x",
		"xyz-4ndre-9", "ANDRÉ-xyz-9", "p-a-u-l-a-n-d-r-e", "paulandre-9", "m.u.e.l.l.e.r", "Acme-99-xyz", "@cme-99-xyz", "acmecorp-99", "mail-99-xyz", "chat-room-9", "c h a t 99 x", "HOUSE-xyz-9", "h0u$e-xyz-9",
		"the-chat-house", "velvet pa ul 7", "thechathouse9",
	} {
		if got := broken(rules, ana(), pw); !slices.Contains(got, PasswordNames) {
			t.Errorf("%q passes", pw)
		}
	}
	for _, pw := range []string{"the velvet spoon", "co-operation", "ukulele player", "miller-99-xyz", "pal-lau-99", "a c m x e 99", "corn-99-xyz"} {
		if got := broken(rules, ana(), pw); len(got) > 0 {
			t.Errorf("%q: %v", pw, got)
		}
	}
}

func TestTheKelvinSignIsAK(t *testing.T) {
	t.Parallel()
	facts := PasswordFacts{Names: []string{"Kim Kelvin"}}
	for _, pw := range []string{"\u212Aim-xyzw-9", "\u212Aelvin-77", "xk\u0131m-xyzw9"} {
		if got := broken(PasswordRules{RefuseNames: true}, facts, pw); len(got) == 0 {
			t.Errorf("%q passes", pw)
		}
	}
}

func TestNamesWithoutLettersRefuseNothing(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {""}, {" "}, {"\u200b"}, {"A"}, {"Bo"}, {"A B C"}, {"-"}, {"."}, {"é"}, {"李"}} {
		for _, address := range []string{"", "@", "a@b.c", "a@x", "a.b@c.de", "a@com", "@.", "a@..."} {
			facts := PasswordFacts{Names: names, Addresses: []string{address}, Site: " - "}
			for _, pw := range []string{"a velvet spoon", "ABABABAB-com-9", "x.y-z abc 李"} {
				if got := broken(PasswordRules{RefuseNames: true}, facts, pw); len(got) > 0 && !(len(names) == 1 && names[0] == "A B C") {
					t.Errorf("%q %q: %q: %v", names, address, pw, got)
				}
			}
		}
	}
	if got := broken(PasswordRules{RefuseNames: true}, PasswordFacts{Names: []string{"王伟"}}, "xyz王伟-1234"); len(got) == 0 {
		t.Error("a whole name of two ideographs passes")
	}
}

func TestCommonPasswordsAreRefusedHoweverDressedUp(t *testing.T) {
	t.Parallel()
	for _, pw := range []string{
		"password", "PASSWORD", "Password1!", "p@ssw0rd", "P@SSW0RD 2026", "pass word", "p a s s w o r d", "pass-word-1", "ｐａｓｓｗｏｒｄ１", "pа\u0301sswоrd", "!!password!!", "123password456",
		"passwordpassword", "password password", "pássword99", "pass\u200bword", "Summer2026!", "$umm3r#99", "hell0!!", "He1lo-2026", "1 Love You", "i.love.you.42", "Trustno1!!", "Qwertyuiop[]", "1Qaz2Wsx!",
		"4dm1n2026", "@dmin123", "letme1n", "1etmein99", "love2026",
		"12345678", "0123456789", "9876543210", "1234567890", "abcdefghijk", "ZYXWVUTS", "aaaaaaaa", "AbAbAbAb", "xyz1xyz1xyz1", "😀😀😀😀😀😀😀😀",
	} {
		if got := broken(PasswordRules{RefuseCommon: true}, ana(), pw); !slices.Contains(got, PasswordCommon) {
			t.Errorf("%q passes", pw)
		}
	}
	for _, pw := range []string{
		"velvet spoon", "passwort-los-9", "password of a velvet spoon", "love11223344", "ab99999988", "lovely-velvet", "summer velvet 26", "13579bdfx", "hello velvet 7",
	} {
		if got := broken(PasswordRules{RefuseCommon: true}, ana(), pw); len(got) > 0 {
			t.Errorf("%q: %v", pw, got)
		}
	}
}

func TestNISTComparesWholePasswords(t *testing.T) {
	t.Parallel()
	rules := PasswordRules{RefuseCommon: true, CommonWhole: true}
	for pw, refused := range map[string]bool{"P@SSW0RD": true, "pass word": true, "Password1!": false, "trustno1": true, "trustno1-2026": false, "passwordpassword": true, "aaaaaaaaaaaaaaaa": true} {
		if got := len(broken(rules, ana(), pw)) > 0; got != refused {
			t.Errorf("%q: refused %v", pw, got)
		}
	}
}

func TestAPasswordAges(t *testing.T) {
	t.Parallel()
	changed := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	due := changed.AddDate(0, 0, 40)
	rules := PasswordGuide()
	for name, c := range map[string]struct {
		rules   PasswordRules
		changed time.Time
		now     time.Time
		state   PasswordState
		days    int
	}{
		"just changed":             {rules, changed, changed, PasswordFresh, 0},
		"before the last days":     {rules, changed, due.AddDate(0, 0, -3).Add(-time.Second), PasswordFresh, 0},
		"three days left":          {rules, changed, due.AddDate(0, 0, -3), PasswordWarn, 3},
		"a day and a second":       {rules, changed, due.AddDate(0, 0, -1).Add(-time.Second), PasswordWarn, 2},
		"the last second":          {rules, changed, due.Add(-time.Second), PasswordWarn, 1},
		"the moment":               {rules, changed, due, PasswordExpired, 0},
		"years later":              {rules, changed, due.AddDate(9, 0, 0), PasswordExpired, 0},
		"no expiry":                {PasswordNIST(), changed, due.AddDate(9, 0, 0), PasswordFresh, 0},
		"not known when":           {rules, time.Time{}, due, PasswordFresh, 0},
		"the clock was set back":   {rules, changed, changed.AddDate(-1, 0, 0), PasswordFresh, 0},
		"warned of all the time":   {PasswordRules{MaxAgeDays: 2, WarnDays: 90}, changed, changed, PasswordWarn, 2},
		"expiry without a warning": {PasswordRules{MaxAgeDays: 2}, changed, changed.Add(47 * time.Hour), PasswordFresh, 0},
	} {
		if state, days := PasswordAge(c.rules, c.changed, c.now); state != c.state || days != c.days {
			t.Errorf("%s: %v, %d days", name, state, days)
		}
	}
}

func TestAFourthChangeWaitsADay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(hours ...int) (changes []time.Time) {
		for _, h := range hours {
			changes = append(changes, now.Add(-time.Duration(h)*time.Hour))
		}
		return changes
	}
	rules := PasswordGuide()
	for name, c := range map[string]struct {
		changes []time.Time
		ok      bool
		from    time.Time
	}{
		"none":                {nil, true, time.Time{}},
		"two":                 {ago(2, 1), true, time.Time{}},
		"three":               {ago(5, 2, 1), false, now.Add(19 * time.Hour)},
		"three and old ones":  {ago(90, 30, 5, 2, 1), false, now.Add(19 * time.Hour)},
		"one a day ago":       {ago(24, 2, 1), true, time.Time{}},
		"the clock went back": {ago(-100, -101, -102), false, now.Add(124 * time.Hour)},
	} {
		if ok, from := MayChangePassword(rules, c.changes, now); ok != c.ok || !from.Equal(c.from) {
			t.Errorf("%s: %v, from %v", name, ok, from)
		}
	}
	if ok, _ := MayChangePassword(PasswordRules{}, ago(1, 1, 1, 1), now); !ok {
		t.Error("refused although the rule is off")
	}
}

func FuzzCheckPassword(f *testing.F) {
	for _, pw := range []string{"", "Password1!", "p@ssw0rd 2026", "\xff\x00", "😀", strings.Repeat("e\u0301", 200), "\u212Aelvin", "aaaa", "!!!!!!!!"} {
		f.Add(pw, "Ana Silva", "ana@acme.example")
	}
	f.Fuzz(func(t *testing.T, pw, name, address string) {
		facts := PasswordFacts{Names: []string{name}, Addresses: []string{address}, Site: name, Common: ana().Common}
		for _, rules := range []PasswordRules{PasswordGuide(), PasswordNIST(), PasswordPCI()} {
			checks := CheckPassword(rules, facts, pw)
			if diff := cmp.Diff(checks, CheckPassword(rules, facts, pw)); diff != "" {
				t.Error(diff)
			}
			if len(checks) == 0 || checks[0].Rule != PasswordLength {
				t.Errorf("%+v", checks)
			}
		}
		if folded := FoldPassword(pw); FoldPassword(folded) != folded {
			t.Errorf("%q folds to %q and that to %q", pw, folded, FoldPassword(folded))
		}
	})
}

func BenchmarkCheckPassword(b *testing.B) {
	facts := ana()
	facts.Common = func(string) bool { return false }
	for name, pw := range map[string]string{
		"usual": "Xk9-velvet spoon", "longest": strings.Repeat("0é1!", 32), "signs": "$0m3-v3lv3t-5p00n-2026!!!",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				CheckPassword(PasswordGuide(), facts, pw)
			}
		})
	}
}
