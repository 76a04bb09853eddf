package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Question is what a backend asks the server.
type Question struct {
	// Token is the raw token of whoever acts; with it Subject may be left out.
	Token string
	// Subject is who acts: type (policy.Agent, …) and id.
	Subject policy.Resource
	// Action is a permission's name.
	Action string
	// Resource is what is acted upon; empty means this backend as a whole, of
	// type "resource" with the client's Audience as id.
	Resource policy.Resource
	// IP is where the subject is; the zero Addr leaves it to the server, which
	// knows the session's latest address.
	IP netip.Addr
}

type wireThing struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type wireName struct {
	Name string `json:"name"`
}

type wireContext struct {
	IP    *string `json:"ip,omitempty"` // empty: not known
	Token string  `json:"token,omitempty"`
}

type wireQuestion struct {
	Subject  *wireThing   `json:"subject,omitempty"`
	Action   wireName     `json:"action"`
	Resource wireThing    `json:"resource"`
	Context  *wireContext `json:"context,omitempty"`
}

type wireAnswer struct {
	Decision *bool `json:"decision"`
	Context  struct {
		Reason      string            `json:"reason"`
		ExpiresIn   float64           `json:"expires_in"`
		Obligations map[string]string `json:"obligations"`
	} `json:"context"`
}

// Ask puts the question to the server's decision endpoint (AuthZEN 1.0), whose
// answer is the live one. A refusal is an answer, not an error. With an error
// (ErrUnavailable, ErrClientRefused) the Decision is a refusal too: deny.
func (c *Client) Ask(ctx context.Context, q Question) (policy.Decision, error) {
	if c.options.ClientID == "" {
		return policy.Decision{}, fmt.Errorf("%w: asking needs ClientID and ClientSecret", ErrClientRefused)
	}
	body, err := json.Marshal(q.wire(c.options.Audience))
	if err != nil {
		return policy.Decision{}, fmt.Errorf("ask: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoints.evaluation, bytes.NewReader(body))
	if err != nil {
		return policy.Decision{}, fmt.Errorf("ask: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	c.basic(req)
	asked := time.Now()
	answer, err := c.do(req)
	if err != nil {
		return policy.Decision{}, fmt.Errorf("ask: %w", err)
	}
	return readAnswer(answer, asked)
}

func (q Question) wire(audience string) wireQuestion {
	w := wireQuestion{Action: wireName{q.Action}, Resource: wireThing{q.Resource.Type, q.Resource.ID}}
	if q.Resource == (policy.Resource{}) {
		w.Resource = wireThing{"resource", audience}
	}
	if q.Subject != (policy.Resource{}) {
		w.Subject = &wireThing{q.Subject.Type, q.Subject.ID}
	}
	said := wireContext{Token: q.Token}
	if q.IP.IsValid() {
		ip := q.IP.Unmap().String()
		if q.IP.Zone() != "" {
			ip = "" // it means something on one machine only
		}
		said.IP = &ip
	}
	if said != (wireContext{}) {
		w.Context = &said
	}
	return w
}

func readAnswer(body []byte, asked time.Time) (policy.Decision, error) {
	var answer wireAnswer
	if err := json.Unmarshal(body, &answer); err != nil || answer.Decision == nil {
		return policy.Decision{}, fmt.Errorf("ask: %w: %w", ErrUnavailable, errors.New("the answer holds no decision"))
	}
	decision := policy.Decision{Allowed: *answer.Decision, Reason: answer.Context.Reason}
	if decision.Reason == "" && decision.Allowed {
		decision.Reason = policy.ReasonAllowed
	}
	if seconds := answer.Context.ExpiresIn; seconds > 0 && seconds <= MaxLifetime.Seconds() {
		decision.Until = asked.Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, name := range slices.Sorted(maps.Keys(answer.Context.Obligations)) {
		decision.Obligations = append(decision.Obligations, policy.Obligation{Name: name, Value: answer.Context.Obligations[name]})
	}
	return decision, nil
}
