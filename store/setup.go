package store

import "time"

// SetUp is the one link that creates a site's first administrator. Only the
// newest works: there is one record.
type SetUp struct {
	Hash    []byte    `json:"hash"` // SHA-256 of the link's secret
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// SetUpKey is the key of a site's one SetUp.
const SetUpKey = "link"

// SetUps holds it.
var SetUps = Table[SetUp]{
	Kind: "set-up", Key: func(*SetUp) string { return SetUpKey }, Expires: func(s *SetUp) time.Time { return s.Expires },
}
