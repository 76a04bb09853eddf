package templates

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// nasties are values that must come out as the text they are.
var nasties = []string{
	`"><script>alert(1)</script>`,
	`' onfocus=alert(1) autofocus x='`,
	"</title></style><img src=x onerror=alert(1)>",
	"line\u2028separator\u2029and\x00nul",
	"{{.Nonce}} [[sign_in.title]]",
	"javascript:alert(1)",
	"\u202eevil\u202c",
}

// fill sets every string in a page to s, and every fact to yes, however deep.
func fill(v reflect.Value, s string, yes bool) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Int:
		v.SetInt(400)
	case reflect.Bool:
		v.SetBool(yes)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), s, yes)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), s, yes)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), s, yes)
			}
		}
	}
}

// filled is a copy of a page with every string set to s, but for what would
// make it refuse to render.
func filled(page Page, s string, yes bool) Page {
	v := reflect.New(reflect.TypeOf(page)).Elem()
	fill(v, s, yes)
	for field, value := range map[string]string{"Action": "/form", "Locale": "en", "Nonce": "bm9uY2U", "Base": ""} {
		if f := v.FieldByName(field); f.IsValid() {
			f.SetString(value)
		}
	}
	for _, field := range reflect.VisibleFields(v.Type()) {
		if strings.HasSuffix(field.Name, "Action") || slices.Contains([]string{"PasskeyURL", "OptionsURL", "CheckURL"}, field.Name) {
			v.FieldByIndex(field.Index).SetString("/form")
		}
	}
	switch page.(type) {
	case FormPostPage, ProviderPostPage:
		v.FieldByName("Action").SetString("https://desk.example/callback")
	case SetUpDonePage: // with codes it is a form
		v.FieldByName("SignInURL").SetString("/form")
	case SingleSignOutPage:
		v.FieldByName("Action").SetString("https://idp.example/slo")
		v.FieldByName("URL").SetString("")
	case VisitorDonePage, VisitorFailedPage:
		v.FieldByName("Origin").SetString("https://shop.example")
		v.FieldByName("Mode").SetString(ModeFrame)
	}
	return v.Interface().(Page)
}

func TestNothingACallerPassesBecomesMarkup(t *testing.T) {
	t.Parallel()
	for _, page := range samples("en") {
		// The page of plain words says how many elements there may be.
		plain := elements(t, render(t, filled(page, "word", false)))
		for i, nasty := range append(nasties, nasties...) {
			out := render(t, filled(page, nasty, i >= len(nasties)))
			if got := elements(t, out); got["script"] != 1 || got["img"] > plain["img"] || got["style"] > 1 || got["iframe"] > 0 {
				t.Errorf("%T with %q has other elements: %v, plain ones: %v", page, nasty, got, plain)
			}
			for attr, value := range attributes(t, out) {
				if strings.HasPrefix(attr, "on") || attr == "style" || attr == "srcdoc" || attr == "formaction" {
					t.Errorf("%T with %q has an attribute %s=%q", page, nasty, attr, value)
				}
				if (attr == "href" || attr == "src" || attr == "action") && strings.HasPrefix(strings.ToLower(value), "javascript:") {
					t.Errorf("%T with %q leads to %q", page, nasty, value)
				}
			}
		}
	}
}

func elements(t *testing.T, page string) map[string]int {
	t.Helper()
	count := map[string]int{}
	each(t, page, func(n *html.Node) { count[n.Data]++ })
	return count
}

func attributes(t *testing.T, page string) map[string]string {
	t.Helper()
	all := map[string]string{}
	each(t, page, func(n *html.Node) {
		for _, a := range n.Attr {
			if old, ok := all[a.Key]; !ok || !strings.HasPrefix(old, "javascript:") {
				all[a.Key] = a.Val
			}
		}
	})
	return all
}

func each(t *testing.T, page string, visit func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			visit(n)
		}
	}
}

func TestFormsGoToThisHostOnly(t *testing.T) {
	t.Parallel()
	r := New()
	for _, action := range []string{"javascript:alert(1)", "//evil.example/", `/\evil.example`, "/\t/evil.example", "https://evil.example/", "form", "data:text/html,x", "/a b", "/a\r\nb"} {
		for _, page := range []Page{SignInPage{Action: action}, ConsentPage{Action: action}, SignOutPage{Action: action}, SetUpPage{Action: action},
			SignInPage{PasskeyURL: action}, CodePage{PasskeyAction: action}, EnrolPage{SkipAction: action}, PasskeyPage{OptionsURL: action}, RecoveryCodesPage{Action: action},
			NewPasswordPage{CheckURL: action}, ForgotPage{Action: action}, SessionsFullPage{Action: action}, BreakGlassPage{Action: action}, AccountBreakGlassPage{Action: action}, AccountProfilePage{Action: action},
			AccountPasswordPage{CheckURL: action}, AccountFactorsPage{ForgetAllAction: action}, AccountSessionsPage{EndOthersAction: action}, AccountAppsPage{RevokeAction: action}, ConfirmPage{Action: action},
			FederationConfirmPage{Action: action}, RehearsePage{Action: action},
		} {
			var b bytes.Buffer
			if err := r.Render(&b, page); err == nil {
				t.Errorf("%T with action %q was rendered", page, action)
			}
			if b.Len() > 0 {
				t.Errorf("%T with action %q left half a page", page, action)
			}
		}
	}
}

func TestAnAnswerIsPostedOverTheWebOnly(t *testing.T) {
	t.Parallel()
	r := New()
	for _, action := range []string{"", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "com.example.app:/cb", "/path", "//host/path", "https:", "file:///etc/passwd"} {
		for _, page := range []Page{FormPostPage{Action: action}, ProviderPostPage{Action: action}, SingleSignOutPage{Action: action}, SingleSignOutPage{URL: action}} {
			if _, ok := page.(SingleSignOutPage); ok && action == "" {
				continue // there is nothing to go on with
			}
			if err := r.Render(io.Discard, page); err == nil {
				t.Errorf("%T with action %q was rendered", page, action)
			}
		}
	}
	page := render(t, FormPostPage{Action: "https://desk.example/cb?x=1&y=\"><script>", Fields: []Field{{"state", "\"><script>\u2028"}}})
	if elements(t, page)["script"] != 1 {
		t.Errorf("markup got in:\n%s", page)
	}
}

// A client's logo elsewhere would tell that host who looks at the page.
func TestNoPictureComesFromAnOutsideHost(t *testing.T) {
	t.Parallel()
	for _, logo := range []string{"https://rota.example/logo.png", "//rota.example/logo.png", "javascript:alert(1)", "data:image/svg+xml;base64,PHN2Zz4=", "data:text/html;base64,eA==", "data:image/png;base64,eA==\" onerror=x", `/\evil.example/x.png`} {
		page := render(t, ConsentPage{Frame: Frame{Logo: logo}, ClientName: "Rota", LogoURI: logo})
		if n := elements(t, page)["img"]; n != 0 {
			t.Errorf("%q is shown", logo)
		}
	}
	for _, logo := range []string{"/acme/logo.png", "data:image/png;base64,iVBORw0KGgo="} {
		page := render(t, ConsentPage{Frame: Frame{Logo: logo}, ClientName: "Rota", LogoURI: logo})
		if n := elements(t, page)["img"]; n != 2 {
			t.Errorf("%q is not shown", logo)
		}
	}
}

func TestAClientsAddressIsALinkOnlyOverTheWeb(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]bool{"https://rota.example/": true, "http://rota.example": true, "javascript:alert(1)": false, "rota.example": false, "data:text/html,x": false, "": false} {
		page := render(t, ConsentPage{ClientURI: uri})
		if got := strings.Contains(page, `target="_blank"`); got != want {
			t.Errorf("client_uri %q: link %v, want %v", uri, got, want)
		}
	}
}
