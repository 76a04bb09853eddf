package oauth

import (
	"errors"
	"net/http"
	"slices"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// The errors of OAuth and OpenID Connect, one for each code. web.Public attaches
// the sentence that becomes error_description.
var (
	ErrInvalidRequest          = errors.New("invalid request")
	ErrInvalidClient           = errors.New("client authentication failed")
	ErrInvalidGrant            = errors.New("invalid grant")
	ErrUnauthorizedClient      = errors.New("client may not use this grant")
	ErrUnsupportedGrantType    = errors.New("unsupported grant type")
	ErrInvalidScope            = errors.New("invalid scope")
	ErrInvalidTarget           = errors.New("invalid target")
	ErrAccessDenied            = errors.New("access denied")
	ErrUnsupportedResponseType = errors.New("unsupported response type")
	ErrUnsupportedResponseMode = errors.New("unsupported response mode")
	ErrLoginRequired           = errors.New("login required")
	ErrConsentRequired         = errors.New("consent required")
	ErrInteractionRequired     = errors.New("interaction required")
	ErrUnmetAuthentication     = errors.New("unmet authentication requirements")
	ErrRequestNotSupported     = errors.New("request objects are not supported")
	ErrRequestURINotSupported  = errors.New("request_uri is not supported")
	ErrRegistrationUnsupported = errors.New("registration by request is not supported")
	ErrTemporarilyUnavailable  = errors.New("temporarily unavailable")
	// ErrUnknownClient is a client_id, at the authorization endpoint, that is
	// unknown or disabled.
	ErrUnknownClient = errors.New("unknown client")
	// ErrRedirectURI is a redirect_uri that is not registered: nothing may be sent there.
	ErrRedirectURI = errors.New("unregistered redirect_uri")
	// ErrFlow is a flow that this browser did not begin, or that has ended.
	ErrFlow = errors.New("unknown or ended flow")
	// ErrForged is a consent form that this flow did not show.
	ErrForged = errors.New("the form is not this flow's")
	// ErrTooManyFailures is a client whose credentials were wrong too often.
	ErrTooManyFailures = errors.New("too many failed authentications")
)

// Errors are this package's rows of the error table.
var Errors = slices.Concat(refusals, metaErrors)

// refusals are what a client, or a browser, did wrong.
var refusals = []web.ErrorRow{
	{Err: ErrUnknownClient, Status: http.StatusBadRequest, OAuth: "invalid_client", Key: "unknown_client"},
	{Err: ErrRedirectURI, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "invalid_redirect_uri"},
	{Err: ErrFlow, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "flow_expired"},
	{Err: ErrForged, Status: http.StatusForbidden, OAuth: "invalid_request", Key: "cross_site"},
	{Err: ErrTooManyFailures, Status: http.StatusTooManyRequests, OAuth: "temporarily_unavailable", Key: "busy"},
	{Err: ErrInvalidClient, Status: http.StatusUnauthorized, OAuth: "invalid_client", Key: "unknown_client"},
	{Err: ErrInvalidGrant, Status: http.StatusBadRequest, OAuth: "invalid_grant", Key: "bad_request"},
	{Err: ErrUnauthorizedClient, Status: http.StatusBadRequest, OAuth: "unauthorized_client", Key: "bad_request"},
	{Err: ErrUnsupportedGrantType, Status: http.StatusBadRequest, OAuth: "unsupported_grant_type", Key: "bad_request"},
	{Err: ErrInvalidScope, Status: http.StatusBadRequest, OAuth: "invalid_scope", Key: "bad_request"},
	{Err: ErrInvalidTarget, Status: http.StatusBadRequest, OAuth: "invalid_target", Key: "bad_request"},
	{Err: ErrAccessDenied, Status: http.StatusForbidden, OAuth: "access_denied", Key: "forbidden"},
	{Err: ErrUnsupportedResponseType, Status: http.StatusBadRequest, OAuth: "unsupported_response_type", Key: "bad_request"},
	{Err: ErrUnsupportedResponseMode, Status: http.StatusBadRequest, OAuth: "unsupported_response_mode", Key: "bad_request"},
	{Err: ErrLoginRequired, Status: http.StatusBadRequest, OAuth: "login_required", Key: "bad_request"},
	{Err: ErrConsentRequired, Status: http.StatusBadRequest, OAuth: "consent_required", Key: "bad_request"},
	{Err: ErrInteractionRequired, Status: http.StatusBadRequest, OAuth: "interaction_required", Key: "bad_request"},
	{Err: ErrUnmetAuthentication, Status: http.StatusBadRequest, OAuth: "unmet_authentication_requirements", Key: "bad_request"},
	{Err: ErrRequestNotSupported, Status: http.StatusBadRequest, OAuth: "request_not_supported", Key: "bad_request"},
	{Err: ErrRequestURINotSupported, Status: http.StatusBadRequest, OAuth: "request_uri_not_supported", Key: "bad_request"},
	{Err: ErrRegistrationUnsupported, Status: http.StatusBadRequest, OAuth: "registration_not_supported", Key: "bad_request"},
	{Err: ErrTemporarilyUnavailable, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "unavailable"},
	{Err: ErrInvalidRequest, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
}

// ours turns an error of fosite's into one of this table. An error of ours, or
// the store's, that fosite wrapped is kept: it knows better.
func ours(err error) error {
	var theirs *fosite.RFC6749Error
	if err == nil || !errors.As(err, &theirs) {
		return err
	}
	for _, row := range refusals {
		if errors.Is(err, row.Err) {
			return err
		}
	}
	for _, row := range refusals {
		if row.OAuth != theirs.ErrorField {
			continue
		}
		joined := errors.Join(row.Err, err)
		if theirs.HintField != "" { // says which of the two sides' values differ, and no value
			return web.Public(joined, theirs.HintField)
		}
		return joined
	}
	return err
}
