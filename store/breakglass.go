package store

import "time"

// Controls that break-glass can lift, for everybody of a site and one at a time.
const (
	ControlSingleSignOn = "single_sign_on"
	ControlAllowlist    = "allowlist"
	ControlSecondFactor = "second_factor"
)

// Controls lists them.
func Controls() []string {
	return []string{ControlSingleSignOn, ControlAllowlist, ControlSecondFactor}
}

// MaxBreakGlass is the longest that a control stays lifted.
const MaxBreakGlass = 15 * time.Minute

// BreakGlass says which control of the site is lifted, or was until a moment ago.
type BreakGlass struct {
	Control string    `json:"control"`
	By      string    `json:"by"`  // who lifted it, type:id
	How     string    `json:"how"` // shell, administrator or code
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
	Expires time.Time `json:"expires"` // later than Until: its end is still to be recorded
}

// BreakGlassKey is the key of the site's one BreakGlass.
const BreakGlassKey = "lifted"

// BreakGlasses holds the one there can be.
var BreakGlasses = Table[BreakGlass]{
	Kind: "break-glass", Key: func(*BreakGlass) string { return BreakGlassKey }, Expires: func(b *BreakGlass) time.Time { return b.Expires },
}

// Live reports whether the control is lifted now.
func (b BreakGlass) Live(now time.Time) bool { return b.Control != "" && now.Before(b.Until) }

// Lifted reports whether that control of the site is lifted now.
func Lifted(tx Tx, control string, now time.Time) (bool, error) {
	b, err := BreakGlasses.Get(tx, BreakGlassKey)
	if isNotFound(err) {
		return false, nil
	}
	return b.Control == control && b.Live(now), err
}

// BreakGlassCode is an offline code that lifts one control, once. It has 100
// random bits, so a plain hash keeps it.
type BreakGlassCode struct {
	Hash    string    `json:"hash"` // hex SHA-256
	Created time.Time `json:"created"`
	By      string    `json:"by"` // for whom it was made, type:id
}

// BreakGlassCodes holds those that have not been used. A restore leaves them out,
// since one may have been used since the backup.
var BreakGlassCodes = Table[BreakGlassCode]{Kind: "break-glass-code", Key: func(c *BreakGlassCode) string { return c.Hash }}
