package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
)

// shopChat is the sample chat backend's side for visitors: it lets in whoever may
// chat, and asks for more where that is not enough.
type shopChat struct {
	client *verify.Client
	talks  *talks
}

func (c *shopChat) routes(mux *http.ServeMux) {
	visitor := verify.Guard{Action: policy.ActionChat}
	known := verify.Guard{Action: policy.ActionChat, Demands: policy.Demands{Assurance: []string{"signed", "federated"}}}
	mux.Handle("GET /chat/stream", c.client.Middleware(http.HandlerFunc(c.stream), visitor))
	mux.Handle("POST /chat/say", c.client.Middleware(http.HandlerFunc(c.say), visitor))
	mux.Handle("GET /chat/orders", c.client.Middleware(http.HandlerFunc(c.orders), known))
}

// stream is a visitor's open socket (server-sent events). It ends with an event that
// says why.
func (c *shopChat) stream(w http.ResponseWriter, r *http.Request) {
	token, _ := verify.FromContext(r.Context())
	ended := c.client.Watch(r.Context(), token)
	t := c.talks.of(token)
	said, lines, leave := c.talks.listen(t)
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	who, _ := token.Visitor()
	hello := map[string]any{"visitor": token.Subject, "assurance": token.Assurance, "name": who.Name, "email": who.Email, "lines": said}
	if err := writeEvent(w, "hello", hello); err != nil {
		return
	}
	for {
		select {
		case end, told := <-ended:
			if told {
				_ = writeEvent(w, "ended", map[string]string{"reason": end.Reason, "detail": end.Detail})
			}
			return
		case line := <-lines:
			if err := writeEvent(w, "line", line); err != nil {
				return
			}
		}
	}
}

const maxSaid = 500 // characters

func (c *shopChat) say(w http.ResponseWriter, r *http.Request) {
	token, _ := verify.FromContext(r.Context())
	text := strings.TrimSpace(r.PostFormValue("text"))
	if text == "" || len([]rune(text)) > maxSaid {
		http.Error(w, "between 1 and 500 characters, please", http.StatusBadRequest)
		return
	}
	t := c.talks.of(token)
	c.talks.add(t, talkLine{From: "visitor", Text: text})
	c.talks.add(t, talkLine{From: "shop", Text: greeting(token)})
	w.WriteHeader(http.StatusNoContent)
}

// greeting says who the backend thinks it talks to.
func greeting(token *verify.Token) string {
	who, _ := token.Visitor()
	switch token.Assurance {
	case "signed":
		return "Thank you, " + who.Name + ". The shop has signed that it is you."
	case "federated":
		return "Thank you, " + who.Name + ". Acme Club has said that it is you."
	}
	return "Thank you. We do not know who you are, and are glad to help."
}

// orders are shown to those whom somebody vouches for.
func (c *shopChat) orders(w http.ResponseWriter, r *http.Request) {
	token, _ := verify.FromContext(r.Context())
	who, _ := token.Visitor()
	writeJSON(w, map[string]any{"for": who.Name, "orders": []string{"Brass key ring, delivered", "Chain for five keys, on its way"}})
}
