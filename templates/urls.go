package templates

import (
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Where a page sends people or their data, the scheme is checked here: what
// html/template does with a bad one (#ZgotmplZ) would lose the data silently.

func (Frame) check() error { return nil }
func (p SignInPage) check() error {
	return local(p.Action, p.PasskeyAction, p.PasskeyURL)
}
func (p ConsentPage) check() error { return local(p.Action) }
func (p SignOutPage) check() error { return local(p.Action) }
func (p SetUpPage) check() error   { return local(p.Action, p.CheckURL) }
func (p SetUpDonePage) check() error {
	return local(p.SignInURL)
}
func (p FormPostPage) check() error {
	if !web(p.Action) {
		return errors.New("a form may be posted to http and https only")
	}
	return nil
}

// local accepts addresses of forms on this host: a path, or nothing (the page itself).
func local(actions ...string) error {
	for _, action := range actions {
		if action != "" && !ours(action) {
			return fmt.Errorf("form action %q is not a path on this host", action)
		}
	}
	return nil
}

// ours reports whether s is an absolute path on this host, as browsers read it:
// they take \ for / and drop tabs and line ends, so that /\evil is another host.
func ours(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '\\' || r == 0x7f
	})
}

// web reports whether s is an absolute http or https address.
func web(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

var origins = regexp.MustCompile(`^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

// origin reports whether s is the origin of web pages as browsers write it.
func origin(s string) bool { return web(s) && origins.MatchString(s) }

// link gives s back if it may be followed from a page, else "".
func link(s string) string {
	if ours(s) || web(s) || strings.HasPrefix(s, "mailto:") {
		return s
	}
	return ""
}

// outside gives s back if it is a web address, else "".
func outside(s string) string {
	if web(s) {
		return s
	}
	return ""
}

// host is the host that a web address names, "" if it is none.
func host(s string) string {
	if !web(s) {
		return ""
	}
	u, _ := url.Parse(s)
	return u.Host
}

var imageData = regexp.MustCompile(`^data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}$`)

// picture gives s back if it may be shown: our own, or inside the page already.
func picture(s string) template.URL {
	if ours(s) || imageData.MatchString(s) {
		return template.URL(s)
	}
	return ""
}

// codesFile is a link that keeps recovery codes as a file.
func (w words) codesFile(p RecoveryCodesPage) template.URL {
	return textFile(w["codes.title"], p.SiteName, p.AgentEmail, strings.Join(p.Codes, "\n"))
}

// glassFile is a link that keeps offline codes as a file, with what they are for.
func (w words) glassFile(p SetUpDonePage) template.URL {
	return textFile(w["glass.title"], p.SiteName, strings.ReplaceAll(w["glass.text"], "{site}", p.SiteName), w["glass.where"]+" "+p.GlassURL(), strings.Join(p.BreakGlassCodes, "\n"))
}

// textFile is a link to a file of that text, for which nobody has to be asked
// again. Systems that read no line ends but their own are served too.
func textFile(paragraphs ...string) template.URL {
	said := slices.DeleteFunc(paragraphs, func(s string) bool { return s == "" })
	text := strings.TrimSuffix(strings.Join(said, "\n\n"), "\n") + "\n"
	return template.URL("data:text/plain;charset=utf-8," + url.PathEscape("\ufeff"+strings.ReplaceAll(text, "\n", "\r\n")))
}

// otpauth gives s back as a link if it leads to an authenticator app, else "".
func otpauth(s string) template.URL {
	if u, err := url.Parse(s); err == nil && u.Scheme == "otpauth" && u.Host == "totp" {
		return template.URL(s)
	}
	return ""
}
