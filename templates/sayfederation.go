package templates

import (
	"html"
	"html/template"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words around signing in somewhere else, which name a connection where it is known.

// named is tell with other words where the name is not known: those of the key
// with _nameless at its end.
func (w words) named(name string, keys ...string) template.HTML {
	if name != "" {
		return w.tell(name, 0, keys...)
	}
	for _, key := range keys {
		if _, ok := w[key]; ok {
			return w.say(key+"_nameless", key)
		}
	}
	return ""
}

// signInProblem is what went wrong on the page for signing in.
func (w words) signInProblem(p SignInPage) template.HTML {
	if p.Problem == "sso_only" {
		return w.named(p.ProblemConnection, "problem.sso_only")
	}
	return w.say("problem."+p.Problem, "problem.unknown")
}

// federationError is why signing in through a connection did not work.
func (w words) federationError(p FederationErrorPage) template.HTML {
	keys := []string{"federation_error." + p.Code + ".text", "federation_error.other.text"}
	if p.PasswordsOff {
		keys = slices.Insert(keys, 0, "federation_error."+p.Code+".shut")
	}
	if p.ConnectionName != "" {
		return w.tell(p.ConnectionName, 0, keys...)
	}
	for _, key := range keys {
		if text, ok := w[key]; ok {
			text = strings.ReplaceAll(text, "{name}", w["federation_error.nameless"])
			first, size := utf8.DecodeRuneInString(text)
			return template.HTML(html.EscapeString(string(unicode.ToUpper(first)) + text[size:]))
		}
	}
	return ""
}

// proven is what a session was proven by; empty: not known.
func (w words) proven(l SessionLine) template.HTML {
	if !l.Federated {
		return w.say("acr." + l.ACR)
	}
	text, ok := w["acr.through."+l.ACR]
	if !ok {
		text = "{name}"
	}
	name := template.HTML("<bdi>" + html.EscapeString(l.ConnectionName) + "</bdi>")
	if l.ConnectionName == "" {
		name = w.say("federation_error.nameless")
	}
	return template.HTML(strings.ReplaceAll(html.EscapeString(text), "{name}", string(name)))
}

// checkName is what a check looks at, in words if we have some.
func (w words) checkName(name string) template.HTML {
	if words := w.say("check." + strings.ReplaceAll(name, " ", "_")); words != "" {
		return words
	}
	if attribute, ok := strings.CutPrefix(name, "attribute "); ok {
		return w.say("check.attribute_named") + template.HTML(` <bdi class="code">`+html.EscapeString(attribute)+"</bdi>")
	}
	return template.HTML("<bdi>" + html.EscapeString(name) + "</bdi>")
}
