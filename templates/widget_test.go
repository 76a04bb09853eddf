package templates

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// aShop is a page with a widget, and on another origin the issuer that it uses.
type aShop struct {
	issuer, shop string

	mu     sync.Mutex
	starts []url.Values        // of what was asked for at /federation/shop/start
	bodies []map[string]string // sent to /visitors/start
	fail   string              // a code with which signing in fails; empty: it works
}

func openShop(t *testing.T) *aShop {
	t.Helper()
	renderer := New()
	s := &aShop{}
	issuer := http.NewServeMux()
	issuer.Handle("GET /static/", Static())
	issuer.HandleFunc("GET /federation/shop/start", func(w http.ResponseWriter, r *http.Request) { s.signIn(t, renderer, w, r) })
	issuer.HandleFunc("OPTIONS /visitors/start", s.cors)
	issuer.HandleFunc("POST /visitors/start", s.token)
	a := httptest.NewServer(issuer)
	t.Cleanup(a.Close)
	b := httptest.NewServer(http.HandlerFunc(s.page))
	t.Cleanup(b.Close)
	s.issuer, s.shop = a.URL, strings.Replace(b.URL, "127.0.0.1", "localhost", 1)
	return s
}

// signIn is the issuer's answer once the visitor has signed in, or has not.
func (s *aShop) signIn(t *testing.T, renderer *Renderer, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	s.starts = append(s.starts, q)
	fail := s.fail
	s.mu.Unlock()
	frame, mode, origin := testFrame("en", r.URL.Path), q.Get("visitor"), q.Get("origin")
	if mode == ModeRedirect {
		if got := r.Referer(); got != s.shop+"/" {
			t.Errorf("it says that it comes from %q", got)
		}
		fragment := url.Values{"chatelaine_code": {"c0de"}, "chatelaine_state": {q.Get("state")}}
		if fail != "" {
			fragment = url.Values{"chatelaine_error": {fail}, "chatelaine_state": {q.Get("state")}}
		}
		http.Redirect(w, r, q.Get("return_to")+"#"+fragment.Encode(), http.StatusSeeOther)
		return
	}
	var page Page = VisitorDonePage{Frame: frame, Mode: mode, Origin: origin, Code: "c0de", State: q.Get("state")}
	if fail != "" {
		page = VisitorFailedPage{Frame: frame, Mode: mode, Origin: origin, State: q.Get("state"), Code: fail, RequestID: "5f0c1e7a9b24d3c86a10"}
	}
	ancestors := "'none'"
	if WindowOf(page).Mode == ModeFrame {
		ancestors = WindowOf(page).Origin
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-bm9uY2U'; style-src 'self' 'nonce-bm9uY2U'; img-src 'self' data:; base-uri 'none'; frame-ancestors "+ancestors)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := renderer.Render(w, page); err != nil {
		t.Error(err)
	}
}

func (s *aShop) cors(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") == s.shop {
		w.Header().Set("Access-Control-Allow-Origin", s.shop)
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	}
}

func (s *aShop) token(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	body := map[string]string{}
	json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	s.bodies = append(s.bodies, body)
	n := len(s.bodies)
	s.mu.Unlock()
	assurance := "anonymous"
	if body["proof"] != "" {
		assurance = "federated"
	}
	json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprintf("t%d", n), "token_type": "Bearer", "expires_in": 300, "visitor_id": "v1", "assurance": assurance, "renew": fmt.Sprintf("r%d", n)})
}

// page is the shop's, with a policy that lets it load and frame the issuer only.
func (s *aShop) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self' "+s.issuer+"; connect-src "+s.issuer+"; frame-src "+s.issuer)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case "/widget.js":
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, widgetScript, s.issuer, s.issuer)
	case "/favicon.ico":
		http.NotFound(w, r)
	default:
		fmt.Fprint(w, `<!doctype html><title>Shop</title><button id="popup">pop-up</button><button id="frame">frame</button><button id="redirect">redirect</button><div id="box"></div><p id="said"></p><script type="module" src="/widget.js"></script>`)
	}
}

const widgetScript = `import { Chatelaine } from "%s/static/visitor.js";
const say = (text) => { document.getElementById("said").textContent = text; };
addEventListener("unhandledrejection", (event) => say("unhandled " + event.reason));
const chat = await Chatelaine.start({ issuer: "%s" });
say((chat.signInError ? chat.signInError.code + " " : "") + chat.assurance);
for (const mode of ["popup", "frame", "redirect"]) {
  document.getElementById(mode).addEventListener("click", () => {
    say("…");
    chat.signIn({ connection: "shop", mode, container: document.getElementById("box") }).then(async () => say(chat.assurance + " " + await chat.token()), (err) => say(err.code));
  });
}
`

// widgetSays waits for what the widget says.
func (b *browser) widgetSays(t *testing.T, want string) {
	t.Helper()
	var got string
	for range 120 {
		if got = eval[string](t, b, `document.getElementById("said")?.textContent ?? ""`); got == want {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("the widget says %q, not %q", got, want)
}

// A widget on another origin than the issuer's signs its visitor in, in each way.
func widgetSignsIn(t *testing.T, b *browser) {
	for _, fail := range []string{"", "provider_refused"} {
		for _, mode := range []string{"popup", "frame", "redirect"} {
			s := openShop(t)
			s.fail = fail
			b.do(t, chromedp.Navigate(s.shop+"/basket?x=1#/chat"))
			b.widgetSays(t, "anonymous")
			b.do(t, chromedp.Click(chromedp.ID(mode)))
			switch {
			case mode == "redirect" && fail == "":
				b.widgetSays(t, "federated")
			case mode == "redirect":
				b.widgetSays(t, fail+" anonymous")
			case fail == "":
				b.widgetSays(t, "federated t2")
			default:
				b.widgetSays(t, fail)
			}
			if at := eval[string](t, b, `location.href`); at != s.shop+"/basket?x=1#/chat" {
				t.Errorf("%s: the page is at %s", mode, at)
			}
			if left := eval[int](t, b, `document.querySelectorAll("iframe").length`); (left == 1) != (mode == "frame" && fail != "") {
				t.Errorf("%s %s: %d frames are left", mode, fail, left)
			}
			s.asked(t, mode, fail)
		}
	}
}

// asked checks what the issuer was asked for.
func (s *aShop) asked(t *testing.T, mode, fail string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.starts) != 1 || s.starts[0].Get("visitor") != mode || s.starts[0].Get("origin") != s.shop || len(s.starts[0].Get("code_challenge")) != 43 {
		t.Errorf("%s: started with %v", mode, s.starts)
	}
	if last := s.bodies[len(s.bodies)-1]; fail == "" && (last["proof"] != "c0de" || last["renew"] != "r1" || len(last["code_verifier"]) != 43) || fail != "" && last["proof"] != "" {
		t.Errorf("%s %s: the last token was asked for with %v", mode, fail, last)
	}
}

// A page that has opened or framed the issuer's, but is not of the origin that the
// code is for, hears nothing of it.
func codeIsToldToItsOriginOnly(t *testing.T, b *browser) {
	s := openShop(t)
	b.do(t, chromedp.Navigate(strings.Replace(s.shop, "localhost", "127.0.0.1", 1)+"/"))
	start := s.issuer + "/federation/shop/start?visitor=popup&state=s&origin=" + url.QueryEscape(s.shop)
	eval[chromedp.Void](t, b, `window.heard = 0; addEventListener("message", () => { heard++; }); document.getElementById("popup").onclick = () => { window.popped = open("`+start+`"); }`)
	b.do(t, chromedp.Click(chromedp.ID("popup")))
	for range 120 {
		if eval[bool](t, b, `popped?.closed`) {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if heard := eval[int](t, b, `heard`); heard != 0 {
		t.Errorf("a stranger heard %d messages", heard)
	}
	b.complaints() // that it was not told
	b.do(t, chromedp.Navigate("about:blank"))
}
