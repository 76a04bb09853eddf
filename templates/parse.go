package templates

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// marker is a place for words, [[sign_in.heading]], or for the name of a static file, [[@site.css]].
var marker = regexp.MustCompile(`\[\[(@?)([a-z0-9_.]+)\]\]`)

// parse makes the page of that file in the language of these words.
func parse(file string, w words) (*template.Template, error) {
	tmpl := template.New("page").Funcs(functions(w))
	for _, name := range append(around(file), file+".html") {
		source, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		text, err := bake(string(source), w)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		if _, err := tmpl.New(name).Parse(text); err != nil {
			return nil, err
		}
	}
	return tmpl.Lookup("layout.html"), nil
}

// around are the sources that a page is shown within; later ones replace parts
// of those before.
func around(file string) []string {
	switch {
	case strings.HasPrefix(file, "account") || file == "confirm":
		return []string{"layout.html", "parts.html", "forms.html", "frame.html"}
	case slices.Contains(plain, file):
		return []string{"layout.html", "parts.html"}
	}
	return []string{"layout.html", "parts.html", "forms.html"}
}

// plain pages have none of the parts in forms.html.
var plain = []string{
	"consent", "error", "form_post", "home", "refused", "sign_out", "signed_out",
	"federation_error", "federation_confirm", "rehearsed", "provider_post", "single_sign_out", "visitor_done", "visitor_failed", "visitor_choose", "lead", "elsewhere",
}

// bake puts the words and file names in their places.
func bake(source string, w words) (string, error) {
	var missing []string
	text := marker.ReplaceAllStringFunc(source, func(m string) string {
		part := marker.FindStringSubmatch(m)
		if part[1] == "@" {
			return staticName(part[2])
		}
		words, ok := w[part[2]]
		if !ok {
			missing = append(missing, part[2])
		}
		return names.Replace(string(markUp(words)))
	})
	if missing != nil {
		return "", fmt.Errorf("locale %s has no words for %s", w["locale"], strings.Join(missing, ", "))
	}
	return text, nil
}

// names are what words may mention in braces, and what stands there.
var names = strings.NewReplacer(
	"{client}", `<b><bdi>{{$.ClientName}}</bdi></b>`,
	"{company}", `<b><bdi>{{$.Company}}</bdi></b>`,
	"{agent}", `<b><bdi>{{$.AgentName}}</bdi></b>`,
	"{agent_email}", `<bdi>{{$.AgentEmail}}</bdi>`,
	"{site}", `<bdi>{{$.SiteName}}</bdi>`,
	"{email}", `<b><bdi>{{$.Email}}</bdi></b>`,
	"{minutes}", `{{$.Minutes}}`,
	"{connection}", `<bdi>{{.Name}}</bdi>`, // in the list of connections
	"{rehearses}", `<b><bdi>{{$.Rehearses}}</bdi></b>`,
	"{through}", `<b><bdi>{{$.ConnectionName}}</bdi></b>`,
	"{email_there}", `<b><bdi>{{$.EmailThere}}</bdi></b>`,
	"{current_email}", `<b><bdi>{{$.CurrentEmail}}</bdi></b>`,
)

// fieldLink is a link in words to a field of the page: [password](#password).
var fieldLink = regexp.MustCompile(`\[([^\]]+)\]\(#([a-z_]+)\)`)

// markUp makes HTML of words: everything escaped but field links.
func markUp(text string) template.HTML {
	return template.HTML(fieldLink.ReplaceAllString(html.EscapeString(text), `<a href="#$2">$1</a>`))
}

// functions are what sources may call.
func functions(w words) template.FuncMap {
	return template.FuncMap{
		"problem": func(key string) template.HTML { return w.say("problem."+key, "problem.unknown") },
		"notice":  func(key string) template.HTML { return w.say("notice."+key, "notice.done") },
		"activity": func(l ActivityLine) template.HTML {
			return w.say("activity."+l.Action+"."+l.Result, "activity."+l.Action, "activity.other")
		},
		"control": func(name string) template.HTML { return w.say("control."+name, "control.other") },
		"proven":  w.proven,
		"because": func(kind, part string) template.HTML {
			return w.say("new_password."+kind+"."+part, "new_password.expired."+part)
		},
		"spent": func(why, part string) template.HTML {
			return w.say("link_spent."+why+"."+part, "link_spent.other."+part)
		},
		"signInProblem": w.signInProblem,
		"fedTitle": func(p FederationErrorPage) template.HTML {
			return w.say("federation_error."+p.Code+".title", "federation_error.other.title")
		},
		"fedText": w.federationError,
		"visitorFailed": func(code string) template.HTML {
			return w.say("visitor_failed."+code+".text", "visitor_failed.other.text")
		},
		"checkName":    w.checkName,
		"section":      func(p Page) string { return p.file() },
		"rule":         w.rule,
		"count":        w.count,
		"confirm":      w.confirm,
		"confirmTitle": w.confirmTitle,
		"when":         w.when,
		"day":          w.day,
		"dated":        w.dated,
		"device":       w.device,
		"browser":      w.browser,
		"codesFile":    w.codesFile,
		"glassFile":    w.glassFile,
		"otpauth":      otpauth,
		"scope":        w.scope,
		"errorTitle":   func(p ErrorPage) template.HTML { return w.errorWords(p, ".title") },
		"errorText":    func(p ErrorPage) template.HTML { return w.errorWords(p, ".text") },
		"about":        about,
		"concerns":     concerns,
		"languages":    func(links []LocaleLink) template.HTML { return languages(w["locale"], links) },
		"palette":      paletteOf,
		"link":         link,
		"outside":      outside,
		"host":         host,
		"picture":      picture,
		"initial":      initial,
	}
}

// say gives the words of the first key that has any. They mention no names: the
// page is parsed by now.
func (w words) say(keys ...string) template.HTML {
	for _, key := range keys {
		if text, ok := w[key]; ok {
			return markUp(text)
		}
	}
	return ""
}

func (w words) scope(line ScopeLine) string {
	if text, ok := w["scope."+line.Name]; ok {
		return text
	}
	if line.Sentence != "" {
		return line.Sentence
	}
	return line.Name
}

// errorWords falls back from the key to the status, and from that to its kind.
func (w words) errorWords(p ErrorPage, part string) template.HTML {
	kind := "error.500"
	if p.Status >= 400 && p.Status < 500 {
		kind = "error.400"
	}
	return w.say("error."+p.Key+part, "error."+strconv.Itoa(p.Status)+part, kind+part)
}

// kinds are the fields that a problem can be about; its key begins with one.
var kinds = []string{"email", "name", "given_name", "family_name", "password", "confirm", "current", "code", "control"}

// concerns reports whether a problem is about the field of that kind.
func concerns(kind, key string) bool { return strings.HasPrefix(key, kind+"_") }

// about picks the problems that concern a kind of field; "" picks those of none.
func about(kind string, problems []string) []string {
	return slices.DeleteFunc(slices.Clone(problems), func(key string) bool {
		if kind != "" {
			return !concerns(kind, key)
		}
		return slices.ContainsFunc(kinds, func(k string) bool { return concerns(k, key) })
	})
}

// languages are the items of the list of languages. They are on every page, and
// as a range in the source they took as long as all the rest of it.
func languages(current string, links []LocaleLink) template.HTML {
	var b strings.Builder
	for _, l := range links {
		tag, here := html.EscapeString(l.Locale), ""
		if l.Locale == current {
			here = ` aria-current="true"`
		}
		fmt.Fprintf(&b, "\n"+`<li><a href="%s" lang="%s" hreflang="%s"%s>%s</a></li>`, html.EscapeString(link(l.URL)), tag, tag, here, localeNames[l.Locale])
	}
	return template.HTML(b.String())
}

// initial is the first letter of a name, for where a logo would be.
func initial(name string) string {
	for _, r := range name {
		return strings.ToUpper(string(r))
	}
	return ""
}
