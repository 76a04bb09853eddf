package federation

import (
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/store"
)

// identity is who a provider says somebody is, verified. It waits sealed in a
// store.Answer where the browser has to come back for it.
type identity struct {
	// Subject names them within the connection for good, whole.
	Subject string          `json:"subject"`
	Profile profile.Profile `json:"profile"`
	// Made is when the provider made its word, and Received when we had it; zero: now.
	Made     time.Time `json:"made,omitzero"`
	Received time.Time `json:"received,omitzero"`
	// Asked is when the provider asked them last, zero if it does not say.
	Asked time.Time `json:"asked,omitzero"`
	// SecondFactor says that the provider says it asked for one.
	SecondFactor bool `json:"second_factor,omitempty"`
	// Upstream is store.Login's.
	Upstream string `json:"upstream,omitempty"`
	// Hint is store.Login's.
	Hint string `json:"hint,omitempty"`

	// State and Request name the flow that this answers, by what the provider sent
	// back; both empty: nobody had asked.
	State   string `json:"state,omitempty"`
	Request string `json:"request,omitempty"`

	// Changed is the connection's when this was judged: what it was judged by.
	Changed time.Time `json:"changed,omitzero"`

	Checks []store.Check       `json:"checks,omitempty"`
	Said   map[string][]string `json:"said,omitempty"`
}

// maxSubject bounds what names a subject, in bytes.
const maxSubject = 512

// unasked reports whether nobody had asked for this.
func (id *identity) unasked() bool { return id.State == "" && id.Request == "" }

// proven is the time from which the word counts: what voided sign-ins after it was made,
// or while it waited, voids it. Clocks differ by skew.
func (id *identity) proven(now time.Time, skew time.Duration) time.Time {
	for _, t := range []struct{ at, most time.Time }{{id.Received, id.Received}, {id.Made, id.Made.Add(skew)}} {
		if !t.at.IsZero() && t.most.Before(now) {
			now = t.most
		}
	}
	return now
}
