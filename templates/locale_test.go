package templates

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
)

func TestEveryLocaleHasTheSameKeys(t *testing.T) {
	t.Parallel()
	english, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range Locales() {
		w, err := readWords(tag)
		if err != nil {
			t.Fatal(err)
		}
		for key := range english {
			if strings.TrimSpace(w[key]) == "" {
				t.Errorf("%s has no words for %s", tag, key)
			}
		}
		for key := range w {
			if _, ok := english[key]; !ok {
				t.Errorf("%s has words for %s, English has none", tag, key)
			}
		}
		if localeNames[tag] == "" {
			t.Errorf("%s has no name", tag)
		}
	}
}

var mention = regexp.MustCompile(`\{[a-z_]+\}|\(#[a-z_]+\)|#`)

// A translator who drops {client} would have people consent to nobody.
func TestEveryLocaleMentionsTheSameNamesAndFields(t *testing.T) {
	t.Parallel()
	english, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range Locales() {
		w, err := readWords(tag)
		if err != nil {
			t.Fatal(err)
		}
		for key, text := range w {
			want, got := mentions(english[key]), mentions(text)
			if !slices.Equal(want, got) {
				t.Errorf("%s: %s mentions %v, English mentions %v", tag, key, got, want)
			}
			if strings.HasPrefix(key, "mail.") {
				continue // mail_test.go knows what stands in those
			}
			late := strings.NewReplacer("{name}", "", "{date}", "", "{time}", "").Replace(text)
			if strings.ContainsAny(names.Replace(late), "{}") && names.Replace(late) == late {
				t.Errorf("%s: %s has braces that mean nothing: %s", tag, key, text)
			}
			if (chosen(key) || late != text) && strings.ContainsAny(late, "{}") {
				t.Errorf("%s: %s is chosen when the page is shown and can't mention what the source does", tag, key)
			}
			if forms := strings.Count(text, "|") + 1; key != "time.months" && forms != 1 && forms != len(numberForms[tag]) {
				t.Errorf("%s: %s has %d forms for numbers, of %d", tag, key, forms, len(numberForms[tag]))
			}
		}
	}
}

// mentions are the names and fields in a text, each once if it has forms for numbers.
func mentions(text string) []string {
	found := mention.FindAllString(text, -1)
	slices.Sort(found)
	if strings.Contains(text, "|") {
		found = slices.Compact(found)
	}
	return found
}

// chosen reports whether code makes the key of what a caller passes.
func chosen(key string) bool {
	return slices.ContainsFunc([]string{"problem.", "error.", "scope.", "notice.", "activity.", "confirm.", "control.", "acr.", "password_rule.", "time.", "device.", "mail.", "check."},
		func(prefix string) bool { return strings.HasPrefix(key, prefix) }) || becauses.MatchString(key) || key == "federation_error.nameless"
}

var becauses = regexp.MustCompile(`^(new_password|link_spent|federation_error|visitor_failed)\.[a-z_]+\.(title|text|shut)$`)

// late are keys of words with a number or a day, which are put in when a page is shown.
var late = regexp.MustCompile(`\{\{(?:count|dated) "([a-z_.]+)"`)

// usedKeys are the keys that sources and code mention.
func TestEveryKeyIsUsed(t *testing.T) {
	t.Parallel()
	english, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"locale": true}
	for _, source := range sources(t) {
		for _, m := range marker.FindAllStringSubmatch(source, -1) {
			used[m[2]] = true
		}
		for _, m := range late.FindAllStringSubmatch(source, -1) {
			used[m[1]] = true
		}
	}
	for key := range english {
		if !used[key] && !chosen(key) {
			t.Errorf("no page uses %s", key)
		}
	}
}

// sources are the HTML files by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".html") {
			data, err := files.ReadFile(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(data)
		}
	}
	return all
}

var action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

func TestSourcesHoldNoWordsOfTheirOwn(t *testing.T) {
	t.Parallel()
	spoken := []string{"alt", "title", "placeholder", "aria-label", "value"}
	for name, source := range sources(t) {
		bare := marker.ReplaceAllString(action.ReplaceAllString(source, ""), "")
		z := html.NewTokenizer(strings.NewReader(bare))
		for z.Next() != html.ErrorToken {
			tok := z.Token()
			if tok.Type == html.TextToken && hasLetter(strings.ReplaceAll(tok.Data, "Chatelaine", "")) && !strings.Contains(tok.Data, "--brand-light") {
				t.Errorf("%s says %q", name, strings.TrimSpace(tok.Data))
			}
			for _, a := range tok.Attr {
				if slices.Contains(spoken, a.Key) && hasLetter(a.Val) && tok.Data != "button" {
					t.Errorf("%s says %s=%q", name, a.Key, a.Val)
				}
			}
		}
	}
}

func hasLetter(s string) bool { return strings.ContainsFunc(s, unicode.IsLetter) }

func TestEveryPageParsesInEveryLocale(t *testing.T) {
	t.Parallel()
	for _, tag := range Locales() {
		for name, page := range samples(tag) {
			out := render(t, page)
			if !strings.Contains(out, `<html lang="`+tag+`"`) {
				t.Errorf("%s is not in %s", name, tag)
			}
			if strings.Contains(out, "[[") || strings.Contains(out, "ZgotmplZ") {
				t.Errorf("%s in %s has a hole:\n%s", name, tag, out)
			}
		}
	}
}

func TestTheRequestPicksTheLanguage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ accept, ui, want string }{
		{"", "", "en"},
		{"de-AT,de;q=0.9,en;q=0.5", "", "de"},
		{"zh-CN,zh", "", "en"},
		{"zh-CN, fr;q=0.4", "", "fr"},
		{"ar-EG", "", "ar"},
		{"de", "ar", "ar"},
		{"de", "zh ja", "de"},
		{"de", "zh fr-CA", "fr"},
		{"de", "???", "de"},
		{";;;q=", "", "en"},
		{strings.Repeat("de,", 5000), "", "de"},
		{"de", strings.Repeat("x", 5000), "de"},
	} {
		if got := Match(c.accept, c.ui); got != c.want {
			t.Errorf("Match(%.40q, %.40q) = %s, want %s", c.accept, c.ui, got, c.want)
		}
	}
}

func TestLanguageLinksKeepTheRestOfTheQuery(t *testing.T) {
	t.Parallel()
	u := &url.URL{Scheme: "https", Host: "evil.example", Path: "/oauth/authorize", RawQuery: "client_id=desk&state=a%26b&ui_locales=fr"}
	links := map[string]string{}
	for _, l := range LocaleLinks(u) {
		links[l.Locale] = l.URL
	}
	want := "/oauth/authorize?client_id=desk&state=a%26b&ui_locales=de"
	if links["de"] != want {
		t.Errorf("got %s, want %s", links["de"], want)
	}
	if got := slices.Sorted(maps.Keys(links)); !slices.Equal(got, slices.Sorted(slices.Values(Locales()))) {
		t.Errorf("links to %v", got)
	}
}

func TestAnErrorWithoutWordsIsExplainedByItsStatus(t *testing.T) {
	t.Parallel()
	w, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status    int
		key, want string
	}{
		{400, "flow_expired", w["error.flow_expired.title"]},
		{404, "no_such_key", w["error.404.title"]},
		{409, "", w["error.400.title"]},
		{502, "", w["error.500.title"]},
		{0, "", w["error.500.title"]},
	} {
		if page := render(t, ErrorPage{Status: c.status, Key: c.key}); !strings.Contains(page, "<h1>"+c.want) {
			t.Errorf("status %d, key %q does not say %q", c.status, c.key, c.want)
		}
	}
}

func TestTheWordsAreThoseOfTheirSources(t *testing.T) {
	t.Parallel()
	for _, tag := range localeTags {
		packed, err := readWords(tag)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile("locales/" + tag + ".json")
		if err != nil {
			t.Fatal(err)
		}
		source := words{}
		if err := json.Unmarshal(text, &source); err != nil {
			t.Fatal(err)
		}
		source["locale"] = tag
		if !maps.Equal(packed, source) {
			t.Errorf("%s.json has changed: go generate ./templates", tag)
		}
	}
}
