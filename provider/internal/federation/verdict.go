package federation

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// verdict is what came of an answer that was posted, on its way to the browser's GET:
// the post had none of our cookies, and only the flow says what it was an answer to,
// and who has to be told, the person or a widget. What was wrong is in the trace of the
// request that it names.
type verdict struct {
	Code      string    `json:"code,omitempty"` // the fault's; empty: it holds
	RequestID string    `json:"request_id"`
	State     string    `json:"state,omitempty"`   // of the flow, as it came back
	Request   string    `json:"request,omitempty"` // ID of our request, as the answer names it
	Expires   time.Time `json:"expires"`
}

// What a verdict is on.
const (
	onSignIn = "sign-in"
	onLogout = "logout"
)

// verdictLife is a redirect's time.
const verdictLife = time.Minute

// sealVerdict makes the parameter that carries a verdict.
func (x *Federation) sealVerdict(r *http.Request, at *attempt, on string, v verdict) (string, error) {
	box, err := x.Keys.Box(r.Context(), at.site.Path, keys.SecretFlow)
	if err != nil {
		return "", err
	}
	if len(v.State)+len(v.Request) > maxFlowCookie/2 { // no state or ID of ours
		v.State, v.Request = "", ""
	}
	v.RequestID, v.Expires = web.RequestID(r.Context()), x.Now().UTC().Add(verdictLife)
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode a verdict: %w", err)
	}
	return box.Seal(plain, verdictData(at, on)), nil
}

// openVerdict opens it, and finds the flow of this browser that it is about, if there
// is one. Anything else is the verdict on an answer that came too late.
func (x *Federation) openVerdict(r *http.Request, at *attempt, on, sealed string) (verdict, error) {
	late := verdict{Code: codeExpired, RequestID: web.RequestID(r.Context())}
	box, err := x.Keys.Box(r.Context(), at.site.Path, keys.SecretFlow)
	if err != nil {
		return late, err
	}
	plain, ok := box.Open(sealed, verdictData(at, on))
	if !ok {
		return late, nil
	}
	var v verdict
	if err := json.Unmarshal(plain, &v); err != nil {
		return late, fmt.Errorf("decode a verdict: %w", err)
	}
	if !x.Now().Before(v.Expires) {
		return late, nil
	}
	all, err := x.flows(r, at.site)
	for _, f := range all {
		if f.begunAt(at.conn) && (v.Request != "" && f.Request == v.Request || v.State != "" && f.State == v.State) {
			at.flow = f
		}
	}
	return v, err
}

func verdictData(at *attempt, on string) []byte {
	return fmt.Appendf(nil, "federation verdict on a %s %d:%s %s", on, len(at.site.Path), at.site.Path, at.conn.ID)
}

// fail answers the post of an answer: an error that is no fault is returned, and a
// fault is told where the browser comes with its cookies.
func (x *Federation) fail(w http.ResponseWriter, r *http.Request, at *attempt, err error, state, request string) error {
	f := faultOf(err)
	if f == nil {
		return err
	}
	x.trace(r, at, f)
	x.note(r, at, f)
	sealed, err := x.sealVerdict(r, at, onSignIn, verdict{Code: f.code, State: state, Request: request})
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, at.path("/resume?"+url.Values{"fault": {sealed}}.Encode()))
}

// failed is GET /resume with a fault.
func (x *Federation) failed(w http.ResponseWriter, r *http.Request, at *attempt, sealed string) error {
	v, err := x.openVerdict(r, at, onSignIn, sealed)
	if err != nil {
		return err
	}
	return x.tell(w, r, at, v.Code, v.RequestID)
}
