package password

import (
	"strings"
	"testing"
)

func list(t *testing.T) commonPasswords {
	t.Helper()
	c, err := readCommon(commonList)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheListHasWhatManyPeopleUse(t *testing.T) {
	t.Parallel()
	c := list(t)
	if c.length < 100_000 {
		t.Errorf("the list has only %d passwords", c.length)
	}
	// Each password takes a little more than the two bytes of its fingerprint, so
	// the number above is that of what is there.
	if n := len(c.filter.Fingerprints); n < c.length || n > c.length*5/4 {
		t.Errorf("%d fingerprints for %d passwords", n, c.length)
	}
	if len(commonList) > 512<<10 {
		t.Errorf("the list takes %d bytes of the binary", len(commonList))
	}
	for _, pw := range []string{ // the most used, and some from far down the list
		"123456", "password", "12345678", "qwerty", "123456789", "baseball", "letmein", "iloveyou", "qwertyuiop", "1qaz2wsx",
		"trustno1", "changeme", "welcome", "dragon", "sunshine", "princess", "hunter2", "summer", "winter", "admin", "zaq12wsx",
	} {
		if !c.has(pw) {
			t.Errorf("%s is not in the list", pw)
		}
	}
}

func TestTheListTakesNextToNothingForCommon(t *testing.T) {
	t.Parallel()
	c, taken := list(t), 0
	for i := range 100_000 {
		if c.has(strings.Repeat("x", 1+i%7) + string(rune(0x4E00+i/7))) {
			taken++
		}
	}
	if taken > 12 { // 1.5 are to be expected
		t.Errorf("of 100,000 strings that nobody uses %d are in the list", taken)
	}
}

func TestADamagedListIsAnError(t *testing.T) {
	t.Parallel()
	for _, damaged := range [][]byte{nil, commonList[:3], commonList[:20], commonList[:len(commonList)-1]} {
		if _, err := readCommon(damaged); err == nil {
			t.Errorf("%d bytes are read", len(damaged))
		}
	}
}
