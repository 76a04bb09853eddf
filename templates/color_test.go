package templates

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestContrastIsWCAGs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b rgb
		want float64
	}{
		{rgb{0, 0, 0}, rgb{255, 255, 255}, 21},
		{rgb{255, 255, 255}, rgb{255, 255, 255}, 1},
		{rgb{0x77, 0x77, 0x77}, rgb{255, 255, 255}, 4.48},
	} {
		if got := contrast(c.a, c.b); math.Abs(got-c.want) > 0.01 {
			t.Errorf("contrast(%s, %s) = %.3f, want %.2f", c.a, c.b, got, c.want)
		}
	}
}

func TestAPaleColourIsRefusedWithOneThatWouldDo(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"#ffee00", "#ffffff", "#5cc2b4", "#ff8800"} {
		err := CheckColor(s)
		if err == nil {
			t.Fatalf("%s was accepted", s)
		}
		would := regexp.MustCompile(`(#[0-9a-f]{6}) would do`).FindStringSubmatch(err.Error())
		if would == nil || CheckColor(would[1]) != nil {
			t.Errorf("%v: and that would not do", err)
		}
	}
	for _, s := range []string{"", "red", "#fff", "#12345g", "0f5e56x", "#+12345", "#0f5e56;}"} {
		if CheckColor(s) == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestEveryAcceptedColourIsReadableOnLightAndDark(t *testing.T) {
	t.Parallel()
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				c := rgb{uint8(r), uint8(g), uint8(b)}
				p := paletteOf(c.String())
				if (CheckColor(c.String()) == nil) != (p != nil) {
					t.Fatalf("%s: check and palette differ", c)
				}
				if p == nil {
					continue
				}
				dark, err := parseColor(p.Dark)
				if err != nil {
					t.Fatal(err)
				}
				if lightContrast(c) < minContrast || darkContrast(dark) < minContrast {
					t.Fatalf("%s gives %+v: %.2f on light, %.2f on dark", c, *p, lightContrast(c), darkContrast(dark))
				}
			}
		}
	}
}

func TestTheHousesOwnColoursAreReadable(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("static/site.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, _ := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	for mode, text := range map[string]string{"light": light, "dark": dark} {
		token := func(name string) rgb {
			m := regexp.MustCompile(fmt.Sprintf(`--%s: (?:var\(--[a-z-]+, )?(#[0-9a-f]{6})`, name)).FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("no token %s in %s", name, mode)
			}
			c, err := parseColor(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "bg", 4.5}, {"ink", "panel", 4.5}, {"ink", "field", 4.5}, {"soft", "bg", 4.5}, {"soft", "panel", 4.5}, {"brand", "panel", 4.5}, {"brand", "bg", 4.5},
			{"on-brand", "brand", 4.5}, {"bad", "bad-bg", 4.5}, {"bad", "panel", 4.5}, {"ok", "panel", 4.5}, {"edge", "panel", 3}, {"edge", "field", 3}, {"focus", "bg", 3}, {"focus", "panel", 3}, {"focus", "bad-bg", 3},
		} {
			if got := contrast(token(pair.front), token(pair.back)); got < pair.least {
				t.Errorf("%s: %s on %s is %.2f:1, want %.1f:1", mode, pair.front, pair.back, got, pair.least)
			}
		}
	}
}

func TestASitesColourIsOnThePageUnlessItIsUnfit(t *testing.T) {
	t.Parallel()
	if page := render(t, HomePage{Frame: Frame{Color: "#7a2e8e", Nonce: "bm9uY2U"}}); !strings.Contains(page, `<style nonce="bm9uY2U">:root{--brand-light:#7a2e8e;`) {
		t.Errorf("the colour is missing:\n%s", page)
	}
	if page := render(t, HomePage{Frame: Frame{Color: "#ffee00"}}); strings.Contains(page, "<style") {
		t.Errorf("an unfit colour is used:\n%s", page)
	}
}
