package templates

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// rgb is a colour of sRGB.
type rgb [3]uint8

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// What a site's colour stands on or under, from the tokens of static/site.css.
var (
	lightPage  = rgb{0xf6, 0xf5, 0xf1}
	lightBad   = rgb{0xfc, 0xed, 0xea}
	darkPanel  = rgb{0x1b, 0x22, 0x21}
	darkBad    = rgb{0x3a, 0x1f, 0x1c}
	paperWhite = rgb{0xff, 0xff, 0xff}
	inkBlack   = rgb{0x06, 0x20, 0x1d}
)

// minContrast is WCAG 2.2 AA's for text (success criterion 1.4.3).
const minContrast = 4.5

// palette is a site's colour as the style sheet takes it.
type palette struct{ Light, OnLight, Dark, OnDark string }

// CheckColor reports why a site's colour, written #rrggbb, cannot be used: links
// in it must be readable on paper, and so must the words on a button of it. The
// fault names a near colour that would do. On dark pages a lighter tint is used.
func CheckColor(s string) error {
	c, err := parseColor(s)
	if err != nil {
		return err
	}
	if got := lightContrast(c); got < minContrast {
		return fmt.Errorf("colour %s is too pale: its contrast with the page is %.1f:1 and must be at least %.1f:1; %s would do", s, got, minContrast, toward(c, inkBlack, lightContrast))
	}
	return nil
}

func parseColor(s string) (rgb, error) {
	if len(s) == 7 && s[0] == '#' {
		if n, err := strconv.ParseUint(s[1:], 16, 24); err == nil {
			return rgb{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
		}
	}
	return rgb{}, errors.New("a colour is written #rrggbb, as in #0f5e56")
}

// paletteOf derives the four colours of a site's one; nil for none or an unfit one.
func paletteOf(s string) *palette {
	c, err := parseColor(s)
	if err != nil || lightContrast(c) < minContrast {
		return nil
	}
	dark := toward(c, paperWhite, darkContrast)
	return &palette{Light: c.String(), OnLight: "#ffffff", Dark: dark.String(), OnDark: inkBlack.String()}
}

// lightContrast is the least contrast that c has in its places on light pages.
func lightContrast(c rgb) float64 {
	return min(contrast(c, lightPage), contrast(c, lightBad), contrast(c, paperWhite))
}

// darkContrast is the same for dark pages.
func darkContrast(c rgb) float64 {
	return min(contrast(c, darkPanel), contrast(c, darkBad), contrast(c, inkBlack))
}

// toward mixes c with end in steps of 4 % until its contrast is enough.
func toward(c, end rgb, contrast func(rgb) float64) rgb {
	mixed := c
	for step := 0; contrast(mixed) < minContrast && step <= 25; step++ {
		for i := range mixed {
			mixed[i] = uint8((int(c[i])*(25-step) + int(end[i])*step) / 25)
		}
	}
	return mixed
}

// contrast is WCAG 2.2's contrast ratio, from 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is WCAG 2.2's relative luminance.
func luminance(c rgb) float64 {
	var linear [3]float64
	for i, v := range c {
		f := float64(v) / 255
		if f <= 0.04045 {
			linear[i] = f / 12.92
		} else {
			linear[i] = math.Pow((f+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}
