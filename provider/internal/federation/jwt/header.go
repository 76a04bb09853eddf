package jwt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
)

// header is what is looked at of a token's header. What names or carries a key (jwk,
// jku, x5u, x5c) is not.
type header struct {
	alg, kid, typ string
	extended      bool // crit or b64: it wants to be read in another way
}

// readHeader reads a header by the exact names of its members: encoding/json would
// take ALG for alg.
func readHeader(raw []byte) (h header, err error) {
	var members map[string]json.RawMessage
	if err := strictjson.Check(raw); err != nil { // a member in other case is another, and nobody's
		return h, err
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return header{}, err
	}
	for name, into := range map[string]*string{"alg": &h.alg, "kid": &h.kid, "typ": &h.typ} {
		text, there := members[name]
		if !there {
			continue
		}
		var value *string
		if err := json.Unmarshal(text, &value); err != nil || value == nil {
			return header{}, fmt.Errorf("%s is no text", name)
		}
		*into = *value
	}
	for _, name := range []string{"crit", "b64"} {
		if _, there := members[name]; there {
			h.extended = true
		}
	}
	return h, nil
}

// typed reports whether the token says that it is a JWT, or nothing: one that says
// that it is another kind was made for something else.
func (h header) typed() bool {
	return h.typ == "" || strings.TrimPrefix(strings.ToLower(h.typ), "application/") == "jwt"
}

// KeyID is the kid of a token's header, which nobody has verified; "" for none.
func KeyID(raw string) string {
	first, _, _ := strings.Cut(raw, ".")
	if len(raw) > MaxToken {
		return ""
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return ""
	}
	h, err := readHeader(text)
	if err != nil {
		return ""
	}
	return h.kid
}

// hashID stands in for a jti where a dialect has none. It is of what is signed, for
// of one content there are several valid signatures by one ECDSA key.
func hashID(raw string) string {
	sum := sha256.Sum256([]byte(raw[:strings.LastIndexByte(raw, '.')]))
	return "token:" + base64.RawURLEncoding.EncodeToString(sum[:])
}
