package templates

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// authenticator gives the tab a device with a screen lock, until the test is over,
// and pages an address that passkeys can belong to.
func (b *browser) authenticator(t *testing.T) webauthn.AuthenticatorID {
	t.Helper()
	call(t, b, webauthn.Enable, webauthn.EnableParams{})
	made, err := chromedp.Call(b.tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	before := b.url
	b.url = strings.Replace(b.url, "127.0.0.1", "localhost", 1)
	t.Cleanup(func() {
		b.url = before
		b.do(t, chromedp.Navigate("about:blank"))
		call(t, b, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams(made))
	})
	return made.AuthenticatorID
}

const challenge = "Y2hhbGxlbmdlIGNoYWxsZW5nZSBjaGFsbGVuZ2U"

// options answers script as the server does; the IDs are of passkeys known already.
func options(creation bool, ids ...string) func(http.ResponseWriter, *http.Request) {
	list := []map[string]string{}
	for _, id := range ids {
		list = append(list, map[string]string{"type": "public-key", "id": id})
	}
	o := map[string]any{"challenge": challenge, "timeout": 60000, "rpId": "localhost", "userVerification": "required", "allowCredentials": list}
	if creation {
		o = map[string]any{
			"challenge": challenge, "timeout": 60000, "rp": map[string]string{"id": "localhost", "name": "Acme Support"},
			"user":             map[string]string{"id": "cmFq", "name": "raj@acme.example", "displayName": "Raj Patel"},
			"pubKeyCredParams": []map[string]any{{"type": "public-key", "alg": -7}, {"type": "public-key", "alg": -257}}, "excludeCredentials": list,
			"authenticatorSelection": map[string]any{"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
		}
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"publicKey": o})
	}
}

// answered is the passkey's answer in the one form that was sent, and the form.
func (b *browser) answered(t *testing.T, path string) (id string, response map[string]any, form url.Values) {
	t.Helper()
	sent := b.sent()
	if len(sent) != 1 || !strings.HasPrefix(sent[0], path+"?") {
		t.Fatalf("sent %q", sent)
	}
	form, err := url.ParseQuery(strings.TrimPrefix(sent[0], path+"?"))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		ID, RawID, Type string
		Response        map[string]any
	}
	if err := json.Unmarshal([]byte(form.Get("credential")), &answer); err != nil {
		t.Fatalf("%v: %s", err, form.Get("credential"))
	}
	client, err := base64.RawURLEncoding.DecodeString(fmt.Sprint(answer.Response["clientDataJSON"]))
	if err != nil || !strings.Contains(string(client), `"challenge":"`+challenge+`"`) {
		t.Fatalf("%v: client data %s", err, client)
	}
	if answer.ID == "" || answer.ID != answer.RawID || answer.Type != "public-key" {
		t.Fatalf("answer %+v", answer)
	}
	return answer.ID, answer.Response, form
}

// makePasskey makes a passkey on its page and returns its ID.
func (b *browser) makePasskey(t *testing.T) string {
	t.Helper()
	b.answers(options(true))
	b.open(t, "en", "passkey")
	b.do(t, chromedp.SendKeys(chromedp.ID("name"), "Work laptop"), chromedp.Click(chromedp.ID("passkey")), chromedp.WaitNotPresent(chromedp.ID("passkey")))
	id, response, form := b.answered(t, "/account/factors/passkey")
	if form.Get("name") != "Work laptop" || form.Get("csrf") != "c5rf" || response["attestationObject"] == nil || fmt.Sprint(response["transports"]) != "[internal]" {
		t.Errorf("sent %v, response %v", form, response)
	}
	return id
}

func passkeyIsMadeAndUsed(t *testing.T, b *browser) {
	b.authenticator(t)
	id := b.makePasskey(t)
	b.answers(options(false, id))
	b.open(t, "en", "code")
	b.do(t, chromedp.Click(chromedp.ID("remember")), chromedp.Click(chromedp.ID("passkey")), chromedp.WaitNotPresent(chromedp.ID("passkey")))
	used, response, form := b.answered(t, "/sign-in/f1/passkey")
	if used != id || response["signature"] == nil || response["authenticatorData"] == nil || response["userHandle"] != "cmFq" || form.Get("remember") != "1" {
		t.Errorf("sent %v, response %v", form, response)
	}
}

// A passkey that is picked in the field for the e-mail address is the whole
// sign-in; the virtual device picks it at once.
func passkeyOffersItself(t *testing.T, b *browser) {
	b.authenticator(t)
	id := b.makePasskey(t)
	b.answers(options(false))
	b.open(t, "en", "sign_in_passkey")
	b.do(t, chromedp.WaitNotPresent(chromedp.ID("passkey")))
	if used, _, _ := b.answered(t, "/sign-in/f1/passkey"); used != id {
		t.Errorf("used %s, not %s", used, id)
	}
}

// says waits until the page says that about the passkey.
func (b *browser) says(t *testing.T, want string) {
	t.Helper()
	said := ""
	for range 80 {
		if said = eval[string](t, b, `document.querySelector(".said").textContent`); strings.HasPrefix(said, want) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("it says %q, not %q", said, want)
}

func passkeyFails(t *testing.T, b *browser) {
	device := b.authenticator(t)
	id := b.makePasskey(t)
	press := chromedp.Click(chromedp.ID("passkey"))
	verified := func(yes bool) {
		call(t, b, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: yes})
	}

	b.answers(options(true, id))
	b.open(t, "en", "passkey")
	b.do(t, press)
	b.says(t, "This device already holds a passkey")
	b.screenshot(t, "passkey-exists-already")

	b.answers(options(false, id))
	b.open(t, "en", "code_passkey")
	verified(false)
	b.do(t, press)
	b.says(t, "No passkey was used")
	b.answers(nil)
	b.do(t, press)
	b.says(t, "That didn’t work")
	b.screenshot(t, "passkey-failed")
	b.answers(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"publicKey":{}}`) })
	b.do(t, press)
	b.says(t, "That didn’t work")
	b.expect(t)
	b.answers(options(false, id))
	verified(true)
	b.do(t, press, chromedp.WaitNotPresent(chromedp.ID("passkey")))
	b.answered(t, "/sign-in/f1/passkey")

	// Enter in the field for the name is the same as the button.
	b.answers(options(true, id))
	b.open(t, "en", "passkey")
	b.do(t, chromedp.SendKeys(chromedp.ID("name"), "x"+kb.Enter))
	b.says(t, "This device already holds a passkey")
	b.expect(t)
}

func noPasskeys(t *testing.T, b *browser) {
	const shown = `[...document.querySelectorAll("#passkey, #name, [data-no-passkey], .or, #continue")].filter(e => e.checkVisibility()).map(e => e.id || e.className).join(" ")`
	check := func(sample, want string) {
		t.Helper()
		b.open(t, "en", sample)
		if got := eval[string](t, b, shown); got != want {
			t.Errorf("%s shows %q, want %q", sample, got, want)
		}
	}
	b.script(t, false)
	check("passkey", "problem plainly")
	check("code_passkey", "problem plainly")
	check("code", "continue")
	check("enrol", "name continue")
	check("sign_in_passkey", "continue")
	b.script(t, true)
	old, err := chromedp.Call(b.tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: "delete window.PublicKeyCredential"})
	if err != nil {
		t.Fatal(err)
	}
	check("passkey", "problem plainly")
	check("sign_in_passkey", "continue")
	b.screenshot(t, "passkey-impossible")
	call(t, b, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams(old))
	check("passkey", "name passkey")
	check("enrol", "passkey or name continue")
}

func rulesAreTicked(t *testing.T, b *browser) {
	const ticks = `[...document.querySelectorAll("#rules li")].filter(e => e.checkVisibility()).map(e => e.dataset.rule + ":" + e.dataset.state).join(" ")`
	await := func(want string) {
		t.Helper()
		got := ""
		for range 80 {
			if got = eval[string](t, b, ticks); got == want {
				return
			}
			time.Sleep(25 * time.Millisecond)
		}
		t.Errorf("ticks are %q, want %q", got, want)
	}
	const unknown = "length: kinds: names: common: breached: history:"
	b.answers(func(w http.ResponseWriter, r *http.Request) {
		pw := r.PostForm.Get("new_password")
		if r.PostForm.Get("csrf") != "c5rf" || len(r.PostForm) != 2 {
			t.Errorf("asked with %v", r.PostForm)
		}
		fmt.Fprintf(w, `{"rules":[{"rule":"length","ok":%v,"wanted":8},{"rule":"kinds","ok":true},{"rule":"history","ok":true,"later":true},{"rule":"too_long","ok":%v},{"rule":"new","ok":false}]}`, len(pw) >= 8, len(pw) < 12)
	})
	field := chromedp.ID("new_password")
	b.open(t, "en", "account_password")
	await(unknown)
	b.do(t, chromedp.SendKeys(field, "kurz"))
	await("length:failed kinds:ok names: common: breached: history:")
	if said := eval[string](t, b, `document.getElementById("rules-say").textContent`); said != "Still missing: At least 8 characters" {
		t.Errorf("said %q", said)
	}
	b.do(t, chromedp.SendKeys(field, "lang"))
	await("length:ok kinds:ok names: common: breached: history:")
	b.do(t, chromedp.SendKeys(field, "much too long"))
	await("length:ok kinds:ok names: common: breached: history: too_long:failed")
	b.screenshot(t, "password-rules")
	b.answers(nil) // what was known is of another password by now
	b.do(t, chromedp.SendKeys(field, "!"))
	await(unknown)
	b.complaints() // the browser notes the 404 itself
	b.expect(t)
	// At the set-up, whose they will be is typed beside.
	asked := make(chan string, 10)
	b.answers(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.PostForm.Encode()
		fmt.Fprint(w, `{"rules":[{"rule":"length","ok":true},{"rule":"names","ok":false}]}`)
	})
	b.open(t, "en", "set_up")
	b.do(t, chromedp.SendKeys(chromedp.ID("name"), "Ana"), chromedp.SendKeys(field, "Ana-Silva"))
	await("length:ok kinds: names:failed common: breached:")
	if got := <-asked; got != "email=&name=Ana&new_password=Ana-Silva" {
		t.Errorf("asked with %s", got)
	}
	b.do(t, chromedp.SendKeys(chromedp.ID("email"), "a@b.example")) // asks anew
	select {
	case <-asked:
	case <-time.After(5 * time.Second):
		t.Error("an address that is typed later is not looked at")
	}
	b.answers(nil)
	b.expect(t)
}

func codesAreKept(t *testing.T, b *browser) {
	b.open(t, "en", "recovery_codes_unkept")
	eval[chromedp.Void](t, b, `navigator.clipboard.writeText = async (text) => { window.copied = text; }; window.print = () => { window.printed = true; }`)
	b.do(t, chromedp.Click(chromedp.ID("copy")), chromedp.Click(chromedp.ID("print")))
	lines := strings.Split(eval[string](t, b, `copied`), "\n")
	if len(lines) != 11 || lines[0] != "7QFT-2M9K-X4WC-8R0B" || lines[10] != "" {
		t.Errorf("copied %q", lines)
	}
	if words := eval[string](t, b, `document.getElementById("copy").textContent`); words != "Copied" || !eval[bool](t, b, `printed`) {
		t.Errorf("the button says %q", words)
	}
	file := eval[string](t, b, `fetchText(document.getElementById("download").href); function fetchText(u) { return decodeURIComponent(u.slice(u.indexOf(",") + 1)); }`)
	if !strings.HasPrefix(file, "\ufeffYour recovery codes\r\n\r\nAcme Support\r\n\r\n7QFT-2M9K-X4WC-8R0B\r\n") || !strings.HasSuffix(file, "W0MA-4ZRN-J7HE-D5QP\r\n") {
		t.Errorf("the file is %q", file)
	}

	// On paper there are the codes, whose they are, and nothing to press.
	b.open(t, "en", "set_up_done_codes")
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	b.screenshot(t, "codes-on-paper")
	if got := eval[string](t, b, `["#codes", ".site", ".sheet p", ".tools", ".foot", "#continue"].filter(s => document.querySelector(s).checkVisibility()).join(" ")`); got != "#codes .site .sheet p" {
		t.Errorf("on paper: %s", got)
	}
	b.media(t)

	// The browser itself asks for the tick: the codes are shown once.
	b.open(t, "en", "set_up_done_codes")
	b.do(t, chromedp.Click(chromedp.ID("continue")), chromedp.Sleep(100*time.Millisecond))
	if path := eval[string](t, b, `location.pathname`); path != "/page/en/set_up_done_codes" {
		t.Errorf("it goes on to %s without the codes being kept", path)
	}
	b.open(t, "en", "recovery_codes")
	b.do(t, chromedp.Click(chromedp.ID("continue")), chromedp.Sleep(100*time.Millisecond))
	b.expect(t)
	b.do(t, chromedp.Click(chromedp.ID("saved")), chromedp.Click(chromedp.ID("continue")), chromedp.WaitNotPresent(chromedp.ID("continue")))
	b.expect(t, "/sign-in/f1/codes?saved=1")
}

func timesAreTheReaders(t *testing.T, b *browser) {
	const first = `document.querySelector("time").textContent`
	call(t, b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"})
	defer call(t, b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{})
	for locale, want := range map[string]string{"en": "November 23, 2026 at 4:05", "de": "23. November 2026 um 16:05", "ar": "23 نوفمبر 2026 في 4:05 م"} {
		b.open(t, locale, "account_sessions")
		if got := eval[string](t, b, first); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", locale, got, want)
		}
	}
	b.script(t, false)
	b.open(t, "en", "account_sessions")
	if got := eval[string](t, b, first); got != "23 November 2026, 07:05 UTC" {
		t.Errorf("without script: %q", got)
	}
}
