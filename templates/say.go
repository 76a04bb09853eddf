package templates

import (
	"fmt"
	"html"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	lang "golang.org/x/text/language"
)

// What is chosen when a page is shown: words by a key that the caller passes,
// with # for a number and {name} for a name, and times.

// numberForms are the forms that a language has for numbers, in the order in
// which words give them, divided by |.
var numberForms = map[string][]plural.Form{
	"en": {plural.One, plural.Other},
	"de": {plural.One, plural.Other},
	"fr": {plural.One, plural.Other},
	"ar": {plural.Zero, plural.One, plural.Two, plural.Few, plural.Many, plural.Other},
}

// count is the form of a text that fits the number, with the number for #.
func (w words) count(key string, n int) template.HTML {
	return template.HTML(html.EscapeString(strings.ReplaceAll(w.form(w[key], n), "#", strconv.Itoa(n))))
}

func (w words) form(text string, n int) string {
	forms := strings.Split(text, "|")
	kind := plural.Cardinal.MatchPlural(lang.Make(w["locale"]), max(n, 0)%10_000_000, 0, 0, 0, 0)
	i := slices.Index(numberForms[w["locale"]], kind)
	if i < 0 || i >= len(forms) {
		i = len(forms) - 1
	}
	return forms[i]
}

// rule is what a rule for passwords asks.
func (w words) rule(line RuleLine) template.HTML {
	key := "password_rule." + line.Rule
	if _, ok := w[key]; !ok {
		key = "password_rule.other"
	}
	return w.count(key, line.Wanted)
}

// tell gives the words of the first of the keys that has any, with the name and
// number in their places.
func (w words) tell(name string, n int, keys ...string) template.HTML {
	for _, key := range keys {
		text, ok := w[key]
		if !ok {
			continue
		}
		text = html.EscapeString(strings.ReplaceAll(w.form(text, n), "#", strconv.Itoa(n)))
		return template.HTML(strings.ReplaceAll(text, "{name}", "<b><bdi>"+html.EscapeString(name)+"</bdi></b>"))
	}
	return ""
}

// confirm is one part of a ConfirmPage's words.
func (w words) confirm(p ConfirmPage, part string) template.HTML {
	name := p.Name
	if name == "" {
		name = w["confirm.nameless"]
	}
	return w.tell(name, p.Count, "confirm."+p.Kind+"."+part, "confirm.other."+part)
}

// confirmTitle is the same for the window's title, where there are no elements.
func (w words) confirmTitle(p ConfirmPage) string {
	text := w["confirm."+p.Kind+".title"]
	if text == "" {
		text = w["confirm.other.title"]
	}
	return strings.NewReplacer("#", strconv.Itoa(p.Count), "{name}", p.Name).Replace(w.form(text, p.Count))
}

// when is a moment in words, which script turns into the reader's own time.
func (w words) when(t time.Time) template.HTML { return w.moment(t, "time.at", "") }

// day is the day of a moment.
func (w words) day(t time.Time) template.HTML { return w.moment(t, "time.day", " data-day") }

// dated are words with a moment, or its day, where they mention {time} or {date}.
func (w words) dated(key string, t time.Time) template.HTML {
	text := html.EscapeString(w[key])
	text = strings.ReplaceAll(text, "{date}", string(w.day(t)))
	return template.HTML(strings.ReplaceAll(text, "{time}", string(w.when(t))))
}

func (w words) moment(t time.Time, key, attribute string) template.HTML {
	if t.IsZero() {
		return template.HTML(html.EscapeString(w["time.never"]))
	}
	t = t.UTC()
	text := w.spellAs(key, t)
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `"` + attribute + `>` + html.EscapeString(text) + `</time>`)
}

// spell is a moment in words where there is no markup; empty if there is none.
func (w words) spell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return w.spellAs("time.at", t.UTC())
}

func (w words) spellAs(key string, t time.Time) string {
	month := ""
	if months := strings.Split(w["time.months"], "|"); len(months) == 12 {
		month = months[t.Month()-1]
	}
	return fmt.Sprintf(w[key], t.Day(), month, t.Year(), t.Format("15:04"))
}

// browsers and systems are recognised by what they put into User-Agent, in this order.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Vivaldi", "Vivaldi"}, {"Firefox/", "Firefox"}, {"FxiOS", "Firefox"},
		{"CriOS", "Chrome"}, {"Chromium", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// device names a browser by its User-Agent, as far as it can be told.
func (w words) device(userAgent string) string {
	if name := w.browser(userAgent); name != "" {
		return name
	}
	return w["device.unknown"]
}

// browser is the same, and empty for what is none: not everything is done in one.
func (w words) browser(userAgent string) string {
	browser, system := recognised(userAgent, browsers), recognised(userAgent, systems)
	if browser != "" && system != "" {
		return fmt.Sprintf(w["device.on"], browser, system)
	}
	return browser + system
}

func recognised(userAgent string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(userAgent, m[0]) {
			return m[1]
		}
	}
	return ""
}
