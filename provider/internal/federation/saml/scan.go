package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// limits are what a document may have, counted over its bytes before a tree is made.
type limits struct {
	bytes, depth, elements, attributes, each int
	prefixes                                 int  // declared and in scope at once: canonical form copies them for each element
	comments                                 bool // outside of values; metadata is written by people
}

var (
	messageLimits  = limits{bytes: MaxMessage, depth: 32, elements: 6000, attributes: 8000, each: 32, prefixes: 64}
	metadataLimits = limits{bytes: MaxMetadata, depth: 32, elements: 20000, attributes: 40000, each: 64, prefixes: 128, comments: true}
)

// scanned is what the bytes hold, by local name, whatever the namespace.
type scanned struct {
	names map[string]int
	ids   map[string]bool
}

var errTooBig = errors.New("too big")

// scan refuses what no honest peer sends, before a tree is made of it: anything
// too big or too deep, bytes that are not UTF-8, a DOCTYPE or an entity of its own, CDATA,
// processing instructions, comments, names that parsers read differently, an
// attribute twice, an ID twice. After it, the text of an element is one piece.
func scan(data []byte, l limits) (scanned, error) {
	if len(data) > l.bytes {
		return scanned{}, fmt.Errorf("%w: over %d bytes", errTooBig, l.bytes)
	}
	if err := scanBytes(data, l); err != nil {
		return scanned{}, err
	}
	s := scanner{scanned: scanned{names: map[string]int{}, ids: map[string]bool{}}, limits: l}
	decoder := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return s.scanned, s.end()
		}
		if err != nil {
			return scanned{}, err
		}
		if err := s.token(token); err != nil {
			return scanned{}, err
		}
	}
}

// scanBytes looks for what begins with "<!" and "<?". In well-formed XML a "<" stands
// nowhere but at the beginning of markup, so that no parser is needed to find them.
func scanBytes(data []byte, l limits) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if bytes.Contains(data, []byte("<!DOCTYPE")) || bytes.Contains(data, []byte("<!ENTITY")) {
		return errors.New("a document type declaration")
	}
	markup, comments := bytes.Count(data, []byte("<!")), bytes.Count(data, []byte("<!--"))
	if markup > comments || comments > 0 && !l.comments {
		return errors.New("a comment, CDATA or declaration")
	}
	instructions := bytes.Count(data, []byte("<?"))
	if bytes.HasPrefix(data, []byte("<?xml ")) {
		instructions--
	}
	if instructions > 0 {
		return errors.New("a processing instruction")
	}
	return nil
}

type scanner struct {
	scanned
	limits
	open       []xml.Name
	texts      []textState
	declared   []int // by each open element, whether anew or again
	inScope    int
	elements   int
	attributes int
	closed     bool
}

// textState is what an element has had of text: after a comment in it, it may have none.
type textState struct{ text, comment bool }

func (s *scanner) token(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return s.start(token)
	case xml.EndElement:
		if len(s.open) == 0 || s.open[len(s.open)-1] != token.Name {
			return errors.New("an end without its beginning")
		}
		last := len(s.open) - 1
		s.inScope -= s.declared[last]
		s.open, s.texts, s.declared = s.open[:last], s.texts[:last], s.declared[:last]
		s.closed = len(s.open) == 0
	case xml.CharData:
		return s.text(token)
	case xml.Comment:
		return s.comment()
	case xml.ProcInst:
		if token.Target != "xml" || s.elements > 0 {
			return errors.New("a processing instruction")
		}
	default:
		return errors.New("a declaration")
	}
	return nil
}

func (s *scanner) start(element xml.StartElement) error {
	if s.closed {
		return errors.New("a second root")
	}
	s.open, s.texts = append(s.open, element.Name), append(s.texts, textState{})
	s.declared = append(s.declared, declarations(element.Attr))
	s.inScope += s.declared[len(s.declared)-1]
	s.elements++
	s.attributes += len(element.Attr)
	if len(s.open) > s.depth || s.elements > s.limits.elements || s.attributes > s.limits.attributes || len(element.Attr) > s.each || s.inScope > s.prefixes {
		return fmt.Errorf("%w: more than depth %d, %d elements, %d attributes or %d namespaces", errTooBig, s.depth, s.limits.elements, s.limits.attributes, s.prefixes)
	}
	if !isName(element.Name) {
		return errors.New("a name that is none")
	}
	s.names[element.Name.Local]++
	return s.attrs(element.Attr)
}

func declarations(attrs []xml.Attr) (n int) {
	for _, attr := range attrs {
		if attr.Name.Space == "xmlns" || attr.Name.Space == "" && attr.Name.Local == "xmlns" {
			n++
		}
	}
	return n
}

func (s *scanner) attrs(attrs []xml.Attr) error {
	for i, attr := range attrs {
		if !isName(attr.Name) {
			return errors.New("a name that is none")
		}
		for _, other := range attrs[:i] {
			if other.Name == attr.Name {
				return errors.New("an attribute twice")
			}
		}
		if attr.Name.Space == "xmlns" && !declarable(attr.Name.Local, attr.Value) {
			return errors.New("a namespace prefix that may not be declared so")
		}
		if strings.EqualFold(attr.Name.Local, "id") && (attr.Name.Space == "" || attr.Name.Space == "xml") {
			if s.ids[attr.Value] {
				return errors.New("an ID twice")
			}
			s.ids[attr.Value] = true
		}
	}
	return nil
}

// declarable: of the prefixes that XML keeps for itself, xml may be declared as what it is.
func declarable(prefix, namespace string) bool {
	const itself = "http://www.w3.org/XML/1998/namespace"
	return namespace != "" && prefix != "xmlns" && (prefix == "xml") == (namespace == itself)
}

func (s *scanner) text(text xml.CharData) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	if len(s.open) == 0 {
		return errors.New("text outside of the root")
	}
	state := &s.texts[len(s.texts)-1]
	if state.comment {
		return errors.New("a comment inside a value")
	}
	state.text = true
	return nil
}

func (s *scanner) comment() error {
	if len(s.open) == 0 {
		return nil
	}
	state := &s.texts[len(s.texts)-1]
	if state.text {
		return errors.New("a comment inside a value")
	}
	state.comment = true
	return nil
}

func (s *scanner) end() error {
	if !s.closed {
		return errors.New("no root, or one without an end")
	}
	return nil
}

// isName holds names to what every parser reads alike: one colon at most, and
// letters, digits, "_", "-" and "." of ASCII, as all names of SAML are.
func isName(name xml.Name) bool {
	return isNCName(name.Local) && (name.Space == "" || isNCName(name.Space))
}

func isNCName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}
