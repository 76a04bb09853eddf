package provider_test

import (
	"cmp"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is a person's browser without script: it keeps cookies, follows
// redirects up to a URL that is not ours, and submits forms as they stand.
type browser struct {
	t      testing.TB
	client *http.Client
	// referer is the page that leads to a visitor's sign-in; empty: the widget's.
	referer string
	stop    string // a redirect to a URL that begins so is not followed
}

func newBrowser(t testing.TB, stop string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, stop: stop}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if b.stop != "" && strings.HasPrefix(r.URL.String(), b.stop) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// page is what the browser shows, or where it was sent outside.
type page struct {
	url    *url.URL
	status int
	body   string
	header http.Header
	away   *url.URL // the redirect to stop, if there was one
}

func (b *browser) get(target string) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, target, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if req.URL.Query().Get("visitor") == "redirect" {
		req.Header.Set("Referer", cmp.Or(b.referer, widgetOrigin+"/cart"))
	}
	req.Header.Set("Accept", "text/html") // mod_auth_openidc starts a sign-in only for what looks like a browser
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.read(resp)
}

func (b *browser) read(resp *http.Response) page {
	b.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := page{url: resp.Request.URL, status: resp.StatusCode, body: string(body), header: resp.Header}
	if loc := resp.Header.Get("Location"); loc != "" && resp.StatusCode/100 == 3 {
		if p.away, err = resp.Request.URL.Parse(loc); err != nil {
			b.t.Fatal(err)
		}
	}
	return p
}

var (
	formTag    = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	controlTag = regexp.MustCompile(`(?is)<(input|button)\b([^>]*)>`)
	attribute  = regexp.MustCompile(`(?is)([a-z_-]+)\s*=\s*"([^"]*)"`)
)

func attributes(s string) map[string]string {
	m := map[string]string{}
	for _, a := range attribute.FindAllStringSubmatch(s, -1) {
		m[strings.ToLower(a[1])] = html.UnescapeString(a[2])
	}
	return m
}

// submit fills in the first POST form of the page and presses the button with
// that id ("" for none that has a name).
func (b *browser) submit(p page, button string, fill map[string]string) page {
	b.t.Helper()
	for _, m := range formTag.FindAllStringSubmatch(p.body, -1) {
		form := attributes(m[1])
		if !strings.EqualFold(form["method"], "post") {
			continue
		}
		values := url.Values{}
		for _, c := range controlTag.FindAllStringSubmatch(m[2], -1) {
			a := attributes(c[2])
			if a["name"] == "" || strings.EqualFold(c[1], "button") && a["id"] != button {
				continue
			}
			values.Set(a["name"], a["value"])
		}
		for k, v := range fill {
			if !values.Has(k) {
				b.t.Fatalf("the form on %s has no field %s", p.url.Path, k)
			}
			values.Set(k, v)
		}
		action, err := p.url.Parse(form["action"])
		if err != nil {
			b.t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, action.String(), strings.NewReader(values.Encode()))
		if err != nil {
			b.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", p.url.Scheme+"://"+p.url.Host)
		resp, err := b.client.Do(req)
		if err != nil {
			b.t.Fatal(err)
		}
		return b.read(resp)
	}
	b.t.Fatalf("no form on %s (status %d): %s", p.url.Path, p.status, p.body)
	return page{}
}

// signIn walks from an authorization URL through the sign-in page, and returns
// where the browser was sent in the end.
func (b *browser) signIn(authorize, email, password string) page {
	b.t.Helper()
	p := b.get(authorize)
	if p.away != nil {
		return p
	}
	return b.submit(p, "continue", map[string]string{"email": email, "password": password})
}

// forget drops the cookies of the site whose names end so. What it returns brings them back.
func (b *browser) forget(site, name string) (back func()) {
	b.t.Helper()
	u, err := url.Parse(site)
	if err != nil {
		b.t.Fatal(err)
	}
	var dropped []*http.Cookie
	for _, c := range b.client.Jar.Cookies(u) {
		if strings.HasSuffix(c.Name, name) {
			b.client.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Path: "/", MaxAge: -1, Secure: true}})
			dropped = append(dropped, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", Secure: true})
		}
	}
	if dropped == nil {
		b.t.Fatalf("no cookie is named %s", name)
	}
	return func() { b.client.Jar.SetCookies(u, dropped) }
}
