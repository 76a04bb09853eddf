package templates

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	lang "golang.org/x/text/language"
)

// localeTags are the languages we speak; the first serves everybody else.
var localeTags = []string{"en", "de", "fr", "ar"}

// localeNames are their names in themselves.
var localeNames = map[string]string{"en": "English", "de": "Deutsch", "fr": "Français", "ar": "العربية"}

var matcher = lang.NewMatcher([]lang.Tag{lang.English, lang.German, lang.French, lang.Arabic})

// maxAccept bounds how much of a header is read.
const maxAccept = 256

// Locales lists the languages that pages can be shown in, English first.
func Locales() []string { return append([]string(nil), localeTags...) }

// Match picks the locale for a request: uiLocales (OpenID Connect Core 3.1.2.1,
// space-separated, best first) before the Accept-Language header.
func Match(acceptLanguage, uiLocales string) string {
	var asked []lang.Tag
	for _, s := range strings.Fields(clip(uiLocales)) {
		if t, err := lang.Parse(s); err == nil {
			asked = append(asked, t)
		}
	}
	if _, i, how := matcher.Match(asked...); len(asked) > 0 && how != lang.No {
		return localeTags[i]
	}
	accepted, _, err := lang.ParseAcceptLanguage(clip(acceptLanguage))
	if err != nil {
		return localeTags[0]
	}
	_, i, _ := matcher.Match(accepted...)
	return localeTags[i]
}

// clip cuts a long header after the last whole entry that is read.
func clip(s string) string {
	if len(s) <= maxAccept {
		return s
	}
	return s[:max(strings.LastIndexAny(s[:maxAccept], ", "), 0)]
}

// LocaleLinks are the links from u to the same page in each language. Of u only
// path and query are used, the query with ui_locales replaced.
func LocaleLinks(u *url.URL) []LocaleLink {
	query := u.Query()
	links := make([]LocaleLink, 0, len(localeTags))
	for _, tag := range localeTags {
		query.Set("ui_locales", tag)
		links = append(links, LocaleLink{Locale: tag, URL: (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: query.Encode()}).String()})
	}
	return links
}

// words are one locale's texts by key.
type words map[string]string

func readWords(tag string) (words, error) {
	packed, err := files.Open("locales/" + tag + ".json.gz")
	if err != nil {
		return nil, err
	}
	text, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack locale %s: %w", tag, err)
	}
	w := words{}
	if err := json.NewDecoder(text).Decode(&w); err != nil {
		return nil, fmt.Errorf("read locale %s: %w", tag, err)
	}
	w["locale"] = tag
	return w, nil
}
