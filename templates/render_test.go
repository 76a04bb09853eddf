package templates

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestPagesOfManyRequestsDoNotMix(t *testing.T) {
	t.Parallel()
	r := New()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			locale := Locales()[i%len(Locales())]
			name := strings.Repeat(string(rune('a'+i%26)), 40)
			var b bytes.Buffer
			if err := r.Render(&b, SignInPage{Frame: Frame{Locale: locale}, ClientName: name}); err != nil {
				t.Error(err)
			}
			if !strings.Contains(b.String(), name) || !strings.Contains(b.String(), `lang="`+locale+`"`) {
				t.Error("somebody else's page")
			}
		})
	}
	wg.Wait()
}

func TestAnUnknownLocaleIsEnglish(t *testing.T) {
	t.Parallel()
	if page := render(t, SignInPage{Frame: Frame{Locale: "xx"}}); !strings.Contains(page, `<html lang="en" dir="ltr">`) {
		t.Error("not English")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestALostConnectionIsAnError(t *testing.T) {
	t.Parallel()
	r := New()
	if err := r.Render(brokenWriter{}, HomePage{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// A password must never come back to the page it was typed on.
func TestTypedValuesComeBackButNoPassword(t *testing.T) {
	t.Parallel()
	in := render(t, SignInPage{Email: "raj@acme.example", Problem: "wrong_credentials"})
	up := render(t, SetUpPage{Email: "ana@acme.example", Name: "Ana", Problems: []string{"password_missing"}})
	for page, want := range map[string]string{in: `value="raj@acme.example"`, up: `value="Ana"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
}

func BenchmarkSignInPage(b *testing.B) {
	r := New()
	page := samples("en")["sign_in"]
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Render(io.Discard, page); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		New()
	}
}

func BenchmarkReadWords(b *testing.B) {
	for b.Loop() {
		if _, err := readWords("en"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFirstSignInPage(b *testing.B) {
	page := samples("en")["sign_in"]
	for b.Loop() {
		r := New()
		if err := r.Render(io.Discard, page); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for b.Loop() {
		Match("de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7", "")
	}
}
