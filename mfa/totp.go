package mfa

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// What every authenticator app understands (RFC 6238): SHA-1, six digits, a code
// every 30 seconds.
const (
	Step     = 30 * time.Second
	SeedSize = 20 // bytes of a seed that NewSeed makes
	digits   = 6

	minSeed, maxSeed = 10, 64 // bytes of a seed that others made
)

// ErrSeed is a text that is no seed.
var ErrSeed = errors.New("not the base32 text of a seed of 10 to 64 bytes")

var seedText = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSeed returns the seed of a new authenticator.
func NewSeed() []byte {
	seed := make([]byte, SeedSize)
	rand.Read(seed)
	return seed
}

// ParseSeed reads base32 text in any case, with or without padding, spaces or
// hyphens between groups.
func ParseSeed(text string) ([]byte, error) {
	text = strings.NewReplacer(" ", "", "-", "").Replace(text)
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "\r\n") { // base32 would skip them
		return nil, ErrSeed
	}
	seed, err := seedText.DecodeString(strings.ToUpper(text))
	if err != nil || len(seed) < minSeed || len(seed) > maxSeed || seedText.EncodeToString(seed) != strings.ToUpper(text) {
		return nil, ErrSeed
	}
	return seed, nil
}

// SeedText is the seed as a person types it: base32 in groups of four.
func SeedText(seed []byte) string { return grouped(seedText.EncodeToString(seed), " ") }

func grouped(text, between string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && i%4 == 0 {
			b.WriteString(between)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// URI is what the QR code says to the app. Issuer and account are its label; a
// colon in them would move the border between the two, so it becomes a space.
func URI(issuer, account string, seed []byte) string {
	issuer, account = labelPart(issuer), labelPart(account)
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + seedText.EncodeToString(seed) + "&issuer=" + escape(issuer) + "&algorithm=SHA1&digits=6&period=30"
}

// escape leaves a space as %20: apps show a + as it stands.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func labelPart(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == ':' || r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 100 {
		s = string(runes[:100])
	}
	return s
}

// The picture's width in pixels without its border, and the white border, which
// cameras need and a dark page does not give.
const qrSize, qrBorder = 256, 24

// QR draws the URI as a data URL of a PNG. It holds the seed: show it once and
// never store it.
func QR(uri string) (string, error) {
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		return "", errors.New("draw a QR code: not a URI") // the cause would quote the seed
	}
	picture, err := key.Image(qrSize, qrSize)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	framed := image.NewPaletted(image.Rect(0, 0, qrSize+2*qrBorder, qrSize+2*qrBorder), color.Palette{color.White, color.Black})
	draw.Draw(framed, image.Rect(qrBorder, qrBorder, qrBorder+qrSize, qrBorder+qrSize), picture, picture.Bounds().Min, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, framed); err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// StepAt is the number of the step that a moment falls in.
func StepAt(at time.Time) int64 { return at.Unix() / int64(Step/time.Second) }

// Match says which step code belongs to: the current one, or its neighbours, for
// phones whose clock is up to half a minute off. Only steps later than after
// count, so keep the answer as the next after: then a code counts once. The code
// is six digits and nothing else.
func Match(seed []byte, code string, now time.Time, after int64) (step int64, ok bool) {
	if !sixDigits(code) || now.Unix() < 0 {
		return 0, false
	}
	secret := seedText.EncodeToString(seed)
	for _, s := range [3]int64{StepAt(now) - 1, StepAt(now), StepAt(now) + 1} {
		// Every step is compared, also after a match, so that time tells nothing.
		if same, err := hotp.ValidateCustom(code, uint64(max(s, 0)), secret, sixSHA1); err == nil && same && s > after && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

var sixSHA1 = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

func sixDigits(code string) bool {
	if len(code) != digits {
		return false
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return true
}

// Code is the code of a seed at a moment, for tests and for tools that stand in
// for a phone.
func Code(seed []byte, at time.Time) (string, error) {
	return hotp.GenerateCodeCustom(seedText.EncodeToString(seed), uint64(max(StepAt(at), 0)), sixSHA1)
}
