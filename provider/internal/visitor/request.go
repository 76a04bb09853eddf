package visitor

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

const (
	maxBody  = 32 << 10 // bytes
	maxGiven = 254      // bytes of a typed name or address
	maxShort = 1 << 10  // bytes of any other short member
)

// request is the body of a start.
type request struct {
	Renew        string `json:"renew"`
	Identity     string `json:"identity"` // a visitor JWT
	Connection   string `json:"connection"`
	UserID       string `json:"user_id"`
	UserHash     string `json:"user_hash"`
	Proof        string `json:"proof"`
	CodeVerifier string `json:"code_verifier"`
	Resource     string `json:"resource"`
	Name         string `json:"name"`  // as typed
	Email        string `json:"email"` // as typed
}

// readRequest reads the body. Members that are not known are passed over.
func readRequest(r *http.Request) (q request, err error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return q, web.ErrMediaType
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return q, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if len(body) > maxBody {
		return q, web.ErrTooLarge
	}
	if !utf8.Valid(body) {
		return q, web.Public(ErrRequest, "the body is not UTF-8")
	}
	if err := strictjson.Unmarshal(body, &q); err != nil || body[0] != '{' && !strings.HasPrefix(strings.TrimSpace(string(body)), "{") {
		return q, web.Public(ErrRequest, "the body is not one JSON object with text members, none twice")
	}
	return q, q.check()
}

func (q *request) check() error {
	for _, short := range []string{q.Connection, q.UserID, q.UserHash, q.Proof, q.CodeVerifier, q.Resource} {
		if len(short) > maxShort {
			return web.Public(ErrRequest, "a member is too long")
		}
	}
	for _, typed := range []*string{&q.Name, &q.Email} {
		*typed = strings.TrimSpace(*typed)
		if len(*typed) > maxGiven || strings.ContainsFunc(*typed, unicode.IsControl) {
			return web.Public(ErrRequest, "name and email are lines of at most 254 bytes")
		}
	}
	shown := 0
	for _, evidence := range []string{q.Identity, q.UserHash, q.Proof} {
		if evidence != "" {
			shown++
		}
	}
	if shown > 1 {
		return web.Public(ErrRequest, "show one of identity, user_hash and proof")
	}
	return nil
}
