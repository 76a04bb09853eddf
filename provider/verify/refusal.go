package verify

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Refusal is why Middleware did not let a request through.
type Refusal struct {
	Status int // of the answer
	// Code is the error of RFC 6750 or RFC 9470; empty if the request had no
	// token, or if no new token would help.
	Code        string
	Description string // safe to show
	Audience    string // the realm
	// Decision is the refusal, if there was a good token.
	Decision policy.Decision
	// Err is what was wrong with the token or the surroundings, in full: for
	// logs, not for callers.
	Err    error
	params []policy.Obligation
}

// refusalOf is the answer to a token, or surroundings, that are not good. A
// server that cannot be heard is no fault of the token's: 503, try again.
func refusalOf(err error) *Refusal {
	r := &Refusal{Status: http.StatusUnauthorized, Code: "invalid_token", Description: describe(err), Err: err}
	switch {
	case errors.Is(err, ErrNoToken):
		r.Code, r.Description = "", ""
	case errors.Is(err, ErrRequest):
		r.Status, r.Code = http.StatusBadRequest, "invalid_request"
	case errors.Is(err, ErrStale), errors.Is(err, ErrUnavailable), errors.Is(err, ErrClientRefused), errors.Is(err, ErrKeys):
		r.Status, r.Code, r.Description = http.StatusServiceUnavailable, "", "whether the token is good cannot be known now"
	}
	return r
}

// describe is the fixed text of the error's kind: no part of a token or a
// setting comes back to the caller.
func describe(err error) string {
	for _, known := range []error{
		ErrMalformed, ErrType, ErrAlgorithm, ErrUnknownKey, ErrSignature, ErrClaims, ErrIssuer, ErrAudience, ErrExpired, ErrNotYetValid, ErrRevoked, ErrRequest,
	} {
		if errors.Is(err, known) {
			return strings.TrimPrefix(known.Error(), "verify: ")
		}
	}
	return ""
}

// refusalFor is the answer to a good token that may not do this.
func refusalFor(d policy.Decision, guard Guard) *Refusal {
	r := &Refusal{Status: http.StatusForbidden, Description: d.Reason, Decision: d}
	switch d.Reason {
	case policy.ReasonPermission:
		r.Code = "insufficient_scope"
		if guard.Action != "" {
			r.params = []policy.Obligation{{Name: "scope", Value: guard.Action}}
		}
	case policy.ReasonStepUp:
		r.Status, r.Code, r.params = http.StatusUnauthorized, "insufficient_user_authentication", challenge(d.Obligations)
	case policy.ReasonRevoked, policy.ReasonTokenExpired, policy.ReasonSubjectInactive, policy.ReasonAudienceMismatch:
		r.Status, r.Code = http.StatusUnauthorized, "invalid_token"
	case policy.ReasonStale:
		r.Status = http.StatusServiceUnavailable
	}
	return r
}

// challenge spells the obligations as RFC 9470, section 3 does. A visitor's
// assurance is its acr.
func challenge(obligations []policy.Obligation) []policy.Obligation {
	var params []policy.Obligation
	for _, o := range obligations {
		if o.Name == "assurance" {
			o.Name = "acr_values"
		}
		params = append(params, o)
	}
	return params
}

// Answer writes the refusal: the status, a WWW-Authenticate challenge where RFC
// 6750 and RFC 9470 have one, and a JSON body.
func (r Refusal) Answer(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	if r.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	if r.Status == http.StatusUnauthorized || r.Code != "" {
		h.Set("WWW-Authenticate", r.challenge())
	}
	w.WriteHeader(r.Status)
	// The status is sent: a caller who has gone needs no body either.
	_ = json.NewEncoder(w).Encode(r.body())
}

func (r Refusal) body() map[string]string {
	body := map[string]string{"error": r.Code}
	switch {
	case r.Code != "":
	case r.Status == http.StatusServiceUnavailable:
		body["error"] = "temporarily_unavailable"
	case r.Status == http.StatusUnauthorized:
		body["error"] = "token_required"
	default:
		body["error"] = "access_denied"
	}
	if r.Description != "" {
		body["error_description"] = r.Description
	}
	if r.Decision.Reason != "" {
		body["reason"] = r.Decision.Reason
	}
	return body
}

func (r Refusal) challenge() string {
	params := []policy.Obligation{{Name: "realm", Value: r.Audience}}
	if r.Code != "" {
		params = append(params, policy.Obligation{Name: "error", Value: r.Code})
	}
	if r.Description != "" {
		params = append(params, policy.Obligation{Name: "error_description", Value: r.Description})
	}
	var out strings.Builder
	out.WriteString("Bearer ")
	for i, p := range append(params, r.params...) {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(p.Name + `="` + quotable(p.Value) + `"`)
	}
	return out.String()
}

// quotable drops what may not stand in a quoted parameter (RFC 6750, section 3).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
