package verify_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

func Example() {
	issuer := verifytest.Open() // in a program: the site's issuer, named in Options
	defer issuer.Close()
	ctx := context.Background()

	client, err := verify.New(ctx, issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	token, err := client.Token(ctx, issuer.Token(verifytest.Claims{"entitlements": []string{"chat.join"}}))
	if err != nil {
		log.Fatal(err)
	}
	from := netip.MustParseAddr("203.0.113.5") // the socket's address
	fmt.Println(token.Subject, token.May("chat.join", from).Reason)
	fmt.Println(token.Subject, token.May("visitor.ban", from).Reason)
	// Output:
	// ana allowed
	// ana permission_missing
}

// open is an issuer and a client of it.
func open() (*verifytest.Issuer, *verify.Client) {
	issuer := verifytest.Open()
	client, err := verify.New(context.Background(), issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	return issuer, client
}

// A socket is closed within a second of the end of the session that it lives on.
func ExampleClient_Watch() {
	issuer, client := open()
	defer issuer.Close()
	defer client.Close()
	ctx := context.Background()

	token, err := client.Token(ctx, issuer.Token(nil))
	if err != nil {
		log.Fatal(err)
	}
	ended := client.Watch(ctx, token)
	issuer.Revoke(verifytest.Revocation{SID: token.SID, Reason: "sign_out"})
	end := <-ended
	fmt.Println(end.Reason, end.Detail)
	// Output: revoked sign_out
}

func ExampleClient_Middleware() {
	issuer, client := open()
	defer issuer.Close()
	defer client.Close()

	ban := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := verify.FromContext(r.Context())
		fmt.Fprintf(w, "banned by %s", token.Subject)
	})
	handler := client.Middleware(ban, verify.Guard{
		Action:  "visitor.ban",
		Demands: policy.Demands{ACR: []string{"aal2", "phr"}, MaxAge: time.Hour},
	})

	r := httptest.NewRequest(http.MethodPost, "/visitors/7/ban", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"entitlements": []string{"visitor.ban"}}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401
	// Bearer realm="https://chat.example", error="insufficient_user_authentication", error_description="step_up_required", acr_values="aal2 phr"
}

// The server knows what a token cannot: here, a role that was given a moment ago.
func ExampleClient_Ask() {
	issuer, client := open()
	defer issuer.Close()
	defer client.Close()
	issuer.Decide(func(q verifytest.Question) policy.Decision {
		return policy.Decision{Allowed: q.Subject.ID == "ana", Reason: policy.ReasonAllowed}
	})

	decision, err := client.Ask(context.Background(), verify.Question{
		Subject:  policy.Resource{Type: policy.Agent, ID: "ana"},
		Action:   "visitor.ban",
		Resource: policy.Resource{Type: "conversation", ID: "7"},
		IP:       netip.MustParseAddr("203.0.113.5"),
	})
	if err != nil {
		log.Fatal(err) // nobody answered: deny
	}
	fmt.Println(decision.Allowed, decision.Reason)
	// Output: true allowed
}

// A visitor whom nobody vouches for is told to sign in.
func ExampleClient_Middleware_visitor() {
	issuer, client := open()
	defer issuer.Close()
	defer client.Close()

	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := verify.FromContext(r.Context())
		visitor, _ := token.Visitor()
		fmt.Fprintf(w, "orders of %s", visitor.ExternalID)
	})
	handler := client.Middleware(orders, verify.Guard{
		Action:  policy.ActionChat,
		Demands: policy.Demands{Assurance: []string{"signed", "federated"}},
	})

	for _, assurance := range []string{"anonymous", "signed"} {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"subject_type": "visitor", "assurance": assurance, "external_id": "cust-17"}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Body)
		} else {
			fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	// Output:
	// 401 Bearer realm="https://chat.example", error="insufficient_user_authentication", error_description="step_up_required", acr_values="signed federated"
	// orders of cust-17
}
