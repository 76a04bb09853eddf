package password

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the lists are of SHA-1 hashes
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// breachedRange asks a service for all hashes that begin as one does, so that it
// never learns which: five hex digits are some thousand passwords. The answer has
// the rest of each hash, a colon and a count, which is 0 where it is padding.
type breachedRange struct {
	url    string // what the five digits are appended to, after a slash
	client *http.Client
}

// rangeTimeout is how long a change of a password waits for the service.
const rangeTimeout = 2 * time.Second

const prefixDigits = 5

var errRange = errors.New("the service of breached passwords did not answer as it should")

func (b *breachedRange) has(ctx context.Context, sum [sha1.Size]byte) (bool, error) {
	hash := strings.ToUpper(hex.EncodeToString(sum[:]))
	ctx, cancel := context.WithTimeout(ctx, rangeTimeout)
	defer cancel()
	body, err := b.fetch(ctx, hash[:prefixDigits])
	if err != nil {
		return false, fmt.Errorf("%w: %w", errRange, err)
	}
	want := []byte(hash[prefixDigits:])
	for line := range bytes.Lines(body) {
		rest, count, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !ok || len(rest) != hashDigits-prefixDigits {
			return false, errRange
		}
		if bytes.EqualFold(rest, want) {
			return !bytes.Equal(count, []byte("0")), nil
		}
	}
	return false, nil
}

func (b *breachedRange) fetch(ctx context.Context, prefix string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(b.url, "/")+"/"+prefix, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Add-Padding", "true") // so that the size of the answer does not tell the prefix
	resp, err := b.client.Do(req)
	var inside *url.Error
	if errors.As(err, &inside) { // it names the address, and so what the hash begins with
		err = inside.Err
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(resp.Body) // the client bounds it
}
