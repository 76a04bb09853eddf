package federation

import (
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// atShop is an attempt of a visitor of the shop's.
func atShop() *attempt {
	at := &attempt{site: &site.Site{Settings: store.Settings{}}, conn: &store.Connection{For: store.ForVisitors}}
	at.site.Settings.Visitors = store.VisitorRules{SignIn: store.SignInOptional, Origins: []string{"https://shop.example"}}
	return at
}

func TestAWidgetComesBackToItsOwnOriginOnly(t *testing.T) {
	t.Parallel()
	at := atShop()
	for _, bad := range []string{
		"", "/", "//evil.example/", "https://shop.example", "https://shop.example.evil.example/", "https://shop.example@evil.example/", "https://shop.example:443/", "https://shop.example:8443/x",
		"https://SHOP.example/", "http://shop.example/", "https:/shop.example/", "https:shop.example/", "https:///shop.example/", "https://shop.example\\@evil.example/", "https://shop.example/\\evil.example",
		"https://shop.example/\r\nX: y", "https://shop.example/\tx", "https://shop.example/ x", "https://shop.example/#x", "https://shop.example/x#", "https://user@shop.example/", "https://shop.example/%zz",
		"javascript:alert(1)//https://shop.example/", "data:text/html,x", "https://shop.example。/", "https://shop.example./", "\u00a0https://shop.example/", "https://shop.example/\x00", "https://shop.example/\x7f",
		"https://shop.example/" + strings.Repeat("a", 1000), "https://shop.example;evil.example/", "https://shop.example?x/", "https://shop.example%2f@evil.example/",
	} {
		if at.mayReturn(visitorFlow{Origin: "https://shop.example", ReturnTo: bad}) {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestWhatAWidgetAsksIsWholeOrRefused(t *testing.T) {
	t.Parallel()
	at := atShop()
	good := visitorFlow{Mode: displayRedirect, Origin: "https://shop.example", Challenge: strings.Repeat("A", 43), State: "s", ReturnTo: "https://shop.example/cart?x=1"}
	if err := at.mayAsk(good, "S256"); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*visitorFlow) string{
		"plain": func(*visitorFlow) string { return "plain" }, "no method": func(*visitorFlow) string { return "" },
		"a short challenge": func(f *visitorFlow) string { f.Challenge = "AAAA"; return "S256" }, "trailing bits": func(f *visitorFlow) string { f.Challenge = strings.Repeat("A", 42) + "B"; return "S256" },
		"padding": func(f *visitorFlow) string { f.Challenge += "="; return "S256" }, "a line break": func(f *visitorFlow) string { f.Challenge = f.Challenge[:20] + "\n" + f.Challenge[20:]; return "S256" },
		"no state": func(f *visitorFlow) string { f.State = ""; return "S256" }, "a long state": func(f *visitorFlow) string { f.State = strings.Repeat("s", 201); return "S256" },
		"another mode": func(f *visitorFlow) string { f.Mode = "window"; return "S256" }, "origin null": func(f *visitorFlow) string { f.Origin = "null"; return "S256" },
		"return_to in a pop-up": func(f *visitorFlow) string { f.Mode = displayPopup; return "S256" },
	} {
		f := good
		method := spoil(&f)
		if at.mayAsk(f, method) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
