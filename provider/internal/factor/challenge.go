package factor

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
)

// What a challenge is for.
const (
	toCreate = "create"
	toSignIn = "get"
)

// binding is what a challenge is good for.
type binding struct {
	purpose string
	owner   string // the session or the sign-in, of which the browser has proof
	agentID string // empty: whoever's passkey it is
}

const (
	nonceSize     = 16
	challengeHead = nonceSize + 8 // and when it ends, in seconds
)

// errChallenge is one that was not made for this, is too old, or was used.
var errChallenge = errors.New("no challenge for this")

// challenge makes one. Nothing is stored, so that asking for one costs nothing;
// it carries its end and a MAC over what it is for, and what is stored is that
// it was answered.
func (x *Factors) challenge(tx store.Tx, b binding) ([]byte, error) {
	key, err := x.Keys.SecretIn(tx, keys.SecretPasskey)
	if err != nil {
		return nil, fmt.Errorf("make a challenge: %w", err)
	}
	head := make([]byte, challengeHead)
	rand.Read(head[:nonceSize])
	binary.BigEndian.PutUint64(head[nonceSize:], uint64(x.Now().Add(mfa.ChallengeTime).Unix()))
	return append(head, b.mac(key, head)...), nil
}

func (b binding) mac(key, head []byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range []string{b.purpose, b.owner, b.agentID, string(head)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return h.Sum(nil)
}

// spend uses a challenge up, whatever the answer to it is worth. One that is
// somebody else's stays as it is.
func (x *Factors) spend(_ context.Context, tx store.Tx, b binding, challenge []byte) error {
	key, err := x.Keys.SecretIn(tx, keys.SecretPasskey)
	if err != nil {
		return fmt.Errorf("check a challenge: %w", err)
	}
	if b.owner == "" || len(challenge) != challengeHead+sha256.Size || !hmac.Equal(b.mac(key, challenge[:challengeHead]), challenge[challengeHead:]) {
		return errChallenge
	}
	end := time.Unix(int64(binary.BigEndian.Uint64(challenge[nonceSize:challengeHead])), 0)
	if !x.Now().Before(end) {
		return errChallenge
	}
	sum := sha256.Sum256(challenge)
	spent := store.Spent{Key: "passkey:" + hex.EncodeToString(sum[:]), Expires: end.Add(time.Minute).UTC()}
	if err := store.AllSpent.Create(tx, &spent); err != nil {
		if errors.Is(err, store.ErrExists) {
			return errChallenge
		}
		return fmt.Errorf("use a challenge up: %w", err)
	}
	return nil
}
