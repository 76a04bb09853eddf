package mfa

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
)

// readable refuses JSON that could be read in two ways, or that is too large:
// names given twice or in another case, great depth.
func readable(answer []byte) error {
	if len(answer) > MaxAnswer {
		return fmt.Errorf("an answer of %d bytes", len(answer))
	}
	d := json.NewDecoder(bytes.NewReader(answer))
	members := 0
	if err := value(d, 0, &members); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func value(d *json.Decoder, depth int, members *int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if *members++; *members > maxMembers || depth > maxDepth {
		return errors.New("too much of it")
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			folded := strings.ToLower(name.(string))
			if names[folded] {
				return errors.New("a name is given twice")
			}
			names[folded] = true
		}
		if err := value(d, depth+1, members); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// clientData looks at what the browser says it did, and returns the challenge.
func clientData(raw []byte, data protocol.CollectedClientData) ([]byte, error) {
	if err := readable(raw); err != nil {
		return nil, err
	}
	if data.CrossOrigin || data.TopOrigin != "" {
		return nil, errors.New("it was made in a frame of another site")
	}
	challenge, err := base64.RawURLEncoding.Strict().DecodeString(data.Challenge)
	if err != nil || len(challenge) < ChallengeSize || text(challenge) != data.Challenge {
		return nil, errors.New("no challenge of ours")
	}
	return challenge, nil
}
