package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// Limits on what a question may be.
const (
	maxBody  = 64 << 10 // bytes
	maxDepth = 16       // objects and arrays inside each other
)

// readJSON reads a body of type application/json that can be read in one way
// only: within the limits, UTF-8, one value, no member twice in one object.
func readJSON(r *http.Request) (object, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || len(r.Header.Values("Content-Type")) != 1 || r.Header.Get("Content-Encoding") != "" {
		return nil, web.ErrMediaType
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return nil, web.ErrMediaType
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w: %w", web.ErrBadRequest, err)
	}
	if len(body) > maxBody {
		return nil, web.ErrTooLarge
	}
	return parseJSON(body)
}

func parseJSON(body []byte) (object, error) {
	if !utf8.Valid(body) {
		return nil, badJSON(errors.New("it is not UTF-8"))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, badJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badJSON(errors.New("something follows the value"))
	}
	o, ok := v.(object)
	if !ok {
		return nil, badJSON(errors.New("it is not an object"))
	}
	return o, nil
}

func badJSON(err error) error {
	return web.Public(fmt.Errorf("%w: %w", web.ErrBadRequest, err), "the body is not the JSON expected here: "+err.Error())
}

// object is a JSON object whose names are exactly as sent: encoding/json alone
// would fold their case and let the last of two win.
type object map[string]any

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("it is not well-formed")
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	if delim == '{' {
		return parseObject(d, depth+1)
	}
	return parseArray(d, depth+1)
}

func parseObject(d *json.Decoder, depth int) (any, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, errors.New("it is not well-formed")
		}
		name, _ := token.(string)
		if _, twice := o[name]; twice {
			return nil, errors.New("a member is given more than once")
		}
		if o[name], err = parseValue(d, depth); err != nil {
			return nil, err
		}
	}
	return o, end(d)
}

func parseArray(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, end(d)
}

func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("it is not well-formed")
	}
	return nil
}

// object returns the member as an object; a missing one is empty and not an error.
func (o object) object(name string) (object, error) {
	v, ok := o[name]
	if !ok || v == nil {
		return object{}, nil
	}
	if inner, ok := v.(object); ok {
		return inner, nil
	}
	return nil, badJSON(fmt.Errorf("%s is not an object", name))
}

// text returns the member as a string; ok is false if it is missing or null.
func (o object) text(name string) (value string, ok bool, err error) {
	v, found := o[name]
	if !found || v == nil {
		return "", false, nil
	}
	s, isText := v.(string)
	if !isText {
		return "", false, badJSON(fmt.Errorf("%s is not a string", name))
	}
	if len(s) > 16<<10 || strings.ContainsRune(s, 0) {
		return "", false, badJSON(fmt.Errorf("%s is too long or holds a NUL", name))
	}
	return s, true, nil
}
