package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
)

// chatBackend is the sample chat backend: what an integrator would write. It
// never sees a password; it verifies tokens with provider/verify, decides by
// permission and network, and closes a socket when its token is no longer good.
type chatBackend struct{ client *verify.Client }

func newChatBackend(ctx context.Context, issuer, secret string) (*chatBackend, error) {
	client, err := verify.New(ctx, verify.Options{Issuer: issuer, Audience: demoResource, ClientID: "chat-backend", ClientSecret: secret})
	if err != nil {
		return nil, fmt.Errorf("start the sample chat backend: %w", err)
	}
	return &chatBackend{client}, nil
}

func (b *chatBackend) close() { b.client.Close() }

// visitors say something every few seconds, so that one sees the socket live.
var visitors = []string{
	"Mia: Hello, is anybody there?",
	"Mia: My parcel says delivered, but it is not here.",
	"Tom: Can I change my billing address?",
	"Mia: Thank you, that helps.",
	"Tom: The old one is on my invoice.",
}

// sayEvery is the pace of the sample conversation.
const sayEvery = 4 * time.Second

// stream is an agent's open socket (server-sent events). It ends with an event
// that says why.
func (b *chatBackend) stream(ctx context.Context, token *verify.Token, send func(event string, data any) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := b.client.Watch(ctx, token)
	if err := send("hello", map[string]any{"roles": token.Roles, "entitlements": token.Entitlements, "expires": token.Expires}); err != nil {
		return err
	}
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case end, told := <-ended:
			if !told {
				return nil
			}
			return send("ended", map[string]string{"reason": end.Reason, "detail": end.Detail})
		case <-tick.C:
			if err := send("message", map[string]string{"text": visitors[n%len(visitors)]}); err != nil {
				return err
			}
		}
	}
}

// verdict is how the backend decided, twice: by the token alone, and by asking.
type verdict struct {
	Action string `json:"action"`
	From   string `json:"from"`
	Local  answer `json:"local"`
	Live   answer `json:"live"`
}

type answer struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// decide judges an action from an address. A real backend takes the address of
// its own socket; here the desk says it, so that one can be somewhere else.
func (b *chatBackend) decide(ctx context.Context, raw string, token *verify.Token, action string, from netip.Addr) verdict {
	v := verdict{Action: action, From: from.String()}
	local := token.May(action, from)
	v.Local = answer{local.Allowed, local.Reason}
	live, err := b.client.Ask(ctx, verify.Question{Token: raw, Action: action, Resource: policy.Resource{Type: "conversation", ID: "42"}, IP: from})
	v.Live = answer{live.Allowed, live.Reason}
	if err != nil {
		v.Live = answer{false, "no answer: " + err.Error()}
	}
	return v
}

func writeEvent(w http.ResponseWriter, event string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, raw); err != nil {
		return err
	}
	return rc.Flush()
}
