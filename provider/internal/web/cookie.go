package web

import (
	"net/http"
	"strings"
	"time"
)

// cookieName puts __Host- before the name over https. Over plain http on
// loopback some browsers drop such cookies, so it is the plain name there.
func cookieName(r *http.Request, name string) string {
	if site := Site(r.Context()); site.Path != "" { // __Host- cookies have Path=/, so sites of one host need names apart
		name += "." + site.Path
	}
	if Secure(r.Context()) {
		return "__Host-" + name
	}
	return name
}

// SetCookie sets a cookie for the site: HttpOnly, SameSite=Lax, Path=/, Secure
// and __Host- over https. A zero maxAge makes it a browser-session cookie.
func SetCookie(w http.ResponseWriter, r *http.Request, name, value string, maxAge time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r, name), Value: value, Path: "/", MaxAge: int(maxAge / time.Second),
		Secure: Secure(r.Context()), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// ClearCookie removes it.
func ClearCookie(w http.ResponseWriter, r *http.Request, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r, name), Path: "/", MaxAge: -1,
		Secure: Secure(r.Context()), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// SetFrameCookie is SetCookie for a page that another site frames. The cookie is
// partitioned: it exists within pages of that site only, and nowhere else.
func SetFrameCookie(w http.ResponseWriter, r *http.Request, name, value string, maxAge time.Duration) {
	http.SetCookie(w, frameCookie(r, name, value, int(maxAge/time.Second)))
}

// ClearFrameCookie removes it.
func ClearFrameCookie(w http.ResponseWriter, r *http.Request, name string) {
	http.SetCookie(w, frameCookie(r, name, "", -1))
}

func frameCookie(r *http.Request, name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(r, name), Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode, Partitioned: true,
	}
}

// Cookie returns a cookie's value. Two of the same name are none: one of them
// was planted, and their order does not say which.
func Cookie(r *http.Request, name string) (string, bool) {
	found := r.CookiesNamed(cookieName(r, name))
	if len(found) != 1 || found[0].Value == "" || found[0].Quoted {
		return "", false
	}
	return found[0].Value, true
}

// CookieNames lists the names of the site's cookies that begin with prefix,
// without the parts that SetCookie added. A name with a dot is another site's.
func CookieNames(r *http.Request, prefix string) []string {
	full, suffix := prefix, ""
	if Secure(r.Context()) {
		full = "__Host-" + prefix
	}
	if site := Site(r.Context()); site.Path != "" {
		suffix = "." + site.Path
	}
	var names []string
	for _, c := range r.Cookies() {
		if rest, ok := strings.CutPrefix(c.Name, full); ok && strings.HasSuffix(rest, suffix) {
			if rest = strings.TrimSuffix(rest, suffix); !strings.Contains(rest, ".") {
				names = append(names, prefix+rest)
			}
		}
	}
	return names
}
