package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// endpoints are what the client calls, all on the issuer's own origin.
type endpoints struct{ keys, evaluation, revocations string }

// discover reads the issuer's metadata. The issuer must be there exactly as the
// user spelled it, and every endpoint on its origin, because the client's
// secret goes there.
func (c *Client) discover(ctx context.Context) error {
	issuer := c.options.Issuer
	where := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	body, err := c.get(ctx, where)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDiscovery, err)
	}
	var metadata struct {
		Issuer      string `json:"issuer"`
		Keys        string `json:"jwks_uri"`
		Evaluation  string `json:"access_evaluation_endpoint"`
		Revocations string `json:"access_revocations_endpoint"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return fmt.Errorf("%w: %s is not JSON metadata", ErrDiscovery, where)
	}
	if metadata.Issuer != issuer {
		return fmt.Errorf("%w: %s names the issuer %q, expected %q", ErrDiscovery, where, metadata.Issuer, issuer)
	}
	base := strings.TrimSuffix(issuer, "/")
	c.endpoints = endpoints{
		keys:        metadata.Keys,
		evaluation:  or(metadata.Evaluation, base+"/access/v1/evaluation"),
		revocations: or(metadata.Revocations, base+"/access/v1/revocations"),
	}
	for _, endpoint := range []string{c.endpoints.keys, c.endpoints.evaluation, c.endpoints.revocations} {
		if !sameOrigin(endpoint, issuer) {
			return fmt.Errorf("%w: %s names %q, which is not on the issuer's origin", ErrDiscovery, where, endpoint)
		}
	}
	return nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func sameOrigin(endpoint, issuer string) bool {
	e, err1 := url.Parse(endpoint)
	i, err2 := url.Parse(issuer)
	return err1 == nil && err2 == nil && e.Scheme == i.Scheme && e.Host == i.Host && e.User == nil
}

// get fetches a small document: 5 seconds, 1 MiB, status 200, no redirects.
func (c *Client) get(ctx context.Context, where string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	req.Header.Set("Accept", "application/json")
	return c.do(req)
}

func (c *Client) do(req *http.Request) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: read %s: %w", ErrUnavailable, req.URL, err)
	case len(body) > maxResponse:
		return nil, fmt.Errorf("%w: %s answered with more than %d bytes", ErrUnavailable, req.URL, maxResponse)
	}
	if err := statusError(resp, req.URL); err != nil {
		return nil, err
	}
	return body, nil
}

func statusError(resp *http.Response, where *url.URL) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s answered %s", ErrClientRefused, where, resp.Status)
	}
	return fmt.Errorf("%w: %s answered %s", ErrUnavailable, where, resp.Status)
}
