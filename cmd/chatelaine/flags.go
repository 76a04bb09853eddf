package main

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// settingsFlags are a command's --config and one flag for each setting. Commands
// that do not serve show only those that say where the store is.
type settingsFlags struct {
	Config string `help:"Settings file (YAML)." placeholder:"FILE" env:"CHATELAINE_CONFIG" group:"Settings:"`
	kong.Plugins
}

// storeSettings say where the store is and how to open it.
var storeSettings = []string{"data", "database", "master_key_file"}

// newSettingsFlags makes the flags from the table of settings.
func newSettingsFlags(shown ...string) settingsFlags {
	var fields []reflect.StructField
	for _, s := range settings() {
		if s.name == "master_key" { // never on a command line, where ps shows it
			continue
		}
		typ := reflect.TypeFor[*string]()
		if s.kind() == "bool" {
			typ = reflect.TypeFor[*bool]()
		}
		fields = append(fields, reflect.StructField{Name: fieldName(s.name), Type: typ, Tag: flagTag(s, len(shown) > 0 && !slices.Contains(shown, s.name))})
	}
	return settingsFlags{Plugins: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}}
}

func fieldName(name string) string { return "Setting_" + strings.ReplaceAll(name, ".", "_") }

func flagTag(s setting, hidden bool) reflect.StructTag {
	help := s.doc
	if s.def != "" && s.kind() != "bool" {
		help = strings.TrimSuffix(help, ".") + " (default " + s.def + ")."
	}
	tag := "name:" + strconv.Quote(s.flag()) + " group:\"Settings:\" help:" + strconv.Quote(help)
	if s.kind() != "bool" {
		tag += ` placeholder:"` + strings.ToUpper(s.kind()) + `"`
	}
	if hidden {
		tag += ` hidden:""`
	}
	return reflect.StructTag(tag)
}

// source is where this command's settings come from.
func (f settingsFlags) source(t *terminal) source {
	given := map[string]string{}
	v := reflect.ValueOf(f.Plugins[0]).Elem()
	for _, s := range settings() {
		field := v.FieldByName(fieldName(s.name))
		if !field.IsValid() || field.IsNil() {
			continue
		}
		switch p := field.Interface().(type) {
		case *string:
			given[s.name] = *p
		case *bool:
			given[s.name] = strconv.FormatBool(*p)
		}
	}
	return source{file: f.Config, environ: t.environ, flags: given}
}

func (f settingsFlags) load(t *terminal) (*config, error) { return load(f.source(t)) }
