package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	errNotBool   = errors.New("must be true or false")
	errNotNumber = errors.New("must be a whole number")
)

// maxConfigFile is the most that a settings file may have, in bytes.
const maxConfigFile = 1 << 20

// faults are everything wrong with the settings, each with its place.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// configError is a usage fault: exit code 2.
type configError struct{ faults faults }

func (e *configError) Error() string {
	return "the settings cannot be used:\n  " + strings.Join(e.faults, "\n  ")
}

// source is where load reads from, so that tests can hand in their own.
type source struct {
	file    string // path of the YAML file; empty: none
	environ []string
	flags   map[string]string // by setting
}

// load reads the file, the environment and the flags in rising order, and
// reports all faults at once. The config is checked and complete.
func load(src source) (*config, error) {
	c := &config{sources: map[string]string{}}
	var f faults
	for _, s := range settings() {
		if err := s.set(c, s.def); err != nil {
			return nil, fmt.Errorf("default of %s: %w", s.name, err)
		}
	}
	src.readFile(c, &f)
	src.readEnviron(c, &f)
	for _, s := range settings() {
		if text, ok := src.flags[s.name]; ok {
			if err := s.set(c, text); err != nil {
				f.add("--%s: %v", s.flag(), err)
			}
			c.sources[s.name] = "--" + s.flag()
		}
	}
	if len(f) == 0 { // a rule about a value that was misread would only confuse
		c.check(&f)
	}
	if len(f) > 0 {
		return nil, &configError{f}
	}
	return c, nil
}

func (src source) readFile(c *config, f *faults) {
	if src.file == "" {
		return
	}
	raw, err := readLimited(src.file, maxConfigFile)
	if err != nil {
		f.add("%s", plainFileError(err))
		return
	}
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return
	} else if err != nil {
		f.add("%s: %v", src.file, err)
		return
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		f.add("%s: holds more than one document", src.file)
	}
	walk := fileWalk{name: src.file, c: c, f: f, seen: map[string]int{}}
	walk.mapping(doc.Content[0], "")
}

// fileWalk goes through a settings file; groups such as tls are mappings.
type fileWalk struct {
	name string
	c    *config
	f    *faults
	seen map[string]int // key → line
}

func (w *fileWalk) fault(n *yaml.Node, format string, args ...any) {
	w.f.add("%s:%d: %s", w.name, n.Line, fmt.Sprintf(format, args...))
}

func (w *fileWalk) mapping(n *yaml.Node, prefix string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		w.fault(n, "%s must be a mapping of settings", strings.TrimSuffix(prefix, "."))
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		w.member(n.Content[i], n.Content[i+1], prefix)
	}
}

func (w *fileWalk) member(key, value *yaml.Node, prefix string) {
	name := prefix + key.Value
	if first, twice := w.seen[name]; twice {
		w.fault(key, "%s is given twice, first in line %d", name, first)
		return
	}
	w.seen[name] = key.Line
	rows := settings()
	if i := slices.IndexFunc(rows, func(s setting) bool { return s.name == name }); i >= 0 {
		if err := setNode(rows[i], w.c, value); err != nil {
			w.fault(value, "%s %v", name, err)
		}
		w.c.sources[name] = fmt.Sprintf("%s:%d", w.name, key.Line)
		return
	}
	if slices.ContainsFunc(rows, func(s setting) bool { return strings.HasPrefix(s.name, name+".") }) {
		w.mapping(value, name+".")
		return
	}
	w.fault(key, "unknown setting %q%s", name, didYouMean(name, settingNames()))
}

// setNode sets a value of the file, whose YAML type must be the setting's own.
func setNode(s setting, c *config, n *yaml.Node) error {
	wants := map[string]string{"text": "!!str", "bool": "!!bool", "number": "!!int"}
	switch kind := s.kind(); {
	case n.Kind == yaml.AliasNode:
		return errors.New("must be written out: aliases are not understood here")
	case kind == "list":
		if n.Kind != yaml.SequenceNode {
			return errors.New("must be a list, such as [a, b]")
		}
		list := make([]string, 0, len(n.Content))
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
				return errors.New("must be a list of texts")
			}
			list = append(list, item.Value)
		}
		*s.into(c).(*[]string) = list
		return nil
	case n.Kind != yaml.ScalarNode || n.Tag != wants[kind]:
		return map[string]error{"text": errors.New("must be a text (in quotes if it looks like something else)"), "bool": errNotBool, "number": errNotNumber}[kind]
	}
	return s.set(c, n.Value)
}

func (src source) readEnviron(c *config, f *faults) {
	given := map[string]string{}
	for _, pair := range src.environ {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix) && !fromPlatform(name) {
			given[name] = value
		}
	}
	delete(given, envPrefix+"CONFIG") // the --config flag's own
	known := []string{envPrefix + "CONFIG"}
	for _, s := range settings() {
		src.readVariable(s, c, given, f)
		known = append(known, s.env())
		delete(given, s.env())
		if s.secret() && s.name != "master_key" { // its _FILE form is a setting of its own
			known = append(known, s.env()+"_FILE")
			delete(given, s.env()+"_FILE")
		}
	}
	for _, name := range sortedKeys(given) {
		f.add("%s: unknown setting%s", name, didYouMean(name, known))
	}
}

func (src source) readVariable(s setting, c *config, given map[string]string, f *faults) {
	value, ok := given[s.env()]
	name := s.env()
	if file, fromFile := given[s.env()+"_FILE"]; fromFile && s.secret() && s.name != "master_key" {
		if ok {
			f.add("%s and %s_FILE are both given: keep one", name, name)
			return
		}
		raw, err := readLimited(file, maxConfigFile)
		if err != nil {
			f.add("%s_FILE: %s", name, plainFileError(err))
			return
		}
		name, value, ok = name+"_FILE", strings.TrimRight(string(raw), "\r\n"), true
	}
	if !ok {
		return
	}
	if err := s.set(c, value); err != nil {
		f.add("%s: %v", name, err)
	}
	c.sources[s.name] = name
}

// fromPlatform reports whether Kubernetes sets this variable by itself, for a
// service called chatelaine.
func fromPlatform(name string) bool {
	rest := strings.TrimPrefix(name, envPrefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_HOST") || strings.HasPrefix(rest, "SERVICE_PORT")
}

func settingNames() []string {
	var names []string
	for _, s := range settings() {
		names = append(names, s.name)
	}
	return names
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(raw)) > limit {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes", limit)}
	}
	return raw, err
}

// plainFileError says what is wrong with a file in words for people.
func plainFileError(err error) string {
	var p *os.PathError
	switch {
	case !errors.As(err, &p):
		return err.Error()
	case errors.Is(err, os.ErrNotExist):
		return p.Path + ": there is no such file"
	case errors.Is(err, os.ErrPermission):
		return p.Path + ": this user may not read it"
	}
	return p.Path + ": " + p.Err.Error()
}
