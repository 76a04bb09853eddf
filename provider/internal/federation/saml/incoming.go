package saml

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Decode reads the form field of a message that came by POST: base64, with white
// space in it or not, of at most MaxMessage bytes.
func Decode(field string) ([]byte, error) {
	if len(field) > MaxMessage/3*4+MaxMessage/16 {
		return nil, &Refused{Check: Check{Name: CheckSize, Expected: fmt.Sprintf("at most %d bytes", MaxMessage), Got: fmt.Sprint(len(field))}}
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(field), ""))
	if err != nil || len(data) == 0 {
		return nil, &Refused{Check: Check{Name: CheckXML, Expected: "base64 of XML", Got: "something else"}}
	}
	return data, nil
}

// Incoming is a logout message that was received and not judged yet.
type Incoming struct {
	XML        []byte
	RelayState string
	// Answer says that it came as SAMLResponse.
	Answer bool

	redirect                  bool
	signed, method, signature string // the words of the query that the signature is over
}

// FromPost takes a message in from the fields of a form. Exactly one of the two must be there.
func FromPost(samlRequest, samlResponse, relayState string) (Incoming, error) {
	field, answer := samlRequest, false
	if field == "" {
		field, answer = samlResponse, true
	}
	if field == "" || samlRequest != "" && samlResponse != "" {
		return Incoming{}, refusedBinding("one of SAMLRequest and SAMLResponse")
	}
	data, err := Decode(field)
	return Incoming{XML: data, RelayState: relayState, Answer: answer}, err
}

// FromQuery takes a message in from a query, given as it came: the signature is over
// those very bytes, and encoding them again might yield others.
func FromQuery(rawQuery string) (Incoming, error) {
	raw, err := parameters(rawQuery)
	if err != nil {
		return Incoming{}, err
	}
	name := "SAMLRequest"
	if _, ok := raw[name]; !ok {
		name = "SAMLResponse"
	}
	_, both := raw["SAMLResponse"]
	if _, ok := raw[name]; !ok || name == "SAMLRequest" && both {
		return Incoming{}, refusedBinding("one of SAMLRequest and SAMLResponse")
	}
	in := Incoming{redirect: true, Answer: name == "SAMLResponse", signed: name + "=" + raw[name]}
	values := map[string]string{}
	for key, escaped := range raw {
		if values[key], err = url.QueryUnescape(escaped); err != nil {
			return Incoming{}, refusedBinding("a query that can be read")
		}
	}
	if encoding, ok := values["SAMLEncoding"]; ok && encoding != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return Incoming{}, refusedBinding("DEFLATE")
	}
	packed, err := base64.StdEncoding.DecodeString(values[name])
	if err != nil {
		return Incoming{}, refusedBinding("base64")
	}
	if in.XML, err = inflate(packed); err != nil {
		return Incoming{}, refusedBinding(fmt.Sprintf("deflated XML of at most %d bytes", MaxMessage))
	}
	if escaped, ok := raw["RelayState"]; ok {
		in.RelayState = values["RelayState"]
		in.signed += "&RelayState=" + escaped
	}
	in.method, in.signature = values["SigAlg"], values["Signature"]
	in.signed += "&SigAlg=" + raw["SigAlg"]
	return in, nil
}

// parameters are the query's that the binding knows, still escaped, each at most once.
func parameters(rawQuery string) (map[string]string, error) {
	if len(rawQuery) > MaxMessage {
		return nil, refusedBinding("a shorter query")
	}
	found := map[string]string{}
	for part := range strings.SplitSeq(rawQuery, "&") {
		key, escaped, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			continue // not one of ours
		}
		switch name {
		case "SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding":
			if _, twice := found[name]; twice || name != key {
				return nil, refusedBinding("each parameter once, under its own name")
			}
			found[name] = escaped
		}
	}
	return found, nil
}

func refusedBinding(expected string) error {
	return &Refused{Check: Check{Name: CheckBinding, Expected: expected, Got: "something else"}}
}

// checkQuery verifies the signature of a query by one of the pinned certificates.
func (c *checks) checkQuery(in Incoming, expect LogoutExpect) error {
	kind, known := signatureMethods[in.method]
	if !c.add(CheckAlgorithm, known, "RSA or ECDSA with SHA-256 or longer", in.method) {
		return c.err()
	}
	usable, err := c.usable(expect.IdP.Certificates, kind, expect.Now, "no certificate")
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(in.signature)
	if err != nil {
		return c.refuse(CheckSignature, "base64", "something else")
	}
	for _, certificate := range usable {
		raw := signature
		if key, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
			if raw, err = toDER(signature, key); err != nil {
				continue
			}
		}
		if certificate.CheckSignature(x509Methods[in.method], []byte(in.signed), raw) == nil {
			c.add(CheckSignature, true, "a signature by a pinned certificate", Fingerprint(certificate))
			return nil
		}
	}
	return c.refuse(CheckSignature, "a signature of the query by "+fingerprints(usable), "another's, or of other words")
}

// inflate stops where a message would be too long, however small it came.
func inflate(packed []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(packed))
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(r, MaxMessage+1)); err != nil {
		return nil, err
	}
	if b.Len() > MaxMessage {
		return nil, errTooBig
	}
	if b.Len() == 0 {
		return nil, errors.New("empty")
	}
	return b.Bytes(), nil
}
